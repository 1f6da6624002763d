package cosmos_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

func TestResponsesKeepWhatSDKsUseAndLoseWhatNamesTheUpstream(t *testing.T) {
	t.Parallel()

	kept := http.Header{
		"Etag": {`"e"`}, "Lsn": {"5"}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}, "Content-Length": {"12"},
		"X-Ms-Request-Charge": {"1.24"}, "X-Ms-Session-Token": {"0:-1#5"}, "X-Ms-Continuation": {"t"}, "X-Ms-Substatus": {"1002"},
		"X-Ms-Content-Path": {"QicwAMPXDQA="}, "X-Ms-Alt-Content-Path": {"dbs/shop"}, "X-Ms-Documentdb-Query-Metrics": {"m"},
	}
	lost := http.Header{
		"Connection": {"keep-alive, X-Ms-Hop"}, "X-Ms-Hop": {"1"}, "Keep-Alive": {"timeout=5"}, "Transfer-Encoding": {"chunked"},
		"Trailer": {"X"}, "Content-Location": {"https://acc.documents.azure.com/dbs"}, "Location": {"https://acc.documents.azure.com"},
		"Www-Authenticate": {`Bearer authorization_uri="https://login"`}, "Set-Cookie": {"a=b"}, "Server": {"Microsoft-HTTPAPI/2.0"},
		"Via": {"1.1 x"}, "Alt-Svc": {"h3"}, "Strict-Transport-Security": {"max-age=1"}, "Proxy-Authenticate": {"Basic"}, "X-Powered-By": {"x"},
	}

	src, got := kept.Clone(), http.Header{}
	maps.Copy(src, lost)

	cosmos.FilterResponse(got, src)

	if diff := cmp.Diff(kept, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUpstreamAnswersThatAreTheGatesFault(t *testing.T) {
	t.Parallel()

	native := func(substatus string) http.Header {
		return http.Header{"Content-Type": {"application/json"}, "X-Ms-Substatus": {substatus}, "X-Ms-Retry-After-Ms": {"40"}}
	}
	html := http.Header{"Content-Type": {"text/html"}, "X-Ms-Substatus": {"7"}, "X-Ms-Retry-After-Ms": {"40"}}

	for _, row := range []struct {
		name   string
		status int
		header http.Header
		want   []any
	}{
		{"a document passes", 200, native(""), nil},
		{"no content passes", 204, http.Header{}, nil},
		{"not modified passes", 304, http.Header{}, nil},
		{"a native 404 passes", 404, native("1003"), nil},
		{"a native 409 passes", 409, native("0"), nil},
		{"a native 429 passes", 429, native("3200"), nil},
		{"a native 449 passes", 449, native("0"), nil},
		{"a native 403 of a firewall passes", 403, native("0"), nil},
		{"JSON with a character set passes", 400, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, nil},
		{"the gate's token is refused", 401, native("5006"), []any{503, 0, time.Duration(0)}},
		{"the gate's role lacks a grant", 403, native("5302"), []any{503, 0, time.Duration(0)}},
		{"a write at a read region", 403, native("3"), []any{503, 0, time.Duration(0)}},
		{"an account that is not in the region", 403, native("1008"), []any{503, 0, time.Duration(0)}},
		{"a redirect", 307, native("0"), []any{503, 0, time.Duration(0)}},
		{"a protocol switch", 101, native("0"), []any{503, 0, time.Duration(0)}},
		{"a proxy that wants a password", 407, html, []any{503, 0, time.Duration(0)}},
		{"a page of HTML", 200, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, []any{503, 0, time.Duration(0)}},
		{"a 502 in HTML keeps its status", 502, html, []any{502, 7, time.Duration(0)}},
		{"a 404 in HTML keeps its status", 404, html, []any{404, 7, time.Duration(0)}},
		{"a 403 in text keeps its status", 403, http.Header{"Content-Type": {"text/plain"}}, []any{403, 0, time.Duration(0)}},
		{"a 429 in HTML keeps its time", 429, html, []any{429, 7, 40 * time.Millisecond}},
		{"a 429 without a time gets one", 429, http.Header{"Content-Type": {"application/json"}}, []any{429, 0, time.Millisecond}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			var got []any
			if err := cosmos.CheckResponse(row.status, row.header); err != nil {
				got = []any{err.Status, err.Substatus, err.RetryAfter}

				if err.Reason == "" || err.Message == "" || err.Code == "" {
					t.Errorf("incomplete: %+v", err)
				}
			}

			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestFeedsShowOnlyWhatTheCallerMayReach(t *testing.T) {
	t.Parallel()

	for _, row := range []struct{ name, body, want string }{
		{
			"databases", `{"_rid":"","Databases":[{"id":"shop","_rid":"a"},{"id":"secret","_rid":"b"}],"_count":2}`,
			`{"_rid":"","Databases":[{"id":"shop","_rid":"a"}],"_count":1}`,
		},
		{
			"containers", `{ "_rid" : "QicwAA==", "_count" : 1, "DocumentCollections" : [ { "id" : "secret" } ] }`,
			`{"_rid":"QicwAA==","DocumentCollections":[],"_count":0}`,
		},
		{"an escaped id", `{"Databases":[{"id":"sh\u006fp"}]}`, `{"Databases":[{"id":"sh\u006fp"}],"_count":1}`},
		{"an entry with two ids", `{"Databases":[{"id":"secret","id":"shop"}]}`, `{"Databases":[],"_count":0}`},
		{"an entry without an id", `{"Databases":[{"Id":"shop"}]}`, `{"Databases":[],"_count":0}`},
		{"members beside the feed", `{"Databases":[],"location":"https://acc.documents.azure.com"}`, `{"Databases":[],"_count":0}`},
		{"two feeds", `{"Databases":[],"Databases":[{"id":"secret"}]}`, ""},
		{"no feed", `{"_count":0}`, ""},
		{"values instead of entries", `{"Databases":["secret"]}`, ""},
		{"a truncated feed", `{"Databases":[{"id":"shop"}`, ""},
		{"broken UTF-8", "{\"Databases\":[{\"id\":\"\xff\"}]}", ""},
		{"trailing data", `{"Databases":[]}{}`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got, err := filterFeed([]byte(row.body))
			if row.want == "" {
				if status := nativeError(t, err).Status; status != http.StatusServiceUnavailable {
					t.Errorf("got status %d, want 503", status)
				}

				return
			}

			if diff := cmp.Diff(row.want, string(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// filterFeed shows of a feed what is called shop.
func filterFeed(body []byte) ([]byte, error) {
	var feed cosmos.Feed
	if err := feed.Add(body, func(name string) bool { return name == "shop" }); err != nil {
		return nil, err //nolint:wrapcheck // judged by its type
	}

	return feed.Page(0, feed.Len()), nil
}
