package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// stranger is the token of somebody who is not let in, nobody that of those of whom it is not known yet whether they are.
const (
	stranger = "stranger"
	nobody   = "nobody"
)

// crowd is a gate that people use by tokens which are their names.
type crowd struct {
	*gate

	length int64
	whole  string

	waiting atomic.Int64  // with the token nobody
	known   chan struct{} // closed when it is known whose it is
}

func newCrowd(t *testing.T, limits proxy.Limits, length int64) *crowd {
	t.Helper()
	whole := `{"operations":[{"op":"add","path":"/a","value":1}]}`
	c := &crowd{length: length, whole: whole + strings.Repeat(" ", int(length)-len(whole)), known: make(chan struct{})}
	guided := func(cfg *proxy.Config) {
		cfg.Waiting = func() int { return int(c.waiting.Load()) }
		cfg.Guide = []byte(guideDocument)
		cfg.Survey = func(policy.Principal, time.Time) ([]proxy.Reach, bool, error) { return nil, false, nil }
	}
	c.gate = newGate(t, setup{limits: limits, edit: guided, authenticate: func(_ context.Context, shown identity.Credential) (identity.Principal, error) {
		who, err := ann(t.Context(), shown)
		who.Record = directory.ID(shown.Token)
		switch shown.Token {
		case stranger:
			return identity.Principal{}, &identity.Error{Substatus: identity.SubstatusRevoked, Reason: identity.ReasonNoRecord, Refused: &who}
		case nobody:
			c.waiting.Add(1)
			defer c.waiting.Add(-1)
			<-c.known
		}
		return who, err
	}})
	return c
}

func (c *crowd) patch(name string, body io.ReadCloser) *http.Request {
	c.t.Helper()
	r := request(c.t, http.MethodPatch, "/dbs/shop/colls/orders/docs/1", "",
		"Content-Type", "application/json_patch+json", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
	r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), callerToken, name))
	r.Body, r.ContentLength = body, c.length
	return r
}

func (c *crowd) asking(name string) *http.Request {
	c.t.Helper()
	r := request(c.t, http.MethodGet, proxy.WhoAmIPath, "")
	r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), callerToken, name))
	return r
}

// begun are requests of one caller whose bodies have yet to come.
type begun struct {
	*crowd

	answers chan reply
	senders []*io.PipeWriter
	left    int
}

// begin starts requests of which a number fit, and waits until the others are refused: those that fit have entered by then.
func (c *crowd) begin(name string, number, fit int) *begun {
	c.t.Helper()
	b := &begun{crowd: c, answers: make(chan reply, number), left: fit}
	for range number {
		body, send := io.Pipe()
		b.senders = append(b.senders, send)
		r := c.patch(name, body)
		go func() { b.answers <- c.do(r) }()
	}
	for range number - fit {
		if refused := b.next(); refused.Status != http.StatusServiceUnavailable {
			c.t.Errorf("one request too many of %s: %d %s", name, refused.Status, refused.Body)
		}
	}
	return b
}

func (b *begun) next() reply {
	b.t.Helper()
	select {
	case got := <-b.answers:
		return got
	case <-time.After(30 * time.Second):
		b.t.Fatal("no answer")
		return reply{}
	}
}

// end sends the bodies, and wants every request that had entered answered.
func (b *begun) end() {
	b.t.Helper()
	for _, send := range b.senders {
		go func() {
			_, _ = io.WriteString(send, b.whole)
			_ = send.Close()
		}()
	}
	for range b.left {
		if got := b.next(); got.Status != http.StatusOK {
			b.t.Errorf("once it is sent: %d %s", got.Status, got.Body)
		}
	}
}

// serves wants a request served that does not keep the gate waiting.
func (c *crowd) serves(name string) {
	c.t.Helper()
	if got := c.do(c.patch(name, io.NopCloser(strings.NewReader(c.whole)))); got.Status != http.StatusOK {
		c.t.Errorf("%s: %d %s", name, got.Status, got.Body)
	}
}

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
			c := newCrowd(t, row.limits, row.length)
			held := c.begin("ann", row.most+1, row.most)
			short := c.patch("bob", io.NopCloser(strings.NewReader(c.whole[:51])))
			short.ContentLength = 51
			if got := c.do(short); got.Status != http.StatusOK {
				t.Errorf("somebody else: %d %s", got.Status, got.Body)
			}
			if got := c.do(c.asking("ann")); name == "requests" && got.Status != http.StatusServiceUnavailable {
				t.Errorf("who am I: %d %s", got.Status, got.Body)
			}
			held.end()
			c.serves("ann")
		})
	}
}

// Callers who leave take nothing with them.
func TestWhoLeavesLeavesTheirPlace(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]proxy.Limits{"requests": {MaxInFlight: 4}, "bytes": {MaxBufferedBytes: 4000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, limits, 1000)
			for range 20 {
				body, send := io.Pipe()
				ctx, leave := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					c.do(c.patch("ann", body).WithContext(ctx))
				}()
				_, _ = io.WriteString(send, c.whole[:10])
				leave()
				<-ended
				_ = send.Close()
				if r := c.ledger.next(t); r.Outcome != audit.ClientAbort {
					t.Errorf("recorded as %s %d %q", r.Outcome, r.Status, r.Detail)
				}
			}
			c.serves("ann")
		})
	}
}

// The more callers take what they can get, the less each gets; those who come later are served.
func TestCallersTogetherDoNotUseUpTheGate(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]proxy.Limits{"requests": {MaxInFlight: 64}, "bytes": {MaxBufferedBytes: 64_000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, limits, 1000)
			first := c.begin("ann", 64, 48)
			second := c.begin("bob", 64, 12)
			third := c.begin("cy", 64, 3)
			c.serves("di")
			first.end()
			c.begin("ann", 64, 36).end() // three quarters no more: of what the others left
			second.end()
			third.end()
			c.begin("bob", 64, 48).end()
		})
	}
}

// Who waits before it is known who they are has a place too, so that one caller beside them gets less, and leaves some to others.
func TestOneCallerBesideThoseWhoWaitDoesNotUseUpTheGate(t *testing.T) {
	t.Parallel()
	const all, most = 16, 6
	c := newCrowd(t, proxy.Limits{MaxInFlight: all}, 100)
	var unknown sync.WaitGroup
	for range all / 2 {
		unknown.Go(func() { c.do(c.asking(nobody)) })
	}
	for c.waiting.Load() < all/2 {
		time.Sleep(time.Millisecond)
	}
	held := c.begin("ann", most+1, most)
	c.serves("bob")
	close(c.known)
	unknown.Wait()
	held.end()
}

// Others than the proxy's callers wait for keys as well, as at the token endpoint. They may not shut out who has nothing yet.
func TestThoseWhoWaitElsewhereTakeNobodysFirstPlace(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, proxy.Limits{MaxInFlight: 16}, 100)
	held := c.begin("ann", 13, 12)
	c.waiting.Store(8)
	c.serves("bob")
	c.waiting.Store(0)
	held.end()
}

// unread is an answer that its caller does not read until they are let go; refusals for being busy are.
type unread struct {
	discarding

	letGo chan struct{}
}

func (w *unread) Write(b []byte) (int, error) {
	if w.status != http.StatusServiceUnavailable {
		<-w.letGo
	}
	return len(b), nil
}

// What is answered to people who are not let in may be long, and they may read it slowly: together they get no further than one caller.
func TestStrangersDoNotUseUpTheGate(t *testing.T) {
	t.Parallel()
	for _, path := range []string{proxy.GuidePath, proxy.WhoAmIPath} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			const all, most = 8, 6
			c := newCrowd(t, proxy.Limits{MaxInFlight: all}, 100)
			answers, letGo := make(chan int, all), make(chan struct{})
			for range all {
				r := c.asking(stranger)
				r.URL.Scheme, r.URL.Host, r.URL.Path, r.Body = "", "", path, http.NoBody // as a server reads it
				go func() {
					w := &unread{discarding{header: http.Header{}}, letGo}
					c.proxy.ServeHTTP(w, r)
					answers <- w.status
				}()
			}
			next := func(refused bool) {
				t.Helper()
				select {
				case got := <-answers:
					if (got == http.StatusServiceUnavailable) != refused {
						t.Errorf("answer %d", got)
					}
				case <-time.After(10 * time.Second):
					t.Error("no answer")
				}
			}
			for range all - most {
				next(true)
			}
			c.serves("ann")
			close(letGo)
			for range most {
				next(false)
			}
		})
	}
}

// BenchmarkShares is a point read of one caller, and of many, while both cores do nothing else.
func BenchmarkShares(b *testing.B) {
	for _, callers := range []int{1, 1000} {
		b.Run(strconv.Itoa(callers)+" callers", func(b *testing.B) {
			var turn atomic.Int64
			p := benchProxy(b, func(c *proxy.Config) {
				c.Authenticator = authenticate(func(ctx context.Context, given identity.Credential) (identity.Principal, error) {
					who, err := ann(ctx, given)
					who.Record = records[turn.Add(1)%int64(callers)]
					return who, err
				})
			})
			b.ReportAllocs()
			b.SetParallelism(16)
			defer reportCPU(b, cpuTime(b))
			b.RunParallel(func(pb *testing.PB) {
				r := benchRequest(b, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "")
				w := &discarding{header: http.Header{}}
				for pb.Next() {
					clear(w.header)
					p.ServeHTTP(w, r)
				}
			})
		})
	}
}

// records are of people who all have a share.
var records = func() (all [1000]directory.ID) { //nolint:gochecknoglobals // constants that are too many to write out.
	for i := range all {
		all[i] = directory.ID("0199-" + strconv.Itoa(i))
	}
	return all
}()
