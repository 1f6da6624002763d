package cosmos_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// pointRead is what azcosmos sends, as net/http hands it over.
func pointRead() *http.Request {
	return &http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Path: item},
		Header: http.Header{
			"Accept":                                {"application/json"},
			"Accept-Encoding":                       {"gzip"},
			"Authorization":                         {"type=aad&ver=1.0&sig=token"},
			"User-Agent":                            {"azsdk-go-azcosmos/v1.5.0 (go1.26; linux)"},
			"X-Ms-Activity-Id":                      {activityID},
			"X-Ms-Cosmos-Sdk-Supportedcapabilities": {"1"},
			"X-Ms-Date":                             {"Tue, 24 Nov 2026 12:00:00 GMT"},
			"X-Ms-Documentdb-Partitionkey":          {`["emea"]`},
			"X-Ms-Session-Token":                    {"0:-1#5"},
			"X-Ms-Version":                          {"2020-11-05"},
		},
	}
}

func queryRequest() *http.Request {
	r := pointRead()
	r.Method, r.URL.Path, r.ContentLength = http.MethodPost, items, int64(len(queryText))
	r.Header["Content-Type"] = []string{"application/query+json"}
	r.Header["X-Ms-Documentdb-Query"] = []string{"True"}

	return r
}

func admit(tb testing.TB, r *http.Request, body []byte) *cosmos.Operation {
	tb.Helper()

	q, err := cosmos.Sanitize(r)
	if err != nil {
		tb.Fatal(err)
	}

	op, err := cosmos.Classify(q, body)
	if err != nil {
		tb.Fatal(err)
	}

	return op
}

// TestTheAllowPathAllocatesLittle guards the budget: the request, the operation, the list of headers.
func TestTheAllowPathAllocatesLittle(t *testing.T) {
	for _, row := range []struct {
		name string
		r    *http.Request
		most float64
	}{
		{"a point read", pointRead(), 3},
		{"a query", queryRequest(), 3},
	} {
		if got := testing.AllocsPerRun(100, func() { admit(t, row.r, nil) }); got > row.most {
			t.Errorf("%s: %v allocations to sanitize and classify, want at most %v", row.name, got, row.most)
		}
	}

	op := admit(t, pointRead(), nil)

	const most = 6 // the map with its table, the values, the path, the partition key

	if got := testing.AllocsPerRun(100, func() { op.UpstreamPath(); op.UpstreamHeader(cosmos.UpstreamOptions{}) }); got > most {
		t.Errorf("%v allocations to rebuild the request, want at most %d", got, most)
	}
}

func BenchmarkSanitizeAndClassify(b *testing.B) {
	batchBody := []byte(`[{"operationType":"Create","resourceBody":{"id":"1","department":"emea"}},{"operationType":"Delete","id":"1"}]`)
	batch := queryRequest()
	batch.ContentLength = int64(len(batchBody))
	batch.Header["Content-Type"] = []string{"application/json"}
	delete(batch.Header, "X-Ms-Documentdb-Query")
	batch.Header["X-Ms-Cosmos-Is-Batch-Request"] = []string{"True"}
	batch.Header["X-Ms-Cosmos-Batch-Atomic"] = []string{"True"}

	for _, row := range []struct {
		name string
		r    *http.Request
		body []byte
	}{
		{"pointRead", pointRead(), nil},
		{"query", queryRequest(), nil},
		{"batchOfTwo", batch, batchBody},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()

			for b.Loop() {
				admit(b, row.r, row.body)
			}
		})
	}
}

func BenchmarkRebuild(b *testing.B) {
	op := admit(b, pointRead(), nil)
	o := cosmos.UpstreamOptions{Authorization: "token", Date: "Tue, 24 Nov 2026 12:00:00 GMT", ActivityID: activityID}

	b.ReportAllocs()

	for b.Loop() {
		op.UpstreamPath()
		op.UpstreamHeader(o)
	}
}

func BenchmarkParseAuthorization(b *testing.B) {
	token := strings.Repeat("eyJhbGciOi-JSUzI1_iJ9", 70) // 1.5 KB, as those of Entra ID

	for _, row := range []struct{ name, value string }{
		{"encoded", cosmos.TokenAuthorization(token)},
		{"plain", "type=aad&ver=1.0&sig=" + token},
	} {
		b.Run(row.name, func(b *testing.B) {
			h := http.Header{"Authorization": {row.value}}

			b.ReportAllocs()

			for b.Loop() {
				if _, err := cosmos.ParseAuthorization(h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFilterResponse(b *testing.B) {
	src := http.Header{
		"Content-Type": {"application/json"}, "Etag": {"e"}, "Lsn": {"5"}, "X-Ms-Request-Charge": {"1"}, "X-Ms-Session-Token": {"0:-1#5"},
		"Server": {"x"}, "Strict-Transport-Security": {"x"}, "X-Ms-Activity-Id": {activityID},
	}

	b.ReportAllocs()

	for b.Loop() {
		cosmos.FilterResponse(make(http.Header, len(src)), src)
	}
}
