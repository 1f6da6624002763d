// Package emulator is an honest in-process stand-in for the data plane of an Azure Cosmos DB for NoSQL account: what
// tests, the demo and `cosmosgate dev` talk to. It verifies master-key signatures and Entra-style tokens, enforces role
// assignments per principal, and refuses what the service refuses.
//
//	stand, err := emulator.New(emulator.Config{
//		Account: "shop", Locations: []emulator.Location{{Name: "West Europe"}},
//		Issuer: issuer, Keys: emulator.JWKS(client, issuer+"/jwks"),
//		Clock: time.Now, Random: rand.Reader,
//	})
//	…
//	err = stand.AssignRole(emulator.RoleAssignment{PrincipalID: oid, RoleID: emulator.BuiltInDataReader, Scope: "/dbs/shop"})
//	server := &http.Server{Handler: stand, TLSConfig: …}
//
// It is not a load-test target (one lock guards the whole account), and not a price oracle (charges grow with the work,
// but are not the service's).
//
// # Where it differs from the service
//
// Partitions. Every container has one physical partition, "0", which never splits; a query plan therefore tells the SDK
// to send the query there as it is. Hashes of partition keys are always of version 2, also in containers of version 1.
//
// Queries. Numbers are doubles, and strings are counted in characters, not in UTF-16 units. Operators bind as the
// published grammar (sql.g4) says. Indexes are not consulted: queries that need a composite index or an indexed path run
// without one, and metrics of index use are empty. Spatial functions, ORDER BY RANK, FullTextScore and user-defined
// functions are refused with 400; full-text search matches whole words without stemming; REGEXMATCH is RE2, without back
// references and look-around. A query that exceeds a bound on work is refused. The numbers in SC codes of refusals are
// those known to be the service's for syntax, names and functions only.
//
// Change feeds. The feed of all versions starts no earlier than the request that starts it and keeps the last 100,000
// changes; expiry of an item's time to live is not in it. Queries over a change feed are refused.
//
// Consistency is always strong; session tokens are given but not waited for. There are no conflicts. Extra locations
// are published, but all are this one account.
//
// Scripts, users, permissions and client encryption keys are kept and returned but nothing is run: executing a stored procedure and
// naming a trigger are refused, and so is the resource token of a permission. Deleting by partition key is 404. Throughput is
// kept and never enforced; a 429 comes from Inject only.
//
// Of two members of one name in an item the last counts. Documents may come in CosmosBinary, as SDKs write it, and always go in
// JSON text. HybridRow is spoken where .NET
// needs it, in batches and their results; effective partition keys and binary ids in them are refused, and a time to live beside the
// document is ignored.
package emulator
