package cosmos_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

func TestOnlyListedHeadersGoUpstream(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		s      sent
		o      cosmos.UpstreamOptions
		want   map[string]string
		absent []string
	}{
		{
			name: "what every SDK needs",
			s: sent{method: http.MethodGet, target: item, headers: []string{
				"Accept: application/json", "Accept-Encoding: gzip", "User-Agent: azsdk-go", `If-None-Match: "e"`, "x-ms-version: 2020-11-05",
				"x-ms-session-token: 0:-1#5", "x-ms-consistency-level: Eventual", "x-ms-cosmos-sdk-supportedcapabilities: 1",
				"x-ms-cosmos-populateindexmetrics-V2: true",
			}},
			want: map[string]string{
				"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "azsdk-go", "If-None-Match": `"e"`,
				"X-Ms-Version": "2020-11-05", "X-Ms-Session-Token": "0:-1#5", "X-Ms-Consistency-Level": "Eventual",
				"X-Ms-Cosmos-Sdk-Supportedcapabilities": "1", "X-Ms-Cosmos-Populateindexmetrics-V2": "true",
			},
		},
		{
			name: "credentials, dates, marks of proxies and unknown headers stay",
			s: sent{method: http.MethodGet, target: item, headers: []string{
				"Authorization: type=aad&ver=1.0&sig=x", "Cookie: a=b", "Proxy-Authorization: Basic x", "Forwarded: for=1.2.3.4",
				"X-Forwarded-Host: evil", "X-Forwarded-For: 1.2.3.4", "Via: 1.1 x", "Range: bytes=0-1", "If-Range: x", "x-ms-date: then",
				"x-ms-cosmos-use-thinclient: true", "x-ms-thinclient-proxy-operation-type: 3", "globaldatabaseaccountname: other",
				"x-ms-cosmos-priority-level: High", "x-ms-cosmos-throughput-bucket: 1", "x-http-method-override: DELETE", "X-Anything: 1",
				"Origin: https://evil", "Expect: 100-continue", "x-ms-documentdb-unheard-of: 1",
			}},
			want: map[string]string{"User-Agent": "cosmosgate"},
			absent: []string{
				"Authorization", "Cookie", "Proxy-Authorization", "Forwarded", "X-Forwarded-Host", "X-Forwarded-For", "Via", "Range",
				"If-Range", "X-Ms-Date", "X-Ms-Cosmos-Use-Thinclient", "X-Ms-Thinclient-Proxy-Operation-Type", "Globaldatabaseaccountname",
				"X-Ms-Cosmos-Priority-Level", "X-Ms-Cosmos-Throughput-Bucket", "X-Http-Method-Override", "X-Anything", "Origin", "Expect",
				"X-Ms-Documentdb-Unheard-Of",
			},
		},
		{
			name: "what the gate sets",
			s:    sent{method: http.MethodGet, target: item},
			o: cosmos.UpstreamOptions{
				Authorization: cosmos.TokenAuthorization("a.b-c_d"), Date: "Thu, 01 Jan 2026 00:00:00 GMT", ActivityID: activityID,
				PriorityLevel: "Low", ThroughputBucket: "3",
			},
			want: map[string]string{
				"Authorization": "type%3Daad%26ver%3D1.0%26sig%3Da.b-c_d", "X-Ms-Date": "Thu, 01 Jan 2026 00:00:00 GMT",
				"X-Ms-Activity-Id": activityID, "X-Ms-Cosmos-Priority-Level": "Low", "X-Ms-Cosmos-Throughput-Bucket": "3",
			},
		},
		{
			name:   "Python 3.1's empty session token",
			s:      sent{method: http.MethodGet, target: item, headers: []string{"x-ms-session-token: "}},
			absent: []string{"X-Ms-Session-Token"},
		},
		{
			name: "binary responses are declined only where they were offered",
			s:    sent{method: http.MethodGet, target: item, headers: []string{"x-ms-cosmos-supported-serialization-formats: JsonText,CosmosBinary"}},
			want: map[string]string{"X-Ms-Cosmos-Supported-Serialization-Formats": "JsonText"},
		},
		{
			name: "the dedicated gateway's headers, to a dedicated gateway",
			s:    sent{method: http.MethodGet, target: item, headers: []string{"x-ms-dedicatedgateway-max-age: 5"}},
			o:    cosmos.UpstreamOptions{DedicatedGateway: true},
			want: map[string]string{"X-Ms-Dedicatedgateway-Max-Age": "5"},
		},
		{
			name:   "the dedicated gateway's headers, to another",
			s:      sent{method: http.MethodGet, target: item, headers: []string{"x-ms-dedicatedgateway-max-age: 5", "x-ms-dedicatedgateway-bypass-cache: true"}},
			absent: []string{"X-Ms-Dedicatedgateway-Max-Age", "X-Ms-Dedicatedgateway-Bypass-Cache"},
		},
		{
			name: "a feed that is filtered comes uncompressed",
			s:    sent{method: http.MethodGet, target: "/dbs", headers: []string{"Accept-Encoding: gzip"}},
			want: map[string]string{"Accept-Encoding": "identity"},
		},
		{
			name: "the partition key, canonically and in ASCII",
			s:    sent{method: http.MethodGet, target: item, headers: []string{`x-ms-documentdb-partitionkey: [ "café\u0021" , 1.0 ]`}},
			want: map[string]string{"X-Ms-Documentdb-Partitionkey": `["caf\u00e9!",1]`},
		},
		{
			name:   "metadata is asked for without partitions",
			s:      sent{method: http.MethodGet, target: container, headers: []string{emea, rangeZero}},
			absent: []string{"X-Ms-Documentdb-Partitionkey", "X-Ms-Documentdb-Partitionkeyrangeid"},
		},
		{
			name: "a minimal response that the gate forces",
			s: sent{
				method: http.MethodPatch, target: item, body: `[{"op":"set","path":"/a","value":1}]`,
				headers: []string{"Prefer: return=representation", "x-ms-cosmos-populate-content-response-on-write: true"},
			},
			o:      cosmos.UpstreamOptions{ReturnMinimal: true},
			want:   map[string]string{"Prefer": "return=minimal", "Content-Type": "application/json_patch+json"},
			absent: []string{"X-Ms-Cosmos-Populate-Content-Response-On-Write"},
		},
		{
			name: "Go's spelling of the query selector becomes the documented one",
			s:    sent{method: http.MethodPost, target: items, headers: []string{queryType, "x-ms-documentdb-query: True"}, body: queryText},
			want: map[string]string{"X-Ms-Documentdb-Isquery": "True", "Content-Type": "application/query+json"},
			absent: []string{
				"X-Ms-Documentdb-Query", "X-Ms-Documentdb-Is-Upsert", "X-Ms-Cosmos-Is-Batch-Request", "X-Ms-Cosmos-Is-Query-Plan-Request",
			},
		},
		{
			name:   "a plan that calls itself a query as well is sent as a plan only",
			s:      sent{method: http.MethodPost, target: items, headers: []string{"Content-Type: application/json", isPlan, isQuery}, body: queryText},
			want:   map[string]string{"X-Ms-Cosmos-Is-Query-Plan-Request": "True", "Content-Type": "application/query+json"},
			absent: []string{"X-Ms-Documentdb-Isquery"},
		},
		{
			name:   "a selector that says false is not sent",
			s:      sent{method: http.MethodPost, target: items, headers: []string{"x-ms-documentdb-is-upsert: false"}, body: `{"id":"1"}`},
			want:   map[string]string{"Content-Type": "application/json"},
			absent: []string{"X-Ms-Documentdb-Is-Upsert", "X-Ms-Documentdb-Isquery"},
		},
		{
			name: "the kind of feed in one spelling",
			s:    sent{method: http.MethodGet, target: items, headers: []string{"A-IM: Incremental feed"}},
			want: map[string]string{"A-Im": "Incremental Feed"},
		},
		{
			name: "the intended container",
			s:    sent{method: http.MethodGet, target: item, headers: []string{"x-ms-cosmos-intended-collection-rid: " + containerRID}},
			want: map[string]string{"X-Ms-Cosmos-Intended-Collection-Rid": containerRID},
		},
		{
			name:   "a container in a header that might redirect is not sent before it is known",
			s:      sent{method: http.MethodGet, target: item, headers: []string{"x-ms-documentdb-collection-rid: " + containerRID}},
			absent: []string{"X-Ms-Documentdb-Collection-Rid"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got := classified(t, row.s).UpstreamHeader(row.o)
			for name, value := range row.want {
				if diff := cmp.Diff([]string{value}, got[name]); diff != "" {
					t.Errorf("%s (-want +got)\n%s", name, diff)
				}
			}

			for _, name := range row.absent {
				if values, ok := got[name]; ok {
					t.Errorf("%s was sent: %q", name, values)
				}
			}
		})
	}
}

// TestEveryHeaderThatSDKsNeedIsOnTheList holds the list against what SDKs send with reads and queries of items.
func TestEveryHeaderThatSDKsNeedIsOnTheList(t *testing.T) {
	t.Parallel()

	for _, name := range []string{
		"Accept", "Accept-Encoding", "Cache-Control", "User-Agent", "If-Match", "If-None-Match", "If-Modified-Since", "Prefer",
		"x-ms-cosmos-correlated-activityid", "x-ms-client-id", "x-ms-useragent", "x-ms-user-agent",
		"x-ms-cosmos-sdk-supportedcapabilities", "x-ms-noretry-449",
		"x-ms-consistency-level", "x-ms-cosmos-read-consistency-strategy", "x-ms-session-token", "x-ms-cosmos-allow-tentative-writes",
		"x-ms-documentdb-partitionkeyrangeid", "x-ms-start-epk", "x-ms-end-epk", "x-ms-read-key-type",
		"x-ms-max-item-count", "x-ms-continuation", "x-ms-documentdb-responsecontinuationtokenlimitinkb",
		"x-ms-documentdb-query-iscontinuationexpected",
		"x-ms-documentdb-query-enablecrosspartition", "x-ms-documentdb-query-parallelizecrosspartitionquery",
		"x-ms-documentdb-query-enable-scan", "x-ms-documentdb-force-query-scan", "x-ms-documentdb-populatequerymetrics",
		"x-ms-cosmos-populateindexmetrics", "x-ms-cosmos-populateindexmetrics-V2", "x-ms-cosmos-query-version",
		"x-ms-cosmos-supported-query-features", "x-ms-indexing-directive", "x-ms-cosmos-populate-content-response-on-write",
		"x-ms-documentdb-populatequotainfo", "x-ms-documentdb-script-enable-logging", "x-ms-force-refresh",
		"x-ms-cosmos-changefeed-wire-format-version", "x-ms-cosmos-is-client-encrypted",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			const value = "any value; even=this, \"quoted\""

			op := classified(t, sent{method: http.MethodGet, target: items, headers: []string{name + ": " + value}})
			if diff := cmp.Diff([]string{value}, op.UpstreamHeader(cosmos.UpstreamOptions{}).Values(name)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The version says what the service makes of the other headers.
func TestAVersionOlderThanItsOperationIsRefused(t *testing.T) {
	t.Parallel()

	read := sent{http.MethodGet, item, []string{emea}, ""}
	feed := sent{http.MethodGet, items, []string{emea, "A-IM: Incremental Feed"}, ""}
	plan := sent{http.MethodPost, items, []string{emea, queryType, "x-ms-cosmos-is-query-plan-request: True"}, queryText}
	batch := sent{http.MethodPost, items, []string{emea, isBatch, isAtomic}, `[{"operationType":"Read","id":"1"}]`}

	for _, row := range []struct {
		name    string
		request sent
		version string
		fits    bool
	}{
		{"the latest", read, "2020-11-05", true},
		{"Python 3's", plan, "2018-12-31", true},
		{"one to come", batch, "2031-01-01", true},
		{"none", batch, "", true},
		{"the first with a change feed", feed, "2016-07-11", true},
		{"one without partition keys", read, "2015-08-06", false},
		{"one without a change feed", feed, "2015-12-16", false},
		{"a plan where there was none", plan, "2017-11-15", false},
		{"a batch where there was none", batch, "2018-09-17", false},
		{"no date", read, "latest", false},
		{"a date of another form", read, "2020-1-5", false},
		{"a date that sorts as a text", read, "2020-0x-05", false},
		{"two of them", read, "2020-11-05, 2014-08-21", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			row.request.headers = append(row.request.headers, "x-ms-version: "+row.version)

			op, err := classify(t, row.request)
			if (err == nil) != row.fits {
				t.Fatalf("got %v", err)
			}

			if err != nil {
				nativeError(t, err)
			} else if got := op.UpstreamHeader(cosmos.UpstreamOptions{}).Get("X-Ms-Version"); got != row.version {
				t.Errorf("sent %q", got)
			}
		})
	}
}

func TestHeadersThatReadTwoWaysAreRefused(t *testing.T) {
	t.Parallel()

	get := sent{method: http.MethodGet, target: item}
	create := sent{method: http.MethodPost, target: items, body: `{"id":"1"}`}

	for _, row := range []struct {
		name string
		s    sent
	}{
		{"two partition keys", get.with(emea, `x-ms-documentdb-partitionkey: ["apac"]`)},
		{"the same partition key twice", get.with(emea, emea)},
		{"two content types", create.with(queryType, "Content-Type: application/json")},
		{"two upsert flags", create.with("x-ms-documentdb-is-upsert: false", isUpsert)},
		{"two session tokens", get.with("x-ms-session-token: a", "x-ms-session-token: b")},
		{"a selector that is neither true nor false", create.with("x-ms-documentdb-is-upsert: 1")},
		{"an empty selector", create.with("x-ms-documentdb-isquery: ")},
		{"a selector with two values", create.with("x-ms-documentdb-is-upsert: true, false")},
		{"an unknown kind of feed", get.with("A-IM: gzip")},
		{"a selector that nobody knows", create.with("x-ms-cosmos-is-something-request: true")},
		{"a selector of the other prefix", create.with("x-ms-documentdb-is-delete: true")},
		{"an operation type", create.with("x-ms-operation-type: Delete")},
		{"a resource type", create.with("x-ms-cosmos-resource-type: 3")},
		{"a compressed body", create.with("Content-Encoding: gzip")},
		{"an upgrade", get.with("Connection: Upgrade", "Upgrade: h2c")},
		{"an announced trailer", create.with("Trailer: X-Ms-Documentdb-Isquery", "Transfer-Encoding: chunked")},
		{"a body on a read", sent{method: http.MethodGet, target: item, body: "{}"}},
		{"a body on a delete", sent{method: http.MethodDelete, target: item, body: "{}"}},
		{"a chunked body on a read", get.with("Transfer-Encoding: chunked")},
		{"an unknown method", sent{method: http.MethodHead, target: item}},
		{"options", sent{method: http.MethodOptions, target: item}},
		{"trace", sent{method: http.MethodTrace, target: item}},
		{"a partition key that is no array", get.with(`x-ms-documentdb-partitionkey: "emea"`)},
		{"an empty partition key", get.with("x-ms-documentdb-partitionkey: ")},
		{"an intended container that is no RID", get.with("x-ms-cosmos-intended-collection-rid: orders")},
		{"a batch flag that is neither true nor false", create.with(isBatch, "x-ms-cosmos-batch-atomic: maybe")},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			_, err := classify(t, row.s)
			if got := nativeError(t, err).Status; got != http.StatusBadRequest {
				t.Errorf("got status %d, want 400", got)
			}
		})
	}
}

func TestHeadersNamedByConnectionAreGoneBeforeAnythingReadsThem(t *testing.T) {
	t.Parallel()

	r, err := wire(sent{method: http.MethodGet, target: item, headers: []string{
		"Connection: keep-alive, X-Ms-Documentdb-PartitionKey", "Connection: authorization", "Keep-Alive: timeout=5", "TE: trailers",
		"Proxy-Connection: keep-alive", emea, "Authorization: type=aad&ver=1.0&sig=x",
	}})
	if err != nil {
		t.Fatal(err)
	}

	q, err := cosmos.Sanitize(r)
	if err != nil {
		t.Fatal(err)
	}

	if len(r.Header) != 0 {
		t.Errorf("left in the request: %v", r.Header)
	}

	op, err := cosmos.Classify(q, nil)
	if err != nil {
		t.Fatal(err)
	}

	if op.PartitionKeys != nil || op.Scope != cosmos.ScopeContainer {
		t.Errorf("the key that Connection names confines the request to %v", op.PartitionKeys)
	}

	if got := op.UpstreamHeader(cosmos.UpstreamOptions{}).Get("X-Ms-Documentdb-Partitionkey"); got != "" {
		t.Errorf("sent %q", got)
	}
}

func TestDroppedHeadersAreCountedByName(t *testing.T) {
	t.Parallel()

	r, err := wire(sent{method: http.MethodGet, target: item, headers: []string{"X-Anything: 1", "Cookie: known=1", "Accept: */*"}})
	if err != nil {
		t.Fatal(err)
	}

	q, err := cosmos.Sanitize(r)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff([]string{"X-Anything"}, q.Stripped()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestHeaderNamesMustBeCanonical(t *testing.T) {
	t.Parallel()

	_, err := cosmos.Sanitize(&http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: item}, Header: http.Header{"x-ms-documentdb-partitionkey": {`["emea"]`}},
	})
	if got := nativeError(t, err).Status; got != http.StatusBadRequest {
		t.Errorf("got status %d, want 400", got)
	}
}

func TestOnlyAGUIDIsAnActivityID(t *testing.T) {
	t.Parallel()

	for _, row := range []struct{ name, sent, want string }{
		{"a GUID", activityID, activityID},
		{"a GUID in braces", "{6fa459ea-ee8a-3ca4-894e-db77e16035}", ""},
		{"any text", "hello", ""},
		{"no dashes", "6fa459eaaee8aa3ca4a894eadb77e160355e", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			r, err := wire(sent{method: http.MethodGet, target: item, headers: []string{"x-ms-activity-id: " + row.sent}})
			if err != nil {
				t.Fatal(err)
			}

			q, err := cosmos.Sanitize(r)
			if err != nil {
				t.Fatal(err)
			}

			if got := q.ActivityID(); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}
