// Package audit writes down what happened to every request that the gate handled: one JSON object a line, in a documented, stable form.
//
// The order of use is the point of the package. Before a request is forwarded, its handler calls [Log.Reserve]; only if that succeeds
// may anything go upstream, and when the exchange has ended, the handler calls [Reservation.Commit] with a [Record] of it. A log that
// cannot write (disk full, file system gone) keeps what it was given, tries again, and refuses reservations in the meantime, so
// that nothing happens unrecorded.
//
// Partition keys and item ids are handed over in clear text and only ever written as a hash. Tokens and keys have no member to stand in.
package audit
