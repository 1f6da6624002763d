// Package upstream builds the credentials under which the gate speaks to Azure
// Cosmos DB: managed identity, workload identity, client certificate, and, for
// a developer's own machine, the Azure CLI.
//
// Every credential is an [azcore.TokenCredential] made by azidentity; nothing
// here caches, refreshes or logs a token. That is the proxy's part.
package upstream
