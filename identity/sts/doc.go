// Package sts is the gate's security token service: it gives agents tokens by which they act for a person, narrower than the person's own
// and gone minutes later.
//
// A [Service] answers the token endpoint (RFC 8693 token exchange, RFC 7523 grants for ID-JAG, client credentials), revocation (RFC
// 7009), introspection (RFC 7662), its keys and its metadata (RFC 8414). Who may use it is decided elsewhere: clients are the agents and
// applications that policy declares, people are those of the directory, and an agent needs a grant for the person.
//
// A token says who, never what they may do: each request is decided anew, for the person, for every agent in between, and for what the
// token was narrowed to. No refresh token exists. A token ends no later than the token that it was exchanged for.
//
// [Keys] are the signing keys, shared by all gates of one directory.
package sts
