package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// die breaks the connection of a server's handler.
func die() { panic(http.ErrAbortHandler) }

// verdict is the part of a record that says how a call ended.
type verdict struct {
	Decision audit.Decision
	Outcome  audit.Outcome
	Status   int
	Upstream int
}

func ended(r audit.Record) verdict {
	return verdict{r.Decision, r.Outcome, r.Status, r.UpstreamStatus}
}

func TestUpstreamFaultsBecomeNativeErrorsAndTruthfulRecords(t *testing.T) {
	t.Parallel()
	const large = 256 << 10
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		read    verdict // of a point read
		write   verdict // of a create
	}{
		{
			"upstream dies before it answers", func(http.ResponseWriter, *http.Request) { die() },
			verdict{audit.Allow, audit.UpstreamFailure, 503, 0}, verdict{audit.Allow, audit.UpstreamFailure, 408, 0},
		},
		{
			"upstream dies after its headers", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				item(w, "")
				_ = http.NewResponseController(w).Flush()
				die()
			},
			verdict{audit.Allow, audit.UpstreamFailure, 503, 200}, verdict{audit.Allow, audit.UpstreamFailure, 408, 200},
		},
		{
			"upstream sends too many headers", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Ms-Large", strings.Repeat("x", large))
				item(w, "{}")
			},
			verdict{audit.Allow, audit.UpstreamFailure, 503, 0}, verdict{audit.Allow, audit.UpstreamFailure, 408, 0},
		},
		{
			"upstream refuses our identity", func(w http.ResponseWriter, _ *http.Request) { native(w, 403, "5302", "Forbidden") },
			verdict{audit.Allow, audit.UpstreamFailure, 503, 403}, verdict{audit.Allow, audit.UpstreamFailure, 503, 403},
		},
		{
			"upstream refuses our token", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Www-Authenticate", `Bearer authorization_uri="https://`+upstreamHost+`"`)
				native(w, 401, "5004", "Unauthorized")
			},
			verdict{audit.Allow, audit.UpstreamFailure, 503, 401}, verdict{audit.Allow, audit.UpstreamFailure, 503, 401},
		},
		{
			"upstream wants another region", func(w http.ResponseWriter, _ *http.Request) { native(w, 403, "3", "Forbidden") },
			verdict{audit.Allow, audit.UpstreamFailure, 503, 403}, verdict{audit.Allow, audit.UpstreamFailure, 503, 403},
		},
		{
			"upstream does not know its account here", func(w http.ResponseWriter, _ *http.Request) { native(w, 403, "1008", "Forbidden") },
			verdict{audit.Allow, audit.UpstreamFailure, 503, 403}, verdict{audit.Allow, audit.UpstreamFailure, 503, 403},
		},
		{
			"upstream redirects", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+upstreamHost+"/elsewhere", http.StatusTemporaryRedirect)
			},
			verdict{audit.Allow, audit.UpstreamFailure, 503, 307}, verdict{audit.Allow, audit.UpstreamFailure, 408, 307},
		},
		{
			"an intermediary answers with a page", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(http.StatusBadGateway)
				_, _ = io.WriteString(w, "<html>"+upstreamHost+"</html>")
			},
			verdict{audit.Allow, audit.UpstreamFailure, 502, 502}, verdict{audit.Allow, audit.UpstreamFailure, 408, 502},
		},
		{
			"an error has no text", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", jsonMedia)
				w.WriteHeader(http.StatusNotFound)
			},
			verdict{audit.Allow, audit.Complete, 404, 404}, verdict{audit.Allow, audit.Complete, 404, 404},
		},
		{
			"an error names upstream", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", jsonMedia)
				w.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(w, `{"code":"Conflict","message":"at https://`+strings.ToUpper(upstreamHost)+`"}`)
			},
			verdict{audit.Allow, audit.Complete, 409, 409}, verdict{audit.Allow, audit.Complete, 409, 409},
		},
		{
			"a compressed error names upstream", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", jsonMedia)
				w.Header().Set("Content-Encoding", "gzip")
				w.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(w, zipped(`{"code":"Conflict","message":"at https://`+upstreamHost+`"}`))
			},
			verdict{audit.Allow, audit.Complete, 409, 409}, verdict{audit.Allow, audit.Complete, 409, 409},
		},
		{
			"an error is endless", func(w http.ResponseWriter, _ *http.Request) {
				native(w, http.StatusConflict, "0", strings.Repeat("Conflict", large))
			},
			verdict{audit.Allow, audit.Complete, 409, 409}, verdict{audit.Allow, audit.Complete, 409, 409},
		},
		{
			"upstream throttles without a time", func(w http.ResponseWriter, _ *http.Request) { native(w, 429, "3200", "TooManyRequests") },
			verdict{audit.Allow, audit.Complete, 429, 429}, verdict{audit.Allow, audit.Complete, 429, 429},
		},
		{
			"the service has its own trouble", func(w http.ResponseWriter, _ *http.Request) { native(w, 503, "21001", "ServiceUnavailable") },
			verdict{audit.Allow, audit.Complete, 503, 503}, verdict{audit.Allow, audit.Complete, 503, 503},
		},
		{
			"a precondition fails", func(w http.ResponseWriter, _ *http.Request) { native(w, 412, "0", "PreconditionFailed") },
			verdict{audit.Allow, audit.Complete, 412, 412}, verdict{audit.Allow, audit.Complete, 412, 412},
		},
	} {
		for _, http1 := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/http1=%v", row.name, http1), func(t *testing.T) {
				t.Parallel()
				g := newGate(t, setup{handler: row.handler, http1: http1})
				checkEnd(t, g, g.get(), row.read)
				checkEnd(t, g, g.create(), row.write)
			})
		}
	}
}

func checkEnd(t *testing.T, g *gate, got reply, want verdict) {
	t.Helper()
	if got.Err != nil {
		t.Fatalf("no answer: %v", got.Err)
	}
	if got.Status != want.Status || got.Header.Get("Content-Type") != jsonMedia || got.Header.Get("Content-Length") == "" ||
		!strings.HasPrefix(got.Body, `{"code":"`) {
		t.Errorf("answer is not a native %d: %d %v %s", want.Status, got.Status, got.Header, got.Body)
	}
	if want.Status == http.StatusTooManyRequests && got.Header.Get("X-Ms-Retry-After-Ms") == "" {
		t.Error("throttled without a time to come back")
	}
	if diff := cmp.Diff(want, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestWriteThatNeverLeftIsNotInDoubt(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.upstream.CloseIdleConnections()
	g.upstream.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused to " + upstreamHost)}
	}
	checkEnd(t, g, g.create(), verdict{audit.Allow, audit.UpstreamFailure, 503, 0})
}

func TestResponseThatBreaksOffIsNotTakenForTheWhole(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		length string
		http1  bool
	}{
		{"of known length over HTTP/1.1", "1000000", true},
		{"of unknown length over HTTP/1.1", "", true},
		{"of known length over HTTP/2", "1000000", false},
		{"of unknown length over HTTP/2", "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{})
			g := newGate(t, setup{http1: row.http1, handler: func(w http.ResponseWriter, _ *http.Request) {
				if row.length != "" {
					w.Header().Set("Content-Length", row.length)
				}
				item(w, `{"id":"1","rest":"`)
				_ = http.NewResponseController(w).Flush()
				<-begun
				die()
			}})
			if row.length != "" {
				// What is declared whole is passed on when there is enough of it.
				close(begun)
			}
			response, err := g.client.Do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", ""))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // it is broken anyway.
			if row.length == "" {
				if _, err := io.ReadFull(response.Body, make([]byte, 10)); err != nil {
					t.Fatalf("the beginning did not arrive: %v", err)
				}
				close(begun)
			}
			if _, err := io.ReadAll(response.Body); err == nil {
				t.Error("the caller took a part for the whole")
			}
			if diff := cmp.Diff(verdict{audit.Allow, audit.Partial, 200, 200}, ended(g.ledger.next(t))); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResponseBeyondTheLimitIsRefusedOrCut(t *testing.T) {
	t.Parallel()
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			item(w, strings.Repeat("x", 1<<10))
		}
	}
	g := newGate(t, setup{limits: proxy.Limits{MaxResponseBytes: 4 << 10}, handler: endless})
	if got := g.get(); got.Err == nil {
		t.Errorf("an endless response ended well: %d", got.Status)
	}
	if diff := cmp.Diff(verdict{audit.Allow, audit.Partial, 200, 200}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	declared := newGate(t, setup{limits: proxy.Limits{MaxResponseBytes: 4 << 10}, handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "65536")
		endless(w, r)
	}})
	checkEnd(t, declared, declared.get(), verdict{audit.Allow, audit.UpstreamFailure, 503, 200})
}

func TestCallerThatLeavesCancelsUpstreamAndIsRecordedOnce(t *testing.T) {
	t.Parallel()
	for _, http1 := range []bool{true, false} {
		t.Run(fmt.Sprintf("http1=%v", http1), func(t *testing.T) {
			t.Parallel()
			arrived, canceled := make(chan struct{}), make(chan struct{})
			g := newGate(t, setup{http1: http1, handler: func(_ http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-r.Context().Done()
				close(canceled)
			}})
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				<-arrived
				cancel()
			}()
			if got := g.do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "").WithContext(ctx)); got.Err == nil {
				t.Error("the caller left and got an answer")
			}
			if diff := cmp.Diff(verdict{audit.Allow, audit.ClientAbort, 499, 0}, ended(g.ledger.next(t))); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
			<-canceled
		})
	}
}

func TestCallerThatLeavesMidwayIsNoFaultOfUpstream(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	g := newGate(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
		item(w, "[")
		_ = http.NewResponseController(w).Flush()
		<-begun
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
				return
			}
		}
	}})
	response, err := g.client.Do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	close(begun)
	if diff := cmp.Diff(verdict{audit.Allow, audit.ClientAbort, 200, 200}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestCallerThatDoesNotReadIsLetGo(t *testing.T) {
	t.Parallel()
	for _, http1 := range []bool{true, false} {
		t.Run(fmt.Sprintf("http1=%v", http1), func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{
				http1: http1, limits: proxy.Limits{TransferTimeout: time.Millisecond, MaxResponseBytes: 1 << 30},
				handler: func(w http.ResponseWriter, r *http.Request) {
					for r.Context().Err() == nil {
						if _, err := io.WriteString(w, strings.Repeat(" ", 64<<10)); err != nil {
							return
						}
					}
				},
			})
			response, err := g.client.Do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", ""))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // never read.
			if diff := cmp.Diff(verdict{audit.Allow, audit.ClientAbort, 200, 200}, ended(g.ledger.next(t))); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}
