package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// recorded is one request as the SDK sent it, without what is secret or
// changes from run to run.
type recorded struct {
	Case     string      `json:"case"`
	Method   string      `json:"method"`
	Target   string      `json:"target"`
	Protocol string      `json:"protocol"`
	Header   http.Header `json:"header"`
	Body     string      `json:"body,omitempty"`
	// Binary is a body that is no text, as Rust writes items.
	Binary []byte `json:"binary,omitempty"`
	// Letters is the length of a body too long to be kept.
	Letters int `json:"letters,omitempty"`
}

// Values that stand for those that change: each still has the form that the
// header asks for.
const (
	someIdentifier   = "00000000-0000-0000-0000-000000000000"
	someDate         = "Tue, 01 Dec 2026 12:00:00 GMT"
	someSession      = "0:-1#1"
	someDatabase     = "AAAAAA=="
	someContainer    = "AAAAAIAAAAA="
	someToken        = "TOKEN"
	someContinuation = "CONTINUATION"
	longestBody      = 4096
)

// record runs one SDK through the gate with a recorder before it and writes
// what it sent to folder/NAME.json.
func record(ctx context.Context, s sdk, folder string, t *target, cases []testCase, out string) error {
	run := "conf-" + s.name + "-gate"
	p, err := t.plan(ctx, cases, run, "gate")
	if err != nil {
		return err
	}
	spy, err := newSpy(t, p, run)
	if err != nil {
		return err
	}
	defer spy.close()
	p.Endpoint, p.CA, p.CaseURL = spy.endpoint, spy.authority, spy.caseURL
	if _, err := s.run(ctx, folder, p); err != nil {
		return err
	}
	spy.mu.Lock()
	defer spy.mu.Unlock()
	return writeRecorded(filepath.Join(out, s.name+".json"), settled(cases, spy.requests))
}

// discovery stands for the case of requests that SDKs send when they please.
const discovery = "(discovery)"

// settled returns the requests in an order that two recordings share: cases as
// they ran, requests of a case by their text, since SDKs send some at the same
// time; each once; and reads of the account and of key ranges before all cases.
func settled(cases []testCase, requests []recorded) []recorded {
	position := map[string]int{discovery: -1}
	for i, c := range cases {
		position[c.Name] = i
	}
	for i, one := range requests {
		if one.Target == "/" || strings.HasSuffix(strings.TrimSuffix(one.Target, "/"), "/pkranges") {
			requests[i].Case = discovery
		}
	}
	slices.SortStableFunc(requests, func(a, b recorded) int {
		return cmp.Or(cmp.Compare(position[a.Case], position[b.Case]), strings.Compare(a.line(), b.line()))
	})
	return slices.CompactFunc(requests, func(a, b recorded) bool { return a.line() == b.line() })
}

// line is the request as one line of JSON.
func (r recorded) line() string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return err.Error() // strings and numbers always encode
	}
	return strings.TrimSpace(text.String())
}

// writeRecorded writes one request a line, so that a change is one line.
func writeRecorded(file string, requests []recorded) error {
	var text bytes.Buffer
	text.WriteString("[\n")
	for i, one := range requests {
		text.WriteString(one.line())
		if i < len(requests)-1 {
			text.WriteByte(',')
		}
		text.WriteByte('\n')
	}
	text.WriteString("]\n")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// notebook keeps the requests in the order of their arrival.
type notebook struct {
	mu       sync.Mutex
	current  string
	requests []recorded
	names    *strings.Replacer
}

// begin says which case the next requests belong to.
func (n *notebook) begin(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current = r.URL.Query().Get("case")
	w.WriteHeader(http.StatusNoContent)
}

// note keeps one request and gives its body back to whoever forwards it.
func (n *notebook) note(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	one := recorded{Method: r.Method, Target: n.target(r.RequestURI), Protocol: r.Proto, Header: n.header(r.Header)}
	switch {
	case len(body) > longestBody:
		one.Letters = len(body)
	case !utf8.Valid(body):
		one.Binary = body
	default:
		one.Body = regexp.MustCompile(identifierPattern).ReplaceAllString(n.names.Replace(string(body)), someIdentifier)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	one.Case = n.current
	n.requests = append(n.requests, one)
	return nil
}

// target returns the request target with logical names and stand-ins for the
// resource ids that SDKs address by.
func (n *notebook) target(sent string) string {
	sent = regexp.MustCompile(`/dbs/[A-Za-z0-9+-]{6}==`).ReplaceAllString(sent, "/dbs/"+someDatabase)
	sent = regexp.MustCompile(`/colls/[A-Za-z0-9+-]{11}=`).ReplaceAllString(sent, "/colls/"+someContainer)
	return n.names.Replace(sent)
}

// header returns the headers with stand-ins for secrets and changing values.
func (n *notebook) header(sent http.Header) http.Header {
	kept := http.Header{}
	for name, values := range sent {
		for _, value := range values {
			kept.Add(name, n.headerValue(name, value))
		}
	}
	return kept
}

func (n *notebook) headerValue(name, value string) string {
	switch name {
	case "Authorization":
		return withoutToken(value)
	case "X-Ms-Date":
		return someDate
	case "X-Ms-Session-Token":
		return someSession
	case "X-Ms-Continuation":
		return someContinuation
	case "X-Ms-Cosmos-Intended-Collection-Rid", "X-Ms-Documentdb-Collection-Rid":
		return someContainer
	case "User-Agent", "X-Ms-Useragent", "X-Ms-User-Agent":
		product, _, _ := strings.Cut(value, " ")
		return product
	}
	return regexp.MustCompile(identifierPattern).ReplaceAllString(n.names.Replace(value), someIdentifier)
}

// withoutToken keeps the form of the credential: its type, version and
// encoding.
func withoutToken(value string) string {
	for _, marker := range []string{"sig=", "sig%3D", "sig%3d"} {
		if before, token, found := strings.Cut(value, marker); found {
			if token == "" {
				return before + marker
			}
			return before + marker + someToken
		}
	}
	return someToken
}

// replacerFor turns the names of a run's own containers into their logical
// names, in paths and in bodies.
func replacerFor(containers map[string]place, run string) *strings.Replacer {
	var pairs []string
	for logical, p := range containers {
		if p.own {
			pairs = append(pairs, url.PathEscape(p.Container), logical)
		}
	}
	return strings.NewReplacer(append(pairs, run, "run")...)
}
