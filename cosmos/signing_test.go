package cosmos_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

func TestSpellingsThatAKeyMayHaveSigned(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, method, target string
		kind                 string
		links                []string
	}{
		{"account", "GET", "/", "", []string{""}},
		{"list of databases", "GET", "/dbs", "dbs", []string{""}},
		{"database", "GET", "/dbs/d", "dbs", []string{"dbs/d"}},
		{"create, query", "POST", "/dbs/d/colls/c/docs", "docs", []string{"dbs/d/colls/c"}},
		{"Python's slashes", "GET", "//dbs/d/colls/c/docs/a/", "docs", []string{"dbs/d/colls/c/docs/a"}},
		{"ranges", "GET", "/dbs/d/colls/c/pkranges", "pkranges", []string{"dbs/d/colls/c"}},
		{"keywords in upper case", "GET", "/DBS/Db/COLLS/C/DOCS/Id", "docs", []string{"dbs/Db/colls/C/docs/Id"}},
		{"stored procedure", "POST", "/dbs/d/colls/c/sprocs/s", "sprocs", []string{"dbs/d/colls/c/sprocs/s"}},
		{"a space", "GET", "/dbs/d/colls/c/docs/a%20b", "docs", []string{"dbs/d/colls/c/docs/a b", "dbs/d/colls/c/docs/a%20b"}},
		{
			"a percent sign", "GET", "/dbs/d/colls/c/docs/a%2520b", "docs",
			[]string{"dbs/d/colls/c/docs/a%20b", "dbs/d/colls/c/docs/a%2520b", "dbs/d/colls/c/docs/a b"},
		},
		{"a percent sign that is no escape", "GET", "/dbs/d/colls/c/docs/5%25", "docs", []string{"dbs/d/colls/c/docs/5%", "dbs/d/colls/c/docs/5%25"}},
		{"a feed under such a name", "GET", "/dbs/a%20b/colls", "colls", []string{"dbs/a b", "dbs/a%20b"}},
		{"resource ids", "GET", "/dbs/AAAAAQ==/colls/AAAAAYAAAAA=/docs", "docs", []string{"aaaaayaaaaa="}},
		{"resource ids, escaped", "GET", "/dbs/AAAAAQ%3D%3D/colls/AAAAAYAAAAA%3D", "colls", []string{"aaaaayaaaaa="}},
	} {
		q, err := cosmos.Sanitize(httptest.NewRequest(row.method, row.target, http.NoBody))
		if err != nil {
			t.Errorf("%s: %v", row.name, err)

			continue
		}

		kind, links := q.SignedLinks()
		if diff := cmp.Diff(row.links, links); diff != "" || kind != row.kind {
			t.Errorf("%s: type %q (-want +got):\n%s", row.name, kind, diff)
		}
	}
}
