// Package journal keeps the log that several directories share in a container
// of Azure Cosmos DB.
//
// The log is one logical partition. Each commit is one document whose id is its
// place in the log; it is created together with a conditional step forward of
// the document "head", in one transaction, so that of two gates that want the
// same place one wins, whatever is retried, delayed or repeated on the way. The
// loser learns what the winner wrote and plans anew. A reader asks for the next
// place by its id: "not there" is the cheapest question Cosmos answers, and it
// proves that the reader knows everything.
//
// A snapshot of the state, written now and then by whichever gate holds the
// lease, lets commits before it expire. A directory that was away for longer
// than that loads the snapshot.
package journal
