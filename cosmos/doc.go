// Package cosmos describes the HTTP dialect of the Azure Cosmos DB NoSQL data plane as data.
//
// A request enters through [Sanitize], which turns the escaped path and the headers into a tuple and refuses whatever can
// be read in two ways. [Classify] then says which operation it is, which data actions it needs, on which database,
// container and partition keys. What goes upstream is rebuilt from that tuple ([Operation.UpstreamPath],
// [Operation.UpstreamHeader]): no byte of the caller's path, selectors or credential travels on.
//
// The package does no I/O, keeps no state and knows nothing about who is calling or what they may do.
package cosmos
