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
//
// # In memory
//
// Every record has an ordinal, a number that lives as long as the process. A
// user is a packed record of some 150 bytes, its groups' ordinals included, in
// an arena of chunks without pointers; a change appends a new record and swaps
// one word. Indexes by id, user name, external id and e-mail are open-addressing
// tables of ordinals, under a seed of the process; a hit is confirmed on the
// record. A membership is there twice, four bytes each: in the user's sorted
// list, which answers "is a member" and decisions, and in the group's set,
// which answers listings. Each group keeps its finished ancestors, so that a
// change of nesting touches the groups below it and no user. Documents aren't
// in memory: [Directory.ReadUser] reads one from the log.
//
// # On disk
//
// The embedded log is a bbolt file, which holds the state: a record under its
// id and a group's members in chunks. Beside it are its lock and its journal,
// files of a few MiB that are written to from front to back, a page at least
// for each commit, and synced once for all callers that wait. The journal is
// folded into the state beside the writer, a little at a time, and all of it
// when the log is closed. A start reads state and journal, in one goroutine,
// while another builds, and opens the file again so that the pages it has read
// don't stay.
package directory
