package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

const createPath = "/dbs/shop/colls/orders/docs"

func TestBodiesBeyondTheLimitAre413(t *testing.T) {
	t.Parallel()
	const tooMuch = 3 << 20
	for _, row := range []struct {
		name string
		body io.Reader
	}{
		{"of declared length", strings.NewReader(strings.Repeat("x", tooMuch))},
		{"of undeclared length", io.MultiReader(strings.NewReader(strings.Repeat("x", tooMuch)))},
	} {
		for _, http1 := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/http1=%v", row.name, http1), func(t *testing.T) {
				t.Parallel()
				g := newGate(t, setup{http1: http1})
				body := strings.Repeat("x", tooMuch)
				r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://"+publicHost+createPath, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header = request(t, http.MethodPost, createPath, "{}", "X-Ms-Documentdb-Partitionkey", `["emea"]`).Header
				want := verdict{audit.Deny, audit.Refused, 413, 0}
				if row.name == "of undeclared length" { // found out after it was let in
					r.ContentLength = -1
					want = verdict{audit.Allow, audit.RequestBroken, 413, 0}
				}
				got := g.do(r)
				if got.Err == nil { // An HTTP/1.1 client may see its connection break while it is still sending.
					checkNative(t, got, http.StatusRequestEntityTooLarge)
				}
				rec := g.ledger.next(t)
				if diff := cmp.Diff(want, ended(rec)); diff != "" {
					t.Errorf("record (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestBodiesArriveUpstreamAsTheyWereSent(t *testing.T) {
	t.Parallel()
	for _, size := range []int{2, 100, 64 << 10, 64<<10 + 1, 1 << 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, chunked %v", size, chunked), func(t *testing.T) {
				t.Parallel()
				g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusCreated)
				}})
				body := `"` + strings.Repeat("x", size-2) + `"`
				r := request(t, http.MethodPost, createPath, body)
				if chunked {
					r.ContentLength = -1
				}
				if got := g.do(r); got.Status != http.StatusCreated {
					t.Fatalf("status %d: %s", got.Status, got.Body)
				}
				if got := g.service.seen()[0].Body; got != body {
					t.Errorf("upstream received %d bytes, want %d", len(got), len(body))
				}
				if diff := cmp.Diff(int64(size), g.ledger.next(t).BytesIn); diff != "" {
					t.Errorf("recorded bytes (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestResponsePiecesArriveWhenUpstreamSendsThem(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		item(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-arrived
		_, _ = io.WriteString(w, "second")
	}})
	response, err := g.client.Do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end.
	first := make([]byte, len("first"))
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	close(arrived)
	rest, err := io.ReadAll(response.Body)
	if diff := cmp.Diff("firstsecond", string(first)+string(rest)); diff != "" || err != nil {
		t.Errorf("body (-want +got), %v:\n%s", err, diff)
	}
}

func TestRequestPiecesArriveUpstreamBeforeTheLast(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	g := newGate(t, setup{})
	streaming := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			g.service.ServeHTTP(w, r)
			return
		}
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		close(arrived)
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
	})
	g.service.server.Config.Handler = streaming
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, `{"id":`)
		<-arrived
		_, _ = io.WriteString(writer, `"1"}`)
		_ = writer.Close()
	}()
	r := request(t, http.MethodPost, createPath, "{}")
	r.Body, r.ContentLength = reader, -1
	if got := g.do(r); got.Status != http.StatusCreated {
		t.Errorf("status %d: %s", got.Status, got.Body)
	}
}

// rawConnection opens a TLS connection to the gate and sends text on it.
func rawConnection(t *testing.T, g *gate, text string) net.Conn {
	t.Helper()
	transport, ok := g.client.Transport.(*http.Transport)
	if !ok {
		t.Fatal("the client has another transport")
	}
	cfg := transport.TLSClientConfig.Clone()
	cfg.NextProtos = nil
	conn, err := tls.Dial("tcp", g.server.Listener.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	return conn
}

const unfinished = "POST " + createPath + ` HTTP/1.1
Host: ` + publicHost + `
Authorization: type=aad&ver=1.0&sig=` + callerToken + `
x-ms-activity-id: ` + activityID + `
x-ms-documentdb-partitionkey: ["emea"]
Content-Type: application/json
Content-Length: 100

{"id":`

func TestBodyThatEndsEarlyIsNotForwarded(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{http1: true})
	conn, ok := rawConnection(t, g, unfinished).(*tls.Conn)
	if !ok {
		t.Fatal("no TLS connection")
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("a caller that had left got %q, %v", got, err)
	}
	if diff := cmp.Diff(verdict{audit.Allow, audit.ClientAbort, 499, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if n := len(g.service.seen()); n != 0 {
		t.Errorf("upstream received %d requests", n)
	}
}

// halves does not answer a request of which it has not everything.
func halves(w http.ResponseWriter, r *http.Request) {
	if body, _ := io.ReadAll(r.Body); !json.Valid(body) {
		panic(http.ErrAbortHandler)
	}
	item(w, `{"id":"1"}`)
}

func TestStreamedBodyThatEndsEarlyIsTheCallersFault(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{http1: true, handler: halves})
	large := strings.Replace(unfinished, "Content-Length: 100\n", "Content-Length: 100000\n", 1)
	_ = rawConnection(t, g, large).Close()
	if diff := cmp.Diff(verdict{audit.Allow, audit.ClientAbort, 499, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestCallerThatStopsSendingIsTimedOut(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{http1: true, limits: proxy.Limits{TransferTimeout: 50 * time.Millisecond}})
	conn := rawConnection(t, g, unfinished)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	checkNative(t, reply{Status: response.StatusCode, Header: response.Header, Body: string(body)}, http.StatusRequestTimeout)
	if diff := cmp.Diff(verdict{audit.Deny, audit.Refused, 408, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestRefusalDoesNotWaitForABodyThatNeverComes(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{
		http1: true, limits: proxy.Limits{TransferTimeout: 50 * time.Millisecond},
		decide: func(policy.Request) policy.Decision { return policy.Decision{Reason: policy.ReasonNoRole} },
	})
	response, err := http.ReadResponse(bufio.NewReader(rawConnection(t, g, unfinished)), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if diff := cmp.Diff(http.StatusForbidden, response.StatusCode); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestReadDeadlineDoesNotOutliveTheBody(t *testing.T) {
	t.Parallel()
	const patience = 50 * time.Millisecond
	g := newGate(t, setup{http1: true, limits: proxy.Limits{TransferTimeout: patience}, handler: func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * patience)
		w.WriteHeader(http.StatusCreated)
	}})
	if got := g.create(); got.Status != http.StatusCreated {
		t.Errorf("status %d, %v", got.Status, got.Err)
	}
}

func TestRequestsBeyondTheCapAreToldToComeBack(t *testing.T) {
	t.Parallel()
	arrived, leave := make(chan struct{}), make(chan struct{})
	g := newGate(t, setup{limits: proxy.Limits{MaxInFlight: 1}, handler: func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-leave
		item(w, "{}")
	}})
	first := make(chan reply, 1)
	go func() { first <- g.get() }()
	<-arrived

	got := g.get()

	checkNative(t, got, http.StatusServiceUnavailable)
	if got.Header.Get("Retry-After") == "" {
		t.Error("no time to come back")
	}
	if diff := cmp.Diff(verdict{audit.Error, audit.Refused, 503, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	close(leave)
	if got := <-first; got.Status != http.StatusOK {
		t.Errorf("the first request ended with %d", got.Status)
	}
	g.ledger.next(t)
	for _, c := range g.proxy.Collectors() {
		if got := testutil.CollectAndCount(c, "cosmosgate_requests_in_flight"); got == 1 {
			if diff := cmp.Diff(0.0, testutil.ToFloat64(c)); diff != "" {
				t.Errorf("in flight (-want +got):\n%s", diff)
			}
		}
	}
}

func TestBodiesHeldAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	arrived, leave := make(chan struct{}), make(chan struct{})
	g := newGate(t, setup{limits: proxy.Limits{MaxBufferedBytes: 40}, handler: func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-leave
		w.WriteHeader(http.StatusCreated)
	}})
	first := make(chan reply, 1)
	go func() { first <- g.create() }()
	<-arrived

	got := g.create()

	checkNative(t, got, http.StatusServiceUnavailable)
	if got.Header.Get("Retry-After") == "" {
		t.Error("no time to come back")
	}
	close(leave)
	if got := <-first; got.Status != http.StatusCreated {
		t.Errorf("the first request ended with %d", got.Status)
	}
	go func() { <-arrived }()
	g.ledger.next(t)
	g.ledger.next(t)
	if got := g.create(); got.Status != http.StatusCreated {
		t.Errorf("the room was not given back: %d", got.Status)
	}
}

func TestRequestsInFlightFinishWhileTheServerDrains(t *testing.T) {
	t.Parallel()
	arrived, leave := make(chan struct{}), make(chan struct{})
	g := newGate(t, setup{http1: true, handler: func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-leave
		item(w, "{}")
	}})
	first := make(chan reply, 1)
	go func() { first <- g.get() }()
	<-arrived
	drained := make(chan error, 1)
	go func() { drained <- g.server.Config.Shutdown(context.Background()) }()
	close(leave)
	if got := <-first; got.Status != http.StatusOK {
		t.Errorf("the request in flight ended with %d, %v", got.Status, got.Err)
	}
	if err := <-drained; err != nil {
		t.Errorf("draining: %v", err)
	}
	if diff := cmp.Diff(verdict{audit.Allow, audit.Complete, 200, 200}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}
