package identity

import (
	"net/url"
	"slices"
	"strings"
)

// cosmosHint tells the user of an SDK that fell back to Cosmos' own scope what to do. Constant; safe for everybody.
const cosmosHint = "The token is meant for Azure Cosmos DB itself and must never be sent to a gateway. " +
	"Ask for a token whose audience is this gateway: set AZURE_COSMOS_AAD_SCOPE_OVERRIDE (Python, Java, .NET), " +
	"aadScope (JavaScript), or wrap the credential (Go, Rust)."

// cosmosApplication is the application id of Azure Cosmos DB in Entra, the audience of its v2 tokens.
const cosmosApplication = "a232010e-820c-4083-83bb-3ace5fc29d0b"

// isCosmosAudience reports whether an audience belongs to Cosmos DB in any Azure cloud: cosmos.azure.*, *.documents.azure.*, or
// its application id. A token for it opens the account directly, so that it is refused whoever signed it.
func isCosmosAudience(audience string) bool {
	audience = strings.ToLower(strings.TrimSpace(audience))
	if audience == cosmosApplication {
		return true
	}

	host := audience
	if u, err := url.Parse(audience); err == nil && u.Host != "" {
		host = u.Hostname()
	}

	host, _, _ = strings.Cut(host, "/")
	host = strings.TrimSuffix(host, ".")

	return strings.HasPrefix(host, "cosmos.azure.") || strings.Contains(host, ".documents.azure.")
}

// forCosmos reports whether any of the audiences is Cosmos DB's own.
func forCosmos(audiences []string) bool {
	return slices.ContainsFunc(audiences, isCosmosAudience)
}
