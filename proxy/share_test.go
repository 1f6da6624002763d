package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// Somebody who begins requests and does not end them gets no further, and everybody else does.
func TestOneCallerDoesNotUseUpTheGate(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		limits proxy.Limits
		length int64
		most   int
	}{
		"requests":              {proxy.Limits{MaxInFlight: 8}, 100, 6},
		"bytes":                 {proxy.Limits{MaxBufferedBytes: 8000}, 1000, 6},
		"one that is very long": {proxy.Limits{MaxBufferedBytes: 8000}, 7900, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{limits: row.limits, authenticate: func(_ context.Context, c identity.Credential) (identity.Principal, error) {
				who, err := ann(t.Context(), c)
				if c.Token != callerToken {
					who.Record = "0199-bob"
				}
				return who, err
			}})
			patch := func(body io.ReadCloser) *http.Request {
				r := request(t, http.MethodPatch, "/dbs/shop/colls/orders/docs/1", "",
					"Content-Type", "application/json_patch+json", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
				r.Body, r.ContentLength = body, row.length
				return r
			}
			whole := `{"operations":[{"op":"add","path":"/a","value":1}]}`
			whole += strings.Repeat(" ", int(row.length)-len(whole))
			answers := make(chan reply, 2*row.most)
			var senders []*io.PipeWriter
			for range row.most + 1 {
				body, send := io.Pipe()
				senders = append(senders, send)
				go func() { answers <- g.do(patch(body)) }()
			}
			next := func() reply {
				select {
				case got := <-answers:
					return got
				case <-time.After(30 * time.Second):
					t.Fatal("no answer")
					return reply{}
				}
			}
			if refused := next(); refused.Status != http.StatusServiceUnavailable {
				t.Errorf("one request too many: %d %s", refused.Status, refused.Body)
			}
			bob := patch(io.NopCloser(strings.NewReader(whole[:51])))
			bob.ContentLength = 51
			bob.Header.Set("Authorization", strings.ReplaceAll(bob.Header.Get("Authorization"), callerToken, "bobs-token"))
			if got := g.do(bob); got.Status != http.StatusOK {
				t.Errorf("somebody else: %d %s", got.Status, got.Body)
			}
			for _, send := range senders {
				go func() {
					_, _ = io.WriteString(send, whole)
					_ = send.Close()
				}()
			}
			for range row.most {
				if got := next(); got.Status != http.StatusOK {
					t.Errorf("once it is sent: %d %s", got.Status, got.Body)
				}
			}
			if got := g.do(patch(io.NopCloser(strings.NewReader(whole)))); got.Status != http.StatusOK {
				t.Errorf("afterwards: %d %s", got.Status, got.Body)
			}
		})
	}
}
