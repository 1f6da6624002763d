// Package emulator is an honest in-process stand-in for the data plane of an Azure Cosmos DB
// for NoSQL account: what tests, the demo and `cosmosgate dev` talk to.
package emulator
