package sighting_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/sighting"
)

const credential = "Authorization: type%3Daad%26ver%3D1.0%26sig%3Dupstream-token-of-x\r\n"

func TestWhatIsSentIsReadFromItsBytes(t *testing.T) {
	t.Parallel()
	const items = " /dbs/shop/colls/orders/docs"
	for name, row := range map[string]struct {
		sent string
		want string
		does []string
	}{
		"a point read":      {"GET" + items + "/a%2Fb HTTP/1.1\r\nHost: h\r\n" + credential + "X-Ms-Documentdb-Partitionkey: [ 1.0]\r\n\r\n", "items/read shop/orders a/b [1]", []string{"items/read"}},
		"a query of ranges": {"POST" + items + " HTTP/1.1\r\nHost: h\r\n" + credential + "Content-Type: application/query+json\r\nX-Ms-Documentdb-Isquery: True\r\nX-Ms-Start-Epk: 00\r\nContent-Length: 2\r\n\r\n{}", "items/query shop/orders ranged", []string{"executeQuery"}},
		"by resource id":    {"GET /dbs/AQIDBA== HTTP/1.1\r\nHost: h\r\n" + credential + "\r\n", "databases/read shop", []string{"readMetadata"}},
		"a patch that asks": {"PATCH" + items + "/1 HTTP/1.1\r\nHost: h\r\n" + credential + "Prefer: return=minimal\r\nContent-Length: 33\r\n\r\n" + `{"operations":[],"condition":"c"}`, "items/patch shop/orders 1", []string{"items/read", "items/replace"}},
		"a write with a trigger": {"POST" + items + " HTTP/1.1\r\nHost: h\r\n" + credential + "X-Ms-Documentdb-Pre-Trigger-Include: t\r\nContent-Length: 2\r\n\r\n{}",
			"items/create shop/orders", []string{"executeStoredProcedure", "items/create"}},
		"what no gate may send": {
			"GET /dbs/shop/colls/%2e%2e?x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\nCookie: a\r\n\r\n",
			"containers/read shop/.. !query string !empty or dot segment !dot segment inside !sent: Cookie !foreign credential", []string{"readMetadata"},
		},
		"what nobody knows": {"LINK /dbs HTTP/1.1\r\nHost: h\r\n" + credential + "\r\n", "unknown ", []string{"none: unknown may not be sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := sighting.Raw([]byte(row.sent), map[string]string{"shop": "AQIDBA=="})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, s.String()); diff != "" {
				t.Errorf("sighting (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.does, s.Actions()); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyThePlainestHTTPIsRead(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"no end":            "GET / HTTP/1.1\r\nHost: h\r\n",
		"another version":   "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
		"two spaces":        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
		"two hosts":         "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
		"a bare line feed":  "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
		"a folded header":   "GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n",
		"a name and blanks": "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
		"two lengths":       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"another length":    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx",
		"chunks":            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a NUL":             "GET / HTTP/1.1\r\nHost: h\x00\r\n\r\n",
	} {
		if s, err := sighting.Raw([]byte(sent), nil); err == nil {
			t.Errorf("%s: %s", name, s.String())
		}
	}
}

func TestASecondReadingIsNoted(t *testing.T) {
	t.Parallel()
	r := &http.Request{Method: http.MethodPost, RequestURI: "/dbs/a%252fb/colls/c/docs", Host: "h", Header: http.Header{
		"X-Ms-Documentdb-Isquery": {"true"}, "X-Ms-Cosmos-Is-Batch-Request": {"true", "false"}, "Content-Type": {"application/query+json"},
		"Authorization": {"type%3Daad%26ver%3D1.0%26sig%3Dupstream-token-of-x"},
	}}
	s := sighting.Of(r, []byte(`{}`), nil)
	for _, want := range []string{"encoded twice", "twice: X-Ms-Cosmos-Is-Batch-Request", "several selectors"} {
		if !strings.Contains(strings.Join(s.Notes, ","), want) {
			t.Errorf("%q is not among %q", want, s.Notes)
		}
	}
}
