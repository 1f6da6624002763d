// Package replicas holds no code. Its tests run three gates, as operators run them, over one directory in one stand-in for Cosmos DB;
// kill them, cut them off from the directory, and measure how soon a revocation is obeyed.
package replicas
