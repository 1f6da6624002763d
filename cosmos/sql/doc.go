// Package sql reads the query language of Azure Cosmos DB for NoSQL into a syntax tree with
// positions. It evaluates nothing and knows no container: the proxy analyses queries with it and
// the stand-in runs them.
package sql
