package faults_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// call is one request of an SDK.
type call struct {
	key    string // partition key, by which upstream is scripted
	write  bool   // create an item; else read one
	path   string // if neither: GET of a path
	token  string // empty: a fresh one
	client *http.Client
	ctx    context.Context //nolint:containedctx // lives as long as the call
}

// reply is what the caller got, and the activity id that the record is found by.
type reply struct {
	activity string
	status   int
	header   http.Header
	body     string
	err      error // of the connection, or of reading the body
}

func (w *world) request(c call) (*http.Request, string) {
	w.t.Helper()
	method, path, body := http.MethodGet, c.path, ""
	switch {
	case c.write:
		method, path, body = http.MethodPost, "/dbs/store/colls/orders/docs", `{"id":"1","department":"`+c.key+`"}`
	case path == "":
		path = "/dbs/store/colls/orders/docs/1"
	}
	if c.ctx == nil {
		c.ctx = context.Background()
	}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(c.ctx, method, "https://"+gateHost+path, reader)
	w.must(err)
	if c.token == "" {
		c.token = w.token()
	}
	activity := uuid.NewString()
	r.Header.Set("Authorization", "type=aad&ver=1.0&sig="+c.token)
	r.Header.Set("X-Ms-Activity-Id", activity)
	r.Header.Set("X-Ms-Version", "2020-11-05")
	if c.key != "" {
		r.Header.Set("X-Ms-Documentdb-Partitionkey", `["`+c.key+`"]`)
	}
	if body != "" {
		r.Header.Set("Content-Type", jsonMedia)
	}
	return r, activity
}

func (w *world) do(c call) reply {
	w.t.Helper()
	r, activity := w.request(c)
	got := reply{activity: activity}
	client := c.client
	if client == nil {
		client = w.client
	}
	response, err := client.Do(r)
	if err != nil {
		got.err = err
		return got
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	got.status, got.header, got.body, got.err = response.StatusCode, response.Header, string(text), err
	return got
}

// record is the part of an audit line that a fault changes.
type record struct {
	Decision string `json:"decision"`
	Outcome  string `json:"outcome"`
	Status   int    `json:"status"`
	Upstream int    `json:"upstream_status"`
	Reason   string `json:"reason"`
}

// record finds the one line of a request. A second one would be a lie about how often it happened.
func (w *world) record(activity string) record {
	w.t.Helper()
	var found []string
	w.eventually("the record of "+activity+" is written", func() bool {
		found = found[:0]
		for _, line := range w.lines() {
			if strings.Contains(line, activity) && whole(line) {
				found = append(found, line)
			}
		}
		return len(found) > 0
	})
	var r record
	w.must(json.Unmarshal([]byte(found[0]), &r))
	if len(found) > 1 {
		w.t.Errorf("recorded %d times: %s", len(found), found)
	}
	return r
}

// seen is what one request came to.
type seen struct {
	status    int    // 0: the connection broke before an answer
	substatus string // of the answer
	code      string // of the native error
	broken    bool   // the answer was not whole
	record    record
}

// result waits for the record of a call that has ended.
func (w *world) result(got reply) seen {
	w.t.Helper()
	s := seen{status: got.status, broken: got.err != nil, record: w.record(got.activity)}
	if got.status < http.StatusBadRequest {
		return s
	}
	s.substatus = got.header.Get("X-Ms-Substatus")
	var body struct{ Code, Message string }
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || body.Message == "" || got.header.Get("Content-Type") != jsonMedia ||
		got.header.Get("Content-Length") != strconv.Itoa(len(got.body)) {
		w.t.Errorf("the error is not native JSON: %v %q", got.header, got.body)
	}
	s.code = body.Code
	return s
}

// expect does one request and compares everything about it.
func (w *world) expect(what string, c call, want seen) reply {
	w.t.Helper()
	got := w.do(c)
	w.compare(what, want, w.result(got))
	return got
}

func (w *world) compare(what string, want, got seen) {
	w.t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// serves states that requests pass as if nothing had happened.
func (w *world) serves(what string) {
	w.t.Helper()
	w.expect(what, call{key: "healthy"}, served)
}

// recovers waits until requests pass again: no restart, no hand.
func (w *world) recovers(c call) {
	w.t.Helper()
	w.eventually("the gate serves again", func() bool { return w.do(c).status == http.StatusOK })
	w.serves("after recovery")
}

// served is a read that went well.
var served = seen{status: http.StatusOK, record: record{"allow", "complete", http.StatusOK, http.StatusOK, ""}} //nolint:gochecknoglobals // a constant

// unavailable is an error of the gate's own fault, before anything was forwarded.
func unavailable(outcome string, upstream int) seen {
	decision := "allow"
	if outcome == "refused" {
		decision = "error"
	}
	return seen{
		status: http.StatusServiceUnavailable, substatus: "0", code: "ServiceUnavailable",
		record: record{decision, outcome, http.StatusServiceUnavailable, upstream, "ServiceUnavailable"},
	}
}

// moves runs a fault and states that a metric rises while it does.
func (w *world) moves(metric string, do func()) {
	w.t.Helper()
	before := w.metric(metric)
	do()
	w.eventually(metric+" rises", func() bool { return w.metric(metric) > before })
}

// row is one fault of the table.
type row struct {
	name string // as in docs/faults.md
	play func(t *testing.T, binary string)
}
