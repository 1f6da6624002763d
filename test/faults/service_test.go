package faults_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answered is an upstream that answers, or breaks off while it does, and what that comes to for a read and for a write.
type answered struct {
	name   string
	script http.HandlerFunc
	read   seen
	write  seen
	metric string // that rises
	// header must reach the caller.
	header, value string
}

// passed is an error of the service that the caller gets as it is.
func passed(status, substatus int) seen {
	return seen{
		status: status, substatus: strconv.Itoa(substatus), code: "Fault",
		record: record{"allow", "complete", status, status, ""},
	}
}

// inDoubt is a write of which nobody knows whether it was carried out.
func inDoubt(outcome string, upstream int) seen {
	return seen{
		status: http.StatusRequestTimeout, substatus: "0", code: "RequestTimeout",
		record: record{"allow", outcome, http.StatusRequestTimeout, upstream, "RequestTimeout"},
	}
}

const (
	failure    = "upstream_failure"
	requests5  = `cosmosgate_requests_total{class="5xx",decision="allow",`
	requests4  = `cosmosgate_requests_total{class="4xx",decision="allow",`
	requests2  = `cosmosgate_requests_total{class="2xx",decision="allow",`
	rejections = `cosmosgate_upstream_identity_rejections_total{account="shop",identity="orders"}`
	head       = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
)

func answers() []answered {
	refused := unavailable(failure, http.StatusForbidden)
	return []answered{
		{name: "the service refuses our identity (403)", script: native(403, 5302), read: refused, write: refused, metric: rejections},
		{
			name: "the service refuses our token (401)", script: native(401, 5004, "Www-Authenticate", `Bearer authorization_uri="https://login"`),
			read: unavailable(failure, 401), write: unavailable(failure, 401), metric: rejections,
		},
		{
			name: "the service wants another region (403/3)", script: native(403, 3),
			read: unavailable(failure, 403), write: unavailable(failure, 403), metric: requests5,
		},
		{name: "the service times out (408)", script: native(408, 0), read: passed(408, 0), write: passed(408, 0), metric: requests4},
		{name: "a partition is gone (410)", script: native(410, 1002), read: passed(410, 1002), write: passed(410, 1002), metric: requests4},
		{
			name: "the service throttles (429)", script: native(429, 3200, "X-Ms-Retry-After-Ms", "1234"),
			read: passed(429, 3200), write: passed(429, 3200), metric: requests4, header: "X-Ms-Retry-After-Ms", value: "1234",
		},
		{name: "a write conflicts with another (449)", script: native(449, 0), read: passed(449, 0), write: passed(449, 0), metric: requests4},
		{name: "the service has its own trouble (503)", script: native(503, 21001), read: passed(503, 21001), write: passed(503, 21001), metric: requests5},
		{
			name: "the service closes before it answers", script: wire("", false),
			read: unavailable(failure, 0), write: inDoubt(failure, 0), metric: requests5,
		},
		{
			name: "reset within the header", script: wire(head+"X-Ms-Request-Cha", true),
			read: unavailable(failure, 0), write: inDoubt(failure, 0), metric: requests5,
		},
		{
			name: "reset before the body", script: wire(head+"Content-Length: 100\r\n\r\n", true),
			read: unavailable(failure, 200), write: inDoubt(failure, 200), metric: requests5,
		},
		{
			name: "headers without bound", script: wire(head+"X-Ms-Large: "+strings.Repeat("x", 256<<10)+"\r\n\r\n{}", false),
			read: unavailable(failure, 0), write: inDoubt(failure, 0), metric: requests5,
		},
		{
			name: "a page in place of a document", script: page(http.StatusOK),
			read: unavailable(failure, 200), write: inDoubt(failure, 200), metric: requests5,
		},
		{
			name: "a page of an intermediary (502)", script: page(http.StatusBadGateway),
			read: seen{
				status: 502, substatus: "0", code: "502",
				record: record{"allow", failure, 502, 502, "502"},
			},
			write: inDoubt(failure, 502), metric: requests5,
		},
		{
			name: "a slow trickle", script: trickle,
			read: served, write: served, metric: requests2,
		},
	}
}

func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>"+upstreamName+"</html>")
	}
}

// trickle sends a document byte by byte: as long as it goes on, nobody gives up.
func trickle(w http.ResponseWriter, _ *http.Request) {
	itemHeader(w.Header())
	for _, b := range []byte(`{"id":"1"}`) {
		_, _ = w.Write([]byte{b})
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
	}
}

// playAnswers plays all rows of answers around one gate.
func playAnswers(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	for i, a := range answers() {
		t.Run(a.name, func(t *testing.T) {
			key := "answer-" + strconv.Itoa(i)
			w := w.in(t)
			w.upstream.script(key, a.script)
			w.moves(a.metric, func() {
				got := w.expect("read", call{key: key}, a.read)
				if a.header != "" && got.header.Get(a.header) != a.value {
					t.Errorf("%s is %q, not %q", a.header, got.header.Get(a.header), a.value)
				}
				if strings.Contains(strings.ToLower(got.body), upstreamName) || got.header.Get("Www-Authenticate") != "" {
					t.Errorf("the caller learns where upstream is: %v %s", got.header, got.body)
				}
			})
			before := w.upstream.requests(key)
			w.expect("write", call{key: key, write: true}, a.write)
			if n := w.upstream.requests(key) - before; n != 1 {
				t.Errorf("the write was sent %d times", n)
			}
			if w.ready().code != http.StatusOK {
				t.Error("an answer of upstream took the gate out of service")
			}
			w.serves("the next request")
		})
	}
}

// in is the same world, failing another test.
func (w *world) in(t *testing.T) *world {
	t.Helper()
	other := *w
	other.t = t
	return &other
}

// Rows with a gate of their own, because something lasts.

func playBrokenBody(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	for _, form := range []struct{ name, head string }{
		{"known length", head + "Content-Length: 1000000\r\n\r\n"},
		{"unknown length", head + "Transfer-Encoding: chunked\r\n\r\n7\r\n"},
	} {
		begun := make(chan struct{})
		w.upstream.script("broken", func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(conn, form.head+`{"id":1`+"\r\n")
			<-begun
			_ = conn.Close()
		})
		r, activity := w.request(call{key: "broken"})
		w.moves(requests2, func() {
			time.AfterFunc(time.Second, func() { close(begun) })
			response, err := w.client.Do(r)
			got := reply{activity: activity, err: err}
			if err == nil {
				_, got.err = io.ReadAll(response.Body)
				got.status = response.StatusCode
				_ = response.Body.Close()
			}
			result := w.result(got)
			// A small beginning may still be in the gate when upstream breaks off: then the caller sees nothing of it.
			result.status = result.record.Status
			w.compare(form.name, seen{status: 200, broken: true, record: record{"allow", "partial", 200, 200, ""}}, result)
		})
	}
	w.serves("the next request")
}

func playHang(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	w.upstream.script("hang", w.upstream.hang)
	late := make(chan func(), 1)
	go func() {
		got := w.do(call{key: "hang", write: true})
		late <- func() { w.compare("write", inDoubt("upstream_timeout", 0), w.result(got)) }
	}()
	w.expect("read", call{key: "hang"}, unavailable("upstream_timeout", 0))
	(<-late)()
	w.serves("the next request")
}

func playHangWithinBody(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	w.upstream.script("hang", func(rw http.ResponseWriter, r *http.Request) {
		itemHeader(rw.Header())
		_, _ = io.WriteString(rw, `{"id":`)
		_ = http.NewResponseController(rw).Flush()
		w.upstream.hang(rw, r)
	})
	w.expect("read", call{key: "hang"}, seen{
		status: 200, broken: true, record: record{"allow", "partial", 200, 200, ""},
	})
	w.serves("the next request")
}
