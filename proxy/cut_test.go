package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
)

func TestRequestThatTheServerCutsOffIsBlamedOnNobodyElse(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut off by the server")
	begin := func(w http.ResponseWriter) {
		item(w, `{"id":`)
		_ = http.NewResponseController(w).Flush()
	}
	for _, row := range []struct {
		name   string
		write  bool
		before func(http.ResponseWriter)
		want   verdict
	}{
		{"a read without an answer", false, func(http.ResponseWriter) {}, verdict{audit.Allow, audit.Internal, 503, 0}},
		{"a write without an answer", true, func(http.ResponseWriter) {}, verdict{audit.Allow, audit.Internal, 408, 0}},
		{"a read whose answer has begun", false, begin, verdict{audit.Allow, audit.Internal, 200, 200}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancelCause(context.Background())
			defer stop(nil)
			g := newGate(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
				row.before(w)
				if row.want.Upstream == 0 {
					stop(cut)
				}
				<-r.Context().Done()
			}})
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://"+publicHost+"/dbs/shop/colls/orders/docs/1", nil)
			if row.write {
				r = httptest.NewRequestWithContext(ctx, http.MethodPost, "https://"+publicHost+"/dbs/shop/colls/orders/docs",
					strings.NewReader(`{"id":"1","department":"emea"}`))
				r.Header.Set("Content-Type", jsonMedia)
			}
			r.Header.Set("Authorization", "type=aad&ver=1.0&sig="+callerToken)
			r.Header.Set("X-Ms-Documentdb-Partitionkey", `["emea"]`)
			func() {
				defer func() {
					if cause := recover(); cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it.
						panic(cause)
					}
				}()
				g.proxy.ServeHTTP(cutAtFirstByte{httptest.NewRecorder(), func() { stop(cut) }}, r)
			}()
			if diff := cmp.Diff(row.want, ended(g.ledger.next(t))); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

// cutAtFirstByte runs a function when the answer has begun.
type cutAtFirstByte struct {
	*httptest.ResponseRecorder

	cut func()
}

func (w cutAtFirstByte) Write(b []byte) (int, error) {
	w.cut()
	return io.Discard.Write(b) //nolint:wrapcheck // never fails.
}

func TestWhoeverLeavesIsRefusedNothing(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(context.Background())
	g := newGate(t, setup{handler: func(_ http.ResponseWriter, r *http.Request) {
		leave()
		<-r.Context().Done()
	}})
	if got := g.do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "").WithContext(ctx)); got.Err == nil {
		t.Error("the caller left and got an answer")
	}
	if got := g.ledger.next(t); got.Reason != "" || got.Outcome != audit.ClientAbort {
		t.Errorf("recorded as %s, %q", got.Outcome, got.Reason)
	}
}
