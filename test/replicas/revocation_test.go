package replicas_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// revocation is one way to take access away, and the way back.
type revocation struct {
	name    string
	revoke  func(*subject) error
	restore func(*subject)
}

// subject is a person whose access comes and goes.
type subject struct {
	g         *gate // that is told
	number    int
	id, group string
}

func (s *subject) member(op string) int {
	value := fmt.Sprintf(`{"op":%q,"path":"members","value":[{"value":%q}]}`, op, s.id)
	return s.g.patch("/Groups/"+s.group, value)
}

func want(status, expected int) error {
	if status != expected {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

func revocations() []revocation {
	return []revocation{
		{
			"deactivation", func(s *subject) error { return want(s.g.setActive(s.id, false), http.StatusOK) },
			func(s *subject) { s.g.setActive(s.id, true) },
		},
		{
			"removal from the group", func(s *subject) error { return want(s.member("remove"), http.StatusNoContent) },
			func(s *subject) { s.member("add") },
		},
		{
			"lock", func(s *subject) error { return s.g.command("lock", s.id, "--message", "measured") },
			func(s *subject) { _ = s.g.command("unlock", s.id) },
		},
		{
			"revocation of all tokens", func(s *subject) error { return s.g.command("revoke", "--person", s.id) },
			func(*subject) { time.Sleep(1100 * time.Millisecond) }, // tokens say in whole seconds when they were issued
		},
		{
			"delete", func(s *subject) error {
				status, _ := s.g.scim(http.MethodDelete, "/Users/"+s.id, "")
				return want(status, http.StatusNoContent)
			},
			func(s *subject) {
				s.id = s.g.hire(s.number)
				s.member("add")
			},
		},
	}
}

// TestRevocationIsObeyedByTheNextRequest takes access away at one gate, again and again, while the person reads at all gates. At
// the gate that acknowledged no request that begins afterwards is served. At the others it takes a moment, which is reported:
// from the acknowledgement as the provider sees it to the end of the first refused request.
func TestRevocationIsObeyedByTheNextRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "")
	near := w.gates[0]
	subjects := make([]*subject, len(revocations()))
	var ids []string
	for i := range subjects {
		subjects[i] = &subject{g: near, number: i, id: near.hire(i)}
		ids = append(ids, subjects[i].id)
	}
	group := near.group("careful", ids...)
	for i, r := range revocations() {
		s := subjects[i]
		s.group = group
		var same, other []time.Duration
		for range *rounds {
			a, b := measure(t, w, s, r)
			same, other = append(same, a), append(other, b...)
			r.restore(s)
		}
		t.Logf("%-25s same gate %s; other gates %s", r.name, quantiles(same), quantiles(other))
	}
	if err := w.gates[1].tellsHowSoonItObeys(); err != nil {
		t.Errorf("another gate's status: %v", err)
	}
}

// tellsHowSoonItObeys reads in a gate's status what the test has measured.
func (g *gate) tellsHowSoonItObeys() error {
	text, err := g.output("scim", "status", "-o", "json")
	if err != nil {
		return err
	}
	var all []struct {
		Age    float64 `json:"directory_age_seconds"`
		Obeyed struct {
			P99 float64 `json:"p99_seconds"`
			Of  int     `json:"of"`
		} `json:"other_gates_obeyed"`
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	if len(all) != 1 || all[0].Age <= 0 || all[0].Obeyed.Of == 0 || all[0].Obeyed.P99 <= 0 {
		return fmt.Errorf("%s", text)
	}
	return nil
}

// attempt is one read of a person.
type attempt struct {
	begun, ended time.Time
	status       int
}

// measure revokes once and returns how long after the acknowledgement the first refusal ended: at the gate that acknowledged,
// where no later request may be served, and at the others.
func measure(t *testing.T, w *world, s *subject, r revocation) (time.Duration, []time.Duration) {
	t.Helper()
	token := w.token(s.number)
	for _, g := range w.gates {
		c := g.caller(token)
		w.eventually(g.name+" serves", func() bool { return c.read() == http.StatusOK })
	}
	attempts := make([][]attempt, len(w.gates))
	acknowledged := make(chan struct{})
	var reading sync.WaitGroup
	for i, g := range w.gates {
		c := g.caller(token)
		reading.Go(func() {
			for after := 0; after < 3; { // three refusals
				a := attempt{begun: time.Now(), status: c.read()}
				a.ended = time.Now()
				attempts[i] = append(attempts[i], a)
				select {
				case <-acknowledged:
					if refused(a.status) {
						after++
					}
				default:
				}
				if time.Since(a.begun) > patience {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	time.Sleep(20 * time.Millisecond) // so that everybody reads
	err := r.revoke(s)
	at := time.Now()
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	close(acknowledged)
	reading.Wait()
	var delays []time.Duration
	for i := range w.gates {
		first := slices.IndexFunc(attempts[i], func(a attempt) bool { return refused(a.status) })
		delays = append(delays, max(0, attempts[i][first].ended.Sub(at)))
		for _, a := range attempts[i] {
			if i == 0 && a.begun.After(at) && !refused(a.status) {
				t.Errorf("%s: a request that began %s after the acknowledgement got %d at the same gate", r.name, a.begun.Sub(at), a.status)
			}
		}
		for _, a := range attempts[i][first:] {
			if !refused(a.status) {
				t.Errorf("%s: %s refused, then answered %d", r.name, w.gates[i].name, a.status)
			}
		}
	}
	return delays[0], delays[1:]
}

func quantiles(delays []time.Duration) string {
	slices.Sort(delays)
	at := func(q float64) time.Duration {
		return delays[int(q*float64(len(delays)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %s p99 %s max %s (%d)", at(.5), at(.99), at(1), len(delays))
}

// TestTheNextPageOfARunningQueryIsRefused begins a query, takes access away, and asks for the next page.
func TestTheNextPageOfARunningQueryIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "")
	near := w.gates[0]
	id := near.hire(0)
	near.group("careful", id)
	token := w.token(0)
	continuations := make([]string, len(w.gates))
	for i, g := range w.gates {
		w.eventually("a first page at "+g.name, func() bool {
			var status int
			status, continuations[i] = g.page(token, "")
			return status == http.StatusOK
		})
		if continuations[i] == "" {
			t.Fatal("the query has one page only")
		}
	}
	if got := near.setActive(id, false); got != http.StatusOK {
		t.Fatalf("deactivating: %d", got)
	}
	if status, _ := near.page(token, continuations[0]); !refused(status) {
		t.Errorf("the next page at the gate that acknowledged: %d", status)
	}
	w.eventually("the next page at the other gate is refused", func() bool {
		status, _ := w.gates[1].page(token, continuations[1])
		return refused(status)
	})
}

// page asks for a page of a query and returns the continuation.
func (g *gate) page(token, continuation string) (int, string) {
	query, _ := json.Marshal(map[string]any{"query": "SELECT * FROM c", "parameters": []any{}})
	r, err := http.NewRequest(http.MethodPost, "https://"+gateHost+"/dbs/shop/colls/orders/docs", strings.NewReader(string(query))) //nolint:noctx // bounded
	if err != nil {
		return 0, ""
	}
	for name, value := range map[string]string{
		"Authorization": url.QueryEscape("type=aad&ver=1.0&sig=" + token), "X-Ms-Version": "2020-07-15",
		"X-Ms-Date": time.Now().UTC().Format(http.TimeFormat), "X-Ms-Documentdb-Partitionkey": `["e"]`,
		"Content-Type": "application/query+json", "X-Ms-Documentdb-Isquery": "True", "X-Ms-Max-Item-Count": "5",
	} {
		r.Header.Set(name, value)
	}
	if continuation != "" {
		r.Header.Set("X-Ms-Continuation", continuation)
	}
	answer, err := g.client(g.data).Do(r)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close() //nolint:errcheck // read below
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header.Get("X-Ms-Continuation")
}
