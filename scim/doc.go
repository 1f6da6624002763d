// Package scim is a SCIM 2.0 service provider (RFC 7643, RFC 7644) over a
// [github.com/cosmosgate/cosmosgate/directory.Directory]: identity providers
// push people and groups to /scim/v2/{connection}.
//
// It is tolerant of what the large providers send and strict about meaning: a
// request either does all it says or nothing, an operation is never accepted
// and ignored, and a 2xx means that the change is durable and obeyed by the
// next request through the gate.
package scim
