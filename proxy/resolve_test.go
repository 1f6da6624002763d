package proxy_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// databaseRID and containerRID make RIDs as they stand in a path.
func databaseRID(n uint32) string { return encodeRID(binary.BigEndian.AppendUint32(nil, n)) }

func containerRID(database, n uint32) string {
	const container = 0x80000000
	return encodeRID(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, database), container|n))
}

func encodeRID(b []byte) string {
	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(b), "/", "-")
}

// byRID is an upstream that knows database 5 as shop and its container 7 as orders.
type byRID struct {
	mu    sync.Mutex
	reads []string
	gone  bool
}

func (u *byRID) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	database, container := "/dbs/"+databaseRID(5), "/dbs/"+databaseRID(5)+"/colls/"+containerRID(5, 7)
	if r.Header.Get("User-Agent") == "cosmosgate" {
		u.reads = append(u.reads, r.URL.Path)
	}
	switch r.URL.Path {
	case database:
		item(w, `{"id":"shop","_rid":"`+databaseRID(5)+`"}`)
	case container:
		item(w, `{"id":"orders","_rid":"`+containerRID(5, 7)+`"}`)
	case container + "/pkranges":
		if u.gone {
			native(w, http.StatusGone, "1000", "Gone")
			return
		}
		item(w, `{"PartitionKeyRanges":[]}`)
	default:
		native(w, http.StatusNotFound, "0", "NotFound")
	}
}

func (u *byRID) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.reads)
}

func ranges(t *testing.T, g *gate, database, container string) reply {
	t.Helper()
	return g.do(request(t, http.MethodGet, "/dbs/"+database+"/colls/"+container+"/pkranges", ""))
}

func TestRIDsAreDecidedUnderTheirNames(t *testing.T) {
	t.Parallel()
	asked := make(chan policy.Resource, 8)
	known := &byRID{}
	g := newGate(t, setup{handler: known.ServeHTTP, decide: func(r policy.Request) policy.Decision {
		asked <- r.Resource
		return allow(r)
	}})
	for range 3 {
		if got := ranges(t, g, databaseRID(5), containerRID(5, 7)); got.Status != http.StatusOK {
			t.Fatalf("status %d: %s", got.Status, got.Body)
		}
		if diff := cmp.Diff(policy.Resource{Account: "prod", Database: "shop", Container: "orders"}, <-asked); diff != "" {
			t.Errorf("resource (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(2, len(known.seen())); diff != "" {
		t.Errorf("own reads for three requests (-want +got):\n%s\n%v", diff, known.seen())
	}
	seen := g.service.seen()
	last := seen[len(seen)-1]
	if diff := cmp.Diff(containerRID(5, 7), strings.ReplaceAll(last.Header.Get("X-Ms-Cosmos-Intended-Collection-Rid"), "/", "-")); diff != "" {
		t.Errorf("the container is not pinned (-want +got):\n%s", diff)
	}
	rec := g.ledger.next(t)
	if diff := cmp.Diff([]string{"shop", "orders"}, []string{rec.Database, rec.Container}); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestUnknownRIDIsRefusedAndAskedAboutOnce(t *testing.T) {
	t.Parallel()
	known := &byRID{}
	g := newGate(t, setup{handler: known.ServeHTTP})
	for range 3 {
		got := ranges(t, g, databaseRID(5), containerRID(5, 8))
		checkNative(t, got, http.StatusForbidden)
		if diff := cmp.Diff("5304", got.Header.Get("X-Ms-Substatus")); diff != "" {
			t.Errorf("substatus (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(verdict{audit.Deny, audit.Refused, 403, 0}, ended(g.ledger.next(t))); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(2, len(known.seen())); diff != "" {
		t.Errorf("own reads (-want +got):\n%s\n%v", diff, known.seen())
	}
}

func TestFloodOfUnknownRIDsIsBounded(t *testing.T) {
	t.Parallel()
	const flood, most = 200, 60
	known := &byRID{}
	now := time.Now() // time brings more reads
	g := newGate(t, setup{handler: known.ServeHTTP, edit: func(c *proxy.Config) { c.Now = func() time.Time { return now } }})
	refused := map[int]int{}
	for n := range uint32(flood) {
		got := ranges(t, g, databaseRID(5), containerRID(5, 100+n))
		checkNative(t, got, got.Status)
		if refused[got.Status]++; got.Status == http.StatusServiceUnavailable && got.Header.Get("X-Ms-Retry-After-Ms") == "" {
			t.Error("who is not looked up for want of time is not told to come back")
		}
	}
	if refused[http.StatusForbidden] < most/2 || refused[http.StatusServiceUnavailable] < flood-most || len(refused) > 2 {
		t.Errorf("answers: %v", refused)
	}
	if len(known.seen()) > most {
		t.Errorf("%d requests caused %d reads", flood, len(known.seen()))
	}
}

// Whoever asks for what is not there does not make the gate forget what is.
func TestFloodOfUnknownRIDsLeavesTheKnownOnes(t *testing.T) {
	t.Parallel()
	known := &byRID{}
	var seconds atomic.Int64
	begun := time.Now()
	p := benchProxy(t, func(c *proxy.Config) {
		c.Now = func() time.Time { return begun.Add(time.Duration(seconds.Load()) * time.Second) }
		c.Accounts[0].Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/" {
				return accountResponse(r), nil
			}
			w := httptest.NewRecorder()
			known.ServeHTTP(w, r)
			response := w.Result()
			response.Request = r
			return response, nil
		})
		c.Accounts[0].Identities = map[string]azcore.TokenCredential{"mi-orders": getToken(func(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: upstreamToken, ExpiresOn: begun.Add(24 * time.Hour)}, nil
		})}
	})
	ask := func(container uint32, want int) {
		t.Helper()
		got, _ := serve(t, p, request(t, http.MethodGet, "/dbs/"+databaseRID(5)+"/colls/"+containerRID(5, container)+"/pkranges", "", "User-Agent", "sdk"))
		if got.Status != want {
			t.Fatalf("container %d: %d %s", container, got.Status, got.Body)
		}
	}
	ask(7, http.StatusOK)
	for n := range uint32(9000) {
		seconds.Add(1)
		ask(100+n, http.StatusForbidden)
	}
	before := len(known.seen())
	ask(7, http.StatusOK)
	if again := len(known.seen()) - before; again != 0 {
		t.Errorf("what was known was read again: %v", known.seen()[before:])
	}
}

func TestNameOfAGoneContainerIsForgotten(t *testing.T) {
	t.Parallel()
	known := &byRID{}
	g := newGate(t, setup{handler: known.ServeHTTP})
	ranges(t, g, databaseRID(5), containerRID(5, 7))
	known.mu.Lock()
	known.gone = true
	known.mu.Unlock()
	if got := ranges(t, g, databaseRID(5), containerRID(5, 7)); got.Status != http.StatusGone {
		t.Fatalf("status %d: %s", got.Status, got.Body)
	}
	before := len(known.seen())
	ranges(t, g, databaseRID(5), containerRID(5, 7))
	if diff := cmp.Diff(before+2, len(known.seen())); diff != "" {
		t.Errorf("own reads (-want +got):\n%s", diff)
	}
}

func TestAnswerAboutAnotherResourceNamesNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		item(w, `{"id":"orders","_rid":"`+containerRID(5, 9)+`"}`)
	}})
	checkNative(t, ranges(t, g, databaseRID(5), containerRID(5, 7)), http.StatusForbidden)
}

func TestResolvingDuringAnOutageIsNoDenial(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "broken")
	}})
	checkNative(t, ranges(t, g, databaseRID(5), containerRID(5, 7)), http.StatusServiceUnavailable)
	if diff := cmp.Diff(verdict{audit.Error, audit.Refused, 503, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestCallersAskingTogetherCauseOneRead(t *testing.T) {
	t.Parallel()
	const callers = 16
	known := &byRID{}
	g := newGate(t, setup{handler: known.ServeHTTP})
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			if got := ranges(t, g, databaseRID(5), containerRID(5, 7)); got.Status != http.StatusOK {
				t.Errorf("status %d: %s", got.Status, got.Body)
			}
		})
	}
	group.Wait()
	if diff := cmp.Diff(2, len(known.seen())); diff != "" {
		t.Errorf("own reads (-want +got):\n%s\n%v", diff, known.seen())
	}
}
