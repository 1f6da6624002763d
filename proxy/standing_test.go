package proxy_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// hurrying is a clock that moves on by a step each time it is looked at.
func hurrying(step time.Duration) func() time.Time {
	start := time.Now()
	var looks atomic.Int64
	return func() time.Time { return start.Add(time.Duration(looks.Add(1)) * step) }
}

// stays is what is known of a caller of whom nothing changed.
func stays(p *identity.Principal) (identity.Principal, error) { return *p, nil }

func revoked(*identity.Principal) (identity.Principal, error) {
	return identity.Principal{}, &identity.Error{Substatus: identity.SubstatusRevoked, Reason: "token was revoked"}
}

// from is standing once something has happened.
func from(then *atomic.Bool, standing proxy.Standing) proxy.Standing {
	return func(p *identity.Principal) (identity.Principal, error) {
		if !then.Load() {
			return stays(p)
		}
		return standing(p)
	}
}

type told struct {
	Status, Substatus int
	Decision          audit.Decision
	Outcome           audit.Outcome
	Reason            string
	Body              bool
}

func TestAnAnswerIsWithheldFromWhoLostAccessMeanwhile(t *testing.T) {
	t.Parallel()
	const slow = time.Second
	given := told{200, 0, audit.Allow, audit.Complete, "", true}
	for name, row := range map[string]struct {
		step     time.Duration
		standing proxy.Standing
		later    decide
		want     told
	}{
		"a read that took long, of a revoked token": {slow, revoked, nil, told{401, identity.SubstatusRevoked, audit.Deny, audit.Refused, "Unauthorized", false}},
		"a read that took long, with access":        {slow, stays, nil, given},
		"a quick read, decided a moment ago":        {0, revoked, nil, given},
		"a policy that does not grant it any more": {slow, stays, func(policy.Request) policy.Decision {
			return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem}
		}, told{403, 5302, audit.Deny, audit.Refused, policy.ReasonNoRole.String(), false}},
		"a policy that redacts by now": {slow, stays, func(r policy.Request) policy.Decision {
			d := allow(r)
			d.Obligations.Redact = []policy.Path{{"salary"}}
			return d
		}, told{503, 0, audit.Error, audit.Refused, "ServiceUnavailable", false}},
		"a policy that confines to a partition by now, of what was asked of all": {slow, stays, func(r policy.Request) policy.Decision {
			d := allow(r)
			d.Obligations.PartitionKey = []string{`"emea"`}
			return d
		}, told{503, 0, audit.Error, audit.Refused, "ServiceUnavailable", false}},
		"a policy that cannot be evaluated": {slow, stays, func(policy.Request) policy.Decision {
			return policy.Decision{Reason: policy.ReasonEvaluation}
		}, told{503, 0, audit.Error, audit.Refused, "ServiceUnavailable", false}},
		"a caller who was moved to another group": {slow, func(p *identity.Principal) (identity.Principal, error) {
			moved := *p
			moved.User.Generation = [2]uint64{2, 2}
			return moved, nil
		}, func(r policy.Request) policy.Decision {
			if r.Principal.Generation != [2]uint64{2, 2} {
				return allow(r)
			}
			return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem}
		}, told{403, 5302, audit.Deny, audit.Refused, policy.ReasonNoRole.String(), false}},
		"nobody can tell who the caller is": {slow, func(*identity.Principal) (identity.Principal, error) {
			return identity.Principal{}, &identity.Error{Unavailable: true, Reason: "closed"}
		}, nil, told{503, 0, audit.Error, audit.Refused, "ServiceUnavailable", false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var there atomic.Bool // upstream has the request, and whatever changes does so now
			g := newGate(t, setup{
				handler: func(w http.ResponseWriter, _ *http.Request) {
					there.Store(true)
					item(w, `{"id":"1"}`)
				},
				decide: func(r policy.Request) policy.Decision {
					if !there.Load() || row.later == nil {
						return allow(r)
					}
					return row.later(r)
				},
				edit: func(c *proxy.Config) {
					c.Now, c.Standing = hurrying(row.step), from(&there, row.standing)
					if row.later != nil {
						c.PolicyHash = func() string {
							if there.Load() {
								return "sha256:1"
							}
							return "sha256:0"
						}
					}
				},
			})
			got := g.get()
			r := g.ledger.next(t)
			told := told{got.Status, r.Substatus, r.Decision, r.Outcome, r.Reason, strings.Contains(got.Body, `{"id":"1"}`)}
			if diff := cmp.Diff(row.want, told); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.Detail)
			}
			if got.Status >= 400 && r.Identity != "mi-orders" {
				t.Errorf("the record does not say under which identity it was read: %q", r.Identity)
			}
			decided := "sha256:0"
			if r.Reason == policy.ReasonNoRole.String() {
				decided = "sha256:1"
			}
			if r.PolicyHash != decided && r.Decision != audit.Error {
				t.Errorf("the record names the policy %q, not %q", r.PolicyHash, decided)
			}
		})
	}
}

// The header of an answer may come long before its first byte: access that ends in between withholds all of it.
func TestAnAnswerIsWithheldFromWhoLostAccessBeforeItsFirstByte(t *testing.T) {
	t.Parallel()
	for name, redact := range map[string][]policy.Path{"passed on": nil, "redacted": {{"salary"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var later atomic.Int64
			var lost atomic.Bool
			g := newGate(t, setup{
				decide: func(r policy.Request) policy.Decision {
					d := allow(r)
					d.Obligations.Redact = redact
					return d
				},
				edit: func(c *proxy.Config) {
					c.Now, c.Standing = jumping(&later), from(&lost, revoked)
					c.Accounts[0].Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
						if r.URL.Path == "/" {
							return accountResponse(r), nil
						}
						answer := jsonResponse(r, http.StatusOK, "")
						text := strings.NewReader(`{"id":"1"}`)
						answer.ContentLength = text.Size()
						answer.Body = io.NopCloser(io.MultiReader(endless{strings.NewReader(""), func() error {
							later.Store(1)
							lost.Store(true)
							return io.EOF
						}}, text))
						return answer, nil
					})
				},
			})
			got := g.get()
			if r := g.ledger.next(t); got.Status != http.StatusUnauthorized || strings.Contains(got.Body, `"id"`) || r.Outcome != audit.Refused {
				t.Errorf("%d %s, recorded as %s", got.Status, got.Body, r.Outcome)
			}
		})
	}
}

func TestADirectoryThatFallsBehindHoldsBackSlowAnswers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		staleness policy.Staleness
		want      int
	}{"a role that wants to be sure": {0, 503}, "a role that puts up with it": {policy.StalenessBestEffort, 200}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			g := newGate(t, setup{
				decide: func(r policy.Request) policy.Decision {
					d := allow(r)
					d.Obligations.Staleness = row.staleness
					return d
				},
				edit: func(c *proxy.Config) {
					c.Now, c.Standing = hurrying(time.Second), stays
					c.Freshness = proxy.Freshness{StaleAfter: time.Second, ServeAtMost: time.Minute, Age: func(time.Time) time.Duration {
						return time.Duration(asked.Add(1)-1) * 10 * time.Second // current at first
					}}
				},
			})
			status := g.get().Status
			if r := g.ledger.next(t); status != row.want || status == 503 && r.Reason != "directory_stale" {
				t.Errorf("%d %q %q", status, r.Reason, r.Detail)
			}
		})
	}
}

// jumping is a clock that goes right, but for two minutes more for each jump: what is set by it for the near future is not past
// already on a slow machine.
func jumping(jumps *atomic.Int64) func() time.Time {
	return func() time.Time { return time.Now().Add(time.Duration(jumps.Load()) * 2 * time.Minute) }
}

// A request that is kept waiting for its body does not outlive the access that it began with.
func TestAWriteWhoseBodyCameAfterAccessEndedIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	bindingEnds := begun.Add(time.Minute)
	denies := func(policy.Request) policy.Decision {
		return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.CreateItem}
	}
	for name, row := range map[string]struct {
		size     int
		declared bool
		standing proxy.Standing
		later    decide
		want     told
	}{
		"held, of a token that has ended": {100, true, stays, allow, told{401, identity.SubstatusExpired, audit.Deny, audit.Refused, "Unauthorized", false}},
		"passed on, when a binding has ended": {100 << 10, true, stays, func(r policy.Request) policy.Decision {
			if r.Context.Time.Before(bindingEnds) {
				return allow(r)
			}
			return denies(r)
		}, told{403, 5302, audit.Deny, audit.Refused, policy.ReasonNoRole.String(), false}},
		"held, of a revoked token":        {100, true, revoked, allow, told{401, identity.SubstatusRevoked, audit.Deny, audit.Refused, "Unauthorized", false}},
		"passed on, of a revoked token":   {100 << 10, true, revoked, allow, told{401, identity.SubstatusRevoked, audit.Deny, audit.Refused, "Unauthorized", false}},
		"of unknown length":               {100, false, revoked, allow, told{401, identity.SubstatusRevoked, audit.Deny, audit.Refused, "Unauthorized", false}},
		"held, under another policy":      {100, true, stays, denies, told{403, 5302, audit.Deny, audit.Refused, policy.ReasonNoRole.String(), false}},
		"passed on, under another policy": {100 << 10, true, stays, denies, told{403, 5302, audit.Deny, audit.Refused, policy.ReasonNoRole.String(), false}},
		"held, and nothing changed":       {100, true, stays, allow, told{200, 0, audit.Allow, audit.Complete, "", true}},
		"passed on, and nothing changed":  {100 << 10, true, stays, allow, told{200, 0, audit.Allow, audit.Complete, "", true}},
	} {
		for _, http1 := range []bool{true, false} {
			t.Run(fmt.Sprint(name, http1), func(t *testing.T) {
				t.Parallel()
				var later atomic.Int64
				decided := make(chan struct{}, 100)
				g := newGate(t, setup{
					http1: http1, handler: halves,
					authenticate: func(ctx context.Context, c identity.Credential) (identity.Principal, error) {
						who, err := ann(ctx, c)
						if strings.Contains(name, "token that has ended") {
							who.Expiry = begun.Add(30 * time.Second) // and a minute for clocks that differ
						}
						return who, err
					},
					decide: func(r policy.Request) policy.Decision {
						defer func() { decided <- struct{}{} }()
						if later.Load() == 0 {
							return allow(r)
						}
						return row.later(r)
					},
					edit: func(c *proxy.Config) {
						c.Now = jumping(&later)
						c.Standing = row.standing
					},
				})
				whole := `{"id":"1","x":"` + strings.Repeat("x", row.size) + `"}`
				body, send := io.Pipe()
				go func() {
					_, _ = io.WriteString(send, whole[:10])
					<-decided
					later.Store(1)
					_, _ = io.WriteString(send, whole[10:])
					_ = send.Close()
				}()
				r := request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
				r.Body, r.ContentLength = body, -1
				if row.declared {
					r.ContentLength = int64(len(whole))
				}
				got := g.do(r)
				rec := g.ledger.next(t)
				outcome := told{got.Status, rec.Substatus, rec.Decision, rec.Outcome, rec.Reason, got.Status < 400}
				if diff := cmp.Diff(row.want, outcome); diff != "" {
					t.Errorf("(-want +got):\n%s\n%s", diff, rec.Detail)
				}
				for _, seen := range g.service.seen() {
					if row.want.Status >= 400 && seen.Body == whole {
						t.Error("upstream has the whole request")
					}
				}
			})
		}
	}
}

// zipped is a text under the content coding gzip.
func zipped(text string) string {
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return packed.String()
}

// What a write did is done: its caller is told, and shown nothing.
func TestTheOutcomeOfAWriteIsToldToWhoLostAccess(t *testing.T) {
	t.Parallel()
	const results = `[{"statusCode":201,"eTag":"e","requestCharge":5.5,"resourceBody":{"id":"1","secret":1}},{"statusCode":200,"resourceBody":{"secret":2}}]`
	for name, row := range map[string]struct {
		body, answer string
		headers      []string
		status, want int
		left         string
	}{
		"a create":            {`{"id":"1"}`, `{"id":"1","secret":1}`, nil, 201, 201, ""},
		"a create that fails": {`{"id":"1"}`, `{"code":"Conflict","message":"secret 1 is there"}`, nil, 409, 409, ""},
		"a batch with a read": {
			`[{"operationType":"Create","resourceBody":{"id":"1"}},{"operationType":"Read","id":"2"}]`, results,
			[]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True"}, 200, 200,
			`[{"statusCode":201,"eTag":"e","requestCharge":5.5},{"statusCode":200}]`,
		},
		"a batch whose documents are text, or under another name": {
			`[{"operationType":"Create","resourceBody":{"id":"1"}},{"operationType":"Read","id":"2"}]`,
			`[{"statusCode":201,"resourceBody":"secret"},{"statusCode":200,"document":"secret","eTag":{"secret":1}}]`,
			[]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True"}, 200, 200,
			`[{"statusCode":201},{"statusCode":200}]`,
		},
		"a batch whose answer cannot be read": {
			`[{"operationType":"Create","resourceBody":{"id":"1"}}]`, `[{"secret"`,
			[]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True"}, 200, 408, "",
		},
		"a batch whose answer is compressed": {
			`[{"operationType":"Create","resourceBody":{"id":"1"}}]`, zipped(results),
			[]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True", "Accept-Encoding", "gzip"}, 200, 200,
			`[{"statusCode":201,"eTag":"e","requestCharge":5.5},{"statusCode":200}]`,
		},
		"a batch whose answer is compressed and far too long": {
			`[{"operationType":"Create","resourceBody":{"id":"1"}}]`, zipped("[" + strings.Repeat(" ", 20<<20) + "]"),
			[]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True", "Accept-Encoding", "gzip"}, 200, 408, "",
		},
		"a batch whose answer is compressed, and there is no memory for what it may be": {
			`[{"operationType":"Create","resourceBody":{"id":"1"}}]`, zipped(results),
			[]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True", "Accept-Encoding", "gzip"}, 200, 408, "",
		},
		"a batch whose answer is compressed and breaks off": {
			`[{"operationType":"Create","resourceBody":{"id":"1"}}]`, zipped(results)[:60],
			[]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True", "Accept-Encoding", "gzip"}, 200, 408, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var there atomic.Bool
			var limits proxy.Limits
			if strings.Contains(name, "no memory") {
				limits.MaxBufferedBytes = 1 << 20
			}
			g := newGate(t, setup{
				limits: limits,
				handler: func(w http.ResponseWriter, _ *http.Request) {
					there.Store(true)
					w.Header().Set("Content-Type", jsonMedia)
					if strings.HasPrefix(row.answer, "\x1f") {
						w.Header().Set("Content-Encoding", "gzip")
					}
					w.WriteHeader(row.status)
					_, _ = io.WriteString(w, row.answer)
				},
				edit: func(c *proxy.Config) {
					c.Now, c.Standing = hurrying(time.Second), from(&there, revoked)
				},
			})
			got := g.do(request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", row.body,
				append(row.headers, "X-Ms-Documentdb-Partitionkey", `["emea"]`)...))
			if got.Status != row.want || got.Header.Get("Content-Encoding") != "" || strings.Contains(got.Body, "secret") || row.left != "" && got.Body != row.left {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			if r := g.ledger.next(t); r.Decision != audit.Allow || row.want != 408 && !strings.Contains(r.Detail, "access was taken away") {
				t.Errorf("record: %s %q %q", r.Decision, r.Reason, r.Detail)
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
			c.Standing = func(p *identity.Principal) (identity.Principal, error) {
				if asked.Add(1) < 3 {
					return stays(p)
				}
				return revoked(p)
			}
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

// What upstream says after a pause is held back, and not only what it says after that.
func TestWhatComesAfterAccessEndedIsNotSent(t *testing.T) {
	t.Parallel()
	var ended atomic.Bool
	goOn := make(chan struct{})
	g := newGate(t, setup{
		http1: true,
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":`)
			_ = http.NewResponseController(w).Flush()
			<-goOn
			_, _ = io.WriteString(w, `"secret"}`)
		},
		edit: func(c *proxy.Config) {
			c.Now = hurrying(time.Second / 4)
			c.Standing = func(p *identity.Principal) (identity.Principal, error) {
				if ended.Load() {
					return revoked(p)
				}
				return stays(p)
			}
		},
	})
	answer, err := g.client.Do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it breaks off
	if _, err := io.ReadFull(answer.Body, make([]byte, len(`{"id":`))); err != nil {
		t.Fatal(err)
	}
	ended.Store(true)
	close(goOn)
	rest, err := io.ReadAll(answer.Body)
	if err == nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if r := g.ledger.next(t); r.Outcome != audit.Partial || r.BytesOut != int64(len(`{"id":`)) {
		t.Errorf("record: %v %d %q", r.Outcome, r.BytesOut, r.Detail)
	}
}

// Nobody who may not read is shown what a patch made, though upstream should not heed that it was asked for nothing.
func TestAPatchShowsNothingToWhoMayNotRead(t *testing.T) {
	t.Parallel()
	const patch, whole = `{"operations":[{"op":"add","path":"/a","value":1}]}`, `{"id":"1","secret":1}`
	batch := `[{"operationType":"Patch","id":"1","resourceBody":` + patch + `}]`
	for name, row := range map[string]struct {
		method, path, body, answer, prefer, want string
		readable                                 bool
	}{
		"a patch":                       {http.MethodPatch, "/1", patch, whole, "", "", false},
		"a patch that asks for nothing": {http.MethodPatch, "/1", patch, whole, "return=minimal", "", false},
		"a patch by who may read":       {http.MethodPatch, "/1", patch, whole, "", whole, true},
		"a batch":                       {http.MethodPost, "", batch, `[{"statusCode":200,"resourceBody":` + whole + `}]`, "", `[{"statusCode":200}]`, false},
		"a batch that asks for nothing": {http.MethodPost, "", batch, `[{"statusCode":200,"resourceBody":` + whole + `}]`, "return=minimal", `[{"statusCode":200}]`, false},
		"a batch by who may read":       {http.MethodPost, "", batch, `[{"statusCode":200,"resourceBody":` + whole + `}]`, "", `[{"statusCode":200,"resourceBody":` + whole + `}]`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{
				handler: func(w http.ResponseWriter, _ *http.Request) { item(w, row.answer) },
				decide: func(r policy.Request) policy.Decision {
					if r.Actions&policy.ReadItem != 0 && !row.readable {
						return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem}
					}
					return allow(r)
				},
			})
			headers := []string{"X-Ms-Documentdb-Partitionkey", `["emea"]`}
			if row.method == http.MethodPost {
				headers = append(headers, "X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True")
			}
			if row.prefer != "" {
				headers = append(headers, "Prefer", row.prefer)
			}
			got := g.do(request(t, row.method, "/dbs/shop/colls/orders/docs"+row.path, row.body, headers...))
			if diff := cmp.Diff([]any{200, row.want, nil}, []any{got.Status, got.Body, got.Err}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestABatchsAnswerIsHeldWithinTheBoundOfAll(t *testing.T) {
	t.Parallel()
	const batch = `[{"operationType":"Patch","id":"1","resourceBody":{"operations":[{"op":"add","path":"/a","value":1}]}}]`
	g := newGate(t, setup{
		limits: proxy.Limits{MaxBufferedBytes: 2 * int64(len(batch))},
		handler: func(w http.ResponseWriter, _ *http.Request) {
			item(w, `[{"statusCode":200,"resourceBody":{"a":"`+strings.Repeat("x", len(batch))+`"}}]`)
		},
		decide: func(r policy.Request) policy.Decision {
			if r.Actions&policy.ReadItem != 0 {
				return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem}
			}
			return allow(r)
		},
	})
	got := g.do(request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", batch,
		"X-Ms-Documentdb-Partitionkey", `["emea"]`, "X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True"))
	checkNative(t, got, http.StatusRequestTimeout) // it may have been done
}

// endless is a body that is all there but for its end, as HTTP/2 has it, which comes, or fails, when it is let go.
type endless struct {
	io.Reader

	end func() error
}

func (e endless) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if n == 0 && err != nil {
		err = e.end()
	}
	return n, err
}

func (endless) Close() error { return nil }

// Upstream acts on a body that is all there: what became of the write is not known to whoever loses access, or stops sending, before its end.
func TestTheOutcomeOfAWriteThatIsAllThereButForItsEndIsUnknown(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	g := newGate(t, setup{mixed: true, edit: func(c *proxy.Config) { c.Now, c.Standing = jumping(&later), revoked }})
	letGo := make(chan struct{})
	defer close(letGo)
	there := make(chan struct{})
	g.service.handler = func(http.ResponseWriter, *http.Request) {
		close(there)
		<-letGo
	}
	status, rec := g.sendWithoutEnd(t, `{"id":"1","x":"`+strings.Repeat("x", 100<<10)+`"}`, func() {
		<-there
		later.Store(1)
	})
	if status != http.StatusRequestTimeout || rec.Decision != audit.Allow || rec.Outcome != audit.UpstreamFailure {
		t.Errorf("%d, recorded as %s %s %q", status, rec.Decision, rec.Outcome, rec.Detail)
	}
}

// sendWithoutEnd has a caller send all of a body but its end, which comes after before has been called, and returns what became of it.
func (g *gate) sendWithoutEnd(t *testing.T, whole string, before func(), headers ...string) (status int, record audit.Record) {
	t.Helper()
	r := request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", "", append(headers, "X-Ms-Documentdb-Partitionkey", `["emea"]`)...)
	r.URL.Scheme, r.URL.Host, r.ContentLength = "", "", int64(len(whole))
	r.Body = endless{strings.NewReader(whole), func() error {
		before()
		return io.EOF
	}}
	w := &discarding{header: http.Header{}}
	g.proxy.ServeHTTP(w, r)
	return w.status, g.ledger.next(t)
}

// What a read did is nothing to be in doubt about: who loses access before the end of its text is refused, and upstream is not to blame.
func TestAReadWhoseTextIsAllThereButForItsEndIsRefused(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	g := newGate(t, setup{mixed: true, edit: func(c *proxy.Config) { c.Now, c.Standing = jumping(&later), revoked }})
	letGo := make(chan struct{})
	defer close(letGo)
	g.service.handler = func(http.ResponseWriter, *http.Request) { <-letGo }
	status, rec := g.sendWithoutEnd(t, `{"query":"SELECT * FROM c WHERE c.x = '`+strings.Repeat("x", 100<<10)+`'"}`,
		func() { later.Store(1) }, "X-Ms-Documentdb-Isquery", "True", "Content-Type", "application/query+json")
	if status != http.StatusUnauthorized || rec.Decision != audit.Deny || rec.Outcome != audit.Refused {
		t.Errorf("%d, recorded as %s %s %q", status, rec.Decision, rec.Outcome, rec.Detail)
	}
}

// What fails in a way nobody foresaw while a body is passed on, in the transport's hands, ends one request and not the gate.
func TestAStageThatPanicsWhileABodyIsPassedOnEndsOneRequest(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ http1, once bool }{{true, false}, {false, false}, {false, true}} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			t.Parallel()
			var later, asked atomic.Int64
			g := newGate(t, setup{http1: row.http1, handler: halves, edit: func(c *proxy.Config) {
				c.Now = jumping(&later)
				c.Standing = func(p *identity.Principal) (identity.Principal, error) {
					if row.once && asked.Add(1) > 1 {
						return stays(p)
					}
					panic("nobody foresaw it")
				}
			}})
			whole := `{"id":"1","x":"` + strings.Repeat("x", 100<<10) + `"}`
			begin, rest := strings.NewReader(whole[:10]), strings.NewReader(whole[10:])
			r := request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
			r.URL.Scheme, r.URL.Host, r.ContentLength = "", "", int64(len(whole))
			r.Body = io.NopCloser(io.MultiReader(endless{begin, func() error {
				later.Store(1)
				return io.EOF
			}}, rest))
			w := &discarding{header: http.Header{}}
			g.proxy.ServeHTTP(w, r)
			if rec := g.ledger.next(t); w.status != http.StatusInternalServerError || rec.Outcome != audit.Internal {
				t.Errorf("%d, recorded as %s %q", w.status, rec.Outcome, rec.Detail)
			}
			later.Store(0)
			if got := g.create(); got.Status != http.StatusOK {
				t.Errorf("the next request: %d %s", got.Status, got.Body)
			}
		})
	}
}

// Who may write and not read is asked again for no more than that, and is told what became of a patch that took long.
func TestAPatchByWhoMayNotReadMayTakeLong(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{
		decide: func(r policy.Request) policy.Decision {
			if r.Actions&policy.ReadItem != 0 {
				return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem}
			}
			return allow(r)
		},
		edit: func(c *proxy.Config) { c.Now, c.Standing = hurrying(time.Second), stays },
	})
	got := g.do(request(t, http.MethodPatch, "/dbs/shop/colls/orders/docs/1", `{"operations":[{"op":"add","path":"/a","value":1}]}`,
		"Content-Type", "application/json_patch+json", "X-Ms-Documentdb-Partitionkey", `["emea"]`))
	if got.Status != http.StatusOK || got.Body != "" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
