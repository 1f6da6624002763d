package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// discarding is a response writer that keeps nothing.
type discarding struct {
	header http.Header
	status int
}

func (w *discarding) Header() http.Header            { return w.header }
func (*discarding) Write(b []byte) (int, error)      { return len(b), nil }
func (w *discarding) WriteHeader(status int)         { w.status = status }
func (*discarding) SetWriteDeadline(time.Time) error { return nil }

// document is the 0.9 KB item of the performance frame.
var document = func() string { //nolint:gochecknoglobals // a constant that is too long to write out.
	b := make([]byte, 0, 1024)
	b = append(b, `{"id":"1","department":"emea","text":"`...)
	for len(b) < 900 {
		b = append(b, 'x')
	}
	return string(append(b, `"}`...))
}()

// memory is an upstream without a network: what is left is the gate's own work.
func memory(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/" {
		return accountResponse(r), nil
	}
	return jsonResponse(r, http.StatusOK, document, "X-Ms-Request-Charge", "1", "X-Ms-Session-Token", "0:-1#7", "Etag", `"e"`), nil
}

func benchProxy(tb testing.TB, edits ...func(*proxy.Config)) *proxy.Proxy {
	tb.Helper()
	cfg := bubble(memory)
	cfg.Reserve = func() (proxy.Reservation, error) { return commit(func(audit.Record) {}), nil }
	for _, edit := range edits {
		edit(&cfg)
	}
	p, err := proxy.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
	for p.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	return p
}

func benchRequest(tb testing.TB, method, path, body string) *http.Request {
	tb.Helper()
	r := request(tb, method, path, body, "X-Ms-Documentdb-Partitionkey", `["emea"]`,
		"X-Ms-Date", "Tue, 24 Nov 2026 12:00:00 GMT", "Accept", jsonMedia, "User-Agent", "azsdk-go-azcosmos/v1.5.0",
		"X-Ms-Cosmos-Sdk-Supportedcapabilities", "1", "Cache-Control", "no-cache")
	r.Host = publicHost
	r.RemoteAddr = "192.0.2.1:1234"
	if r.Body == nil {
		r.Body = http.NoBody
	}
	return r
}

// BenchmarkGate is one request through the gate without any network or TLS: every
// stage, the forwarding and the record. Cases differ in what is done.
func BenchmarkGate(b *testing.B) {
	for _, row := range []struct{ name, method, path, body string }{
		{"point read", http.MethodGet, "/dbs/shop/colls/orders/docs/1", ""},
		{"create", http.MethodPost, createPath, document},
		{"patch", http.MethodPatch, "/dbs/shop/colls/orders/docs/1", `{"operations":[{"op":"add","path":"/a","value":1}]}`},
		{"account document", http.MethodGet, "/", ""},
		{"refused path", http.MethodGet, "/nowhere", ""},
	} {
		b.Run(row.name, func(b *testing.B) {
			p := benchProxy(b)
			r := benchRequest(b, row.method, row.path, row.body)
			if row.method == http.MethodPatch {
				r.Header.Set("Content-Type", "application/json_patch+json")
			}
			w := &discarding{header: http.Header{}}
			b.ReportAllocs()
			defer reportCPU(b, cpuTime(b))
			for b.Loop() {
				if row.body != "" {
					r.Body, _ = r.GetBody()
				}
				clear(w.header)
				p.ServeHTTP(w, r)
			}
		})
	}
}

// everything is a policy of one role under a partition key.
const everything = `kind: Role
name: orders-reader
identity: mi-orders
rules:
- dataActions: [items/read, executeQuery]
  resources: [prod/shop/orders]
  partitionKey: {equals: ["${user.department}"], mode: require}
---
kind: RoleBinding
name: support
role: orders-reader
subjects: [{group: g1}]
`

// BenchmarkGateWithPolicyAndAudit is BenchmarkGate's point read with the real policy
// engine, directory view and audit log (fsync once a second).
func BenchmarkGateWithPolicyAndAudit(b *testing.B) {
	set, err := policy.Parse("bench.yaml", []byte(everything), policy.Options{})
	if err != nil {
		b.Fatal(err)
	}
	log, err := audit.Open(audit.Config{
		Path: b.TempDir() + "/audit.jsonl", SyncEvery: time.Second, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- log.Run(context.Background()) }()
	b.Cleanup(func() {
		_ = log.Close()
		<-written
	})
	p := benchProxy(b, func(cfg *proxy.Config) {
		cfg.Authorizer = policy.NewEngine(set)
		cfg.Reserve = func() (proxy.Reservation, error) {
			for {
				if r, err := log.Reserve(); err == nil { // else the writer is behind: wait, as no caller would
					return r, nil
				}
				runtime.Gosched()
			}
		}
		cfg.Authenticator = authenticate(annOfSupport)
	})
	r := benchRequest(b, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "")
	w := &discarding{header: http.Header{}}
	b.ReportAllocs()
	defer reportCPU(b, cpuTime(b))
	for b.Loop() {
		clear(w.header)
		p.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatalf("status %d", w.status)
		}
	}
}

// annOfSupport is ann with her directory record.
func annOfSupport(ctx context.Context, c identity.Credential) (identity.Principal, error) {
	who, err := ann(ctx, c)
	who.User = directory.UserView{
		ID: "0199-ann", UserName: "ann", Active: true, Attributes: department, Groups: support, Generation: [2]uint64{1, 1},
	}
	return who, err
}

//nolint:gochecknoglobals // a directory that never changes.
var (
	department = map[string]string{"department": "emea"}
	support    = []*directory.Group{{ID: "0199-g1", Connection: "entra", ExternalID: "g1", DisplayName: "Support"}}
)

// cpuTime is what the process has used so far; unlike time on the clock, it is its own
// also on a busy machine.
func cpuTime(tb testing.TB) int64 {
	tb.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

func reportCPU(b *testing.B, before int64) {
	b.Helper()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkPointReadOverTLS is one request through the gate between two real servers;
// its times include the caller and the upstream.
func BenchmarkPointReadOverTLS(b *testing.B) {
	for _, row := range []struct {
		name         string
		http1, mixed bool
	}{
		{"HTTP 1.1 on both sides", true, false},
		{"HTTP 1.1 to the gate and 2 upstream", true, true},
		{"HTTP 2 to the gate and 1.1 upstream", false, true},
		{"HTTP 2 on both sides", false, false},
	} {
		b.Run(row.name, func(b *testing.B) {
			g := newGate(b, setup{http1: row.http1, mixed: row.mixed, handler: func(w http.ResponseWriter, _ *http.Request) { item(w, document) },
				reserve: func() (proxy.Reservation, error) { return commit(func(audit.Record) {}), nil }})
			b.ReportAllocs()
			b.SetParallelism(16)
			defer reportCPU(b, cpuTime(b))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					response, err := g.client.Do(request(b, http.MethodGet, "/dbs/shop/colls/orders/docs/1", ""))
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
			})
		})
	}
}

// TestPointReadStaysWithinItsAllocations guards the allow path. 13 of them are the
// stand-in upstream's.
func TestPointReadStaysWithinItsAllocations(t *testing.T) { //nolint:paralleltest // counts the allocations of the process.
	const most = 40
	p := benchProxy(t)
	r := benchRequest(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "")
	w := &discarding{header: http.Header{}}
	if got := testing.AllocsPerRun(200, func() {
		clear(w.header)
		p.ServeHTTP(w, r)
	}); got > most {
		t.Errorf("%v allocations, want at most %d", got, most)
	}
}
