package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// hurrying is a clock that moves on by a step each time it is looked at.
func hurrying(step time.Duration) func() time.Time {
	start := time.Now()
	var looks atomic.Int64
	return func() time.Time { return start.Add(time.Duration(looks.Add(1)) * step) }
}

func TestAnAnswerIsWithheldFromWhoLostAccessMeanwhile(t *testing.T) {
	t.Parallel()
	type told struct {
		Status, Substatus int
		Decision          audit.Decision
		Outcome           audit.Outcome
	}
	for name, row := range map[string]struct {
		step  time.Duration
		keeps bool
		write bool
		want  told
	}{
		"a read that took long":                    {time.Second, false, false, told{401, identity.SubstatusRevoked, audit.Deny, audit.Refused}},
		"a read that took long, with access":       {time.Second, true, false, told{200, 0, audit.Allow, audit.Complete}},
		"a quick read, decided a moment ago":       {0, false, false, told{200, 0, audit.Allow, audit.Complete}},
		"a write, whose outcome the caller is due": {time.Second, false, true, told{201, 0, audit.Allow, audit.Complete}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{
				handler: func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						w.WriteHeader(http.StatusCreated)
					}
					item(w, `{"id":"1"}`)
				},
				edit: func(c *proxy.Config) {
					c.Now = hurrying(row.step)
					c.Standing = func(*identity.Principal) bool { return row.keeps }
				},
			})
			got := g.get
			if row.write {
				got = g.create
			}
			status := got().Status
			r := g.ledger.next(t)
			if diff := cmp.Diff(row.want, told{status, r.Substatus, r.Decision, r.Outcome}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAnswerThatIsBeingSentIsCutWhenAccessEnds(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	g := newGate(t, setup{
		http1: true,
		handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
			}
		},
		edit: func(c *proxy.Config) {
			c.Now = hurrying(20 * time.Millisecond)
			c.Standing = func(*identity.Principal) bool { return asked.Add(1) < 3 }
		},
	})
	answer, err := g.client.Do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it breaks off
	if _, err := io.Copy(io.Discard, answer.Body); err == nil {
		t.Error("the answer came to an end in due form")
	}
	if r := g.ledger.next(t); r.Outcome != audit.Partial || !strings.Contains(r.Detail, "access was taken away") {
		t.Errorf("record: %v %q", r.Outcome, r.Detail)
	}
}
