// Package directory knows who exists: users, groups, nested memberships, links
// to an identity provider's subjects, and administrators' locks.
//
// It is written to by one goroutine and read by everybody. A write is planned
// by its caller, validated again by the writer on the state it meets, appended
// to a durable [Log], published, and only then answered, so that a successful
// [Directory.Apply] means "on disk and obeyed by the next request". A read on
// the request path ([Directory.Lookup]) takes no lock and doesn't allocate.
//
// The directory never guesses: a person is found by the byte-exact pair of a
// connection and an external id, never by a name or an e-mail address. After
// any failure to write it stops writing for good ([ErrStopped]); memory never
// holds what the log does not.
package directory
