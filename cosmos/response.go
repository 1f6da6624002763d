package cosmos

import "net/http"

// FilterResponse copies from src to dst what a caller may see of an upstream response.
func FilterResponse(dst, src http.Header) {}

// Publication is how an account appears to callers.
type Publication struct {
	// ID is the alias of the account.
	ID string
	// Endpoint is the base URL for the name that the request arrived on, from configuration.
	Endpoint string
	// Region is the name of the one published location.
	Region string
	// UpstreamHost must not occur in the document.
	UpstreamHost string
}

// AccountDocument builds the answer to GET / from the allow-listed fields of the upstream's, with the published endpoint
// as its only location.
func AccountDocument(upstream []byte, p Publication) ([]byte, error) { return nil, Malformed("not built") }

// FilterFeed drops from a feed of databases or containers the entries whose id keep does not accept, and corrects _count.
// It is not for query results, where an alias can put any value under id.
func FilterFeed(body []byte, keep func(name string) bool) ([]byte, error) {
	return nil, Malformed("not built")
}
