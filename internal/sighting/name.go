package sighting

import (
	"net/http"
	"strings"
)

// name says which operation it is; the words are those of docs/cosmos-coverage.md.
func (s *Sighting) name(r *http.Request, segments []string, body []byte) {
	words := make([]string, 0, len(segments))
	for i := 0; i < len(segments); i += 2 {
		words = append(words, strings.ToLower(segments[i]))
	}
	kind := strings.Join(words, "/")
	if len(segments)%2 == 0 {
		kind += "/*"
	}
	truthy := func(name string) bool { return strings.EqualFold(r.Header.Get(name), "true") }
	query := truthy("x-ms-documentdb-isquery") || truthy("x-ms-documentdb-query")
	switch r.Method + " " + kind {
	case "PATCH dbs/colls/docs/*":
		s.Operation = "items/patch"
		s.Asks, s.Shows = asks(body), shows(r.Header)
	case "GET dbs/colls/docs":
		s.Operation = feedKind(r.Header.Get("A-IM"), false)
	case "POST dbs/colls/docs":
		s.namePost(r, query, body)
	case "POST dbs", "POST dbs/colls":
		if query {
			s.Operation = map[string]string{"dbs": "databases/query", "dbs/colls": "containers/query"}[kind]
		}
	case "POST dbs/colls/conflicts":
		if query {
			s.Operation = "conflicts/query"
		}
	default:
		s.Operation = metadataKind(r.Method + " " + kind)
	}
}

func feedKind(mode string, query bool) string {
	switch {
	case mode == "" && query:
		return "items/query"
	case mode == "":
		return "items/readFeed"
	case query:
		return "items/changeFeedQuery"
	case strings.HasPrefix(mode, "Full"):
		return "items/changeFeedAllVersions"
	default:
		return "items/changeFeed"
	}
}

func (s *Sighting) namePost(r *http.Request, query bool, body []byte) {
	truthy := func(name string) bool { return strings.EqualFold(r.Header.Get(name), "true") }
	plan, batch, upsert := truthy("x-ms-cosmos-is-query-plan-request"), truthy("x-ms-cosmos-is-batch-request"), truthy("x-ms-documentdb-is-upsert")
	chosen := 0
	for _, is := range []bool{plan, query, batch, upsert} {
		if is {
			chosen++
		}
	}
	if chosen > 1 {
		s.Notes = append(s.Notes, "several selectors")
	}
	if isQuery := r.Header.Get("Content-Type") == "application/query+json"; isQuery != (query || plan) {
		s.Notes = append(s.Notes, "content type and selectors differ")
	}
	switch {
	case plan:
		s.Operation = "items/queryPlan"
	case query:
		s.Operation = feedKind(r.Header.Get("A-IM"), true)
	case batch:
		s.Operation = "items/bulk"
		if truthy("x-ms-cosmos-batch-atomic") {
			s.Operation = "items/batch"
		}
		s.readBatch(body, shows(r.Header))
	case upsert:
		s.Operation = "items/upsert"
	default:
		s.Operation = "items/create"
	}
}

// shows says whether the answer to a write holds the item.
func shows(h http.Header) bool {
	return !strings.EqualFold(h.Get("Prefer"), "return=minimal") || h.Get("X-Ms-Cosmos-Populate-Content-Response-On-Write") != ""
}

// metadataKind names what path and method alone tell.
func metadataKind(kind string) string {
	name := map[string]string{
		"GET dbs": "databases/list", "GET dbs/*": "databases/read", "GET dbs/colls": "containers/list", "GET dbs/colls/*": "containers/read",
		"GET dbs/colls/pkranges": "pkranges/read", "GET dbs/colls/docs/*": "items/read", "PUT dbs/colls/docs/*": "items/replace",
		"DELETE dbs/colls/docs/*": "items/delete", "POST dbs/colls/sprocs/*": "sprocs/execute", "GET dbs/colls/conflicts": "conflicts/list",
		"GET dbs/colls/conflicts/*": "conflicts/read", "DELETE dbs/colls/conflicts/*": "conflicts/delete",
		"GET dbs/clientencryptionkeys": "encryptionKeys/read", "GET dbs/clientencryptionkeys/*": "encryptionKeys/read",
	}[kind]
	if name == "" {
		return "unknown"
	}
	return name
}
