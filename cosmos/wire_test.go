package cosmos_test

import (
	"bufio"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// sent is a request as it stands on the wire, so that net/http parses it as the server would.
type sent struct {
	method, target string
	headers        []string
	body           string
}

func (s sent) with(headers ...string) sent {
	s.headers = append(append([]string{}, s.headers...), headers...)

	return s
}

// wire reads the request from its bytes.
func wire(s sent) (*http.Request, error) {
	var text strings.Builder

	text.WriteString(s.method + " " + s.target + " HTTP/1.1\r\nHost: gate.example\r\n")

	for _, header := range s.headers {
		text.WriteString(header + "\r\n")
	}

	if s.body != "" {
		text.WriteString("Content-Length: " + strconv.Itoa(len(s.body)) + "\r\n")
	}

	text.WriteString("\r\n" + s.body)

	return http.ReadRequest(bufio.NewReader(strings.NewReader(text.String())))
}

// classified sanitizes and classifies a request that the test expects to be readable.
func classified(t *testing.T, s sent) *cosmos.Operation {
	t.Helper()

	op, err := classify(t, s)
	if err != nil {
		t.Fatalf("%s %s: %v", s.method, s.target, err)
	}

	return op
}

func classify(t *testing.T, s sent) (*cosmos.Operation, error) {
	t.Helper()

	r, err := wire(s)
	if err != nil {
		t.Fatalf("%s %s is no HTTP request: %v", s.method, s.target, err)
	}

	q, err := cosmos.Sanitize(r)
	if err != nil {
		return nil, err
	}

	return cosmos.Classify(q, []byte(s.body))
}

// nativeError fails the test unless err is what callers are sent.
func nativeError(t *testing.T, err error) *cosmos.Error {
	t.Helper()

	var native *cosmos.Error
	if !errors.As(err, &native) {
		t.Fatalf("got %v, want a native error", err)
	}

	return native
}

// sameOperation compares what a decision is made on.
func sameOperation() cmp.Option {
	return cmp.Options{
		cmpopts.IgnoreUnexported(cosmos.Operation{}),
		cmpopts.IgnoreFields(cosmos.Operation{}, "Refusal"),
		cmpopts.EquateEmpty(),
	}
}

// again is the request that goes upstream, as the gate would read it.
func again(op *cosmos.Operation, body string) sent {
	s := sent{method: op.Method(), target: op.UpstreamPath(), body: body}

	for name, values := range op.UpstreamHeader(cosmos.UpstreamOptions{ActivityID: activityID}) {
		for _, value := range values {
			s.headers = append(s.headers, name+": "+value)
		}
	}

	return s
}

const (
	activityID   = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
	queryType    = "Content-Type: application/query+json"
	isQuery      = "x-ms-documentdb-isquery: True"
	isPlan       = "x-ms-cosmos-is-query-plan-request: True"
	isBatch      = "x-ms-cosmos-is-batch-request: True"
	isAtomic     = "x-ms-cosmos-batch-atomic: True"
	isBulk       = "x-ms-cosmos-batch-atomic: False"
	isUpsert     = "x-ms-documentdb-is-upsert: True"
	incremental  = "A-IM: Incremental Feed"
	emea         = `x-ms-documentdb-partitionkey: ["emea"]`
	rangeZero    = "x-ms-documentdb-partitionkeyrangeid: 0"
	queryText    = `{"query":"SELECT * FROM c"}`
	container    = "/dbs/shop/colls/orders"
	items        = container + "/docs"
	item         = items + "/1"
	databaseRID  = "QicwAA=="
	containerRID = "QicwAMPXDQA="
	itemRID      = "QicwAMPXDQABAAAAAAAAAA=="
)
