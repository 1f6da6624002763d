package scim_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// breaking is a body that ends with an error somewhere.
type breaking struct {
	io.Reader

	cancel context.CancelFunc
}

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p[:min(len(p), 10_000)])
	if rand.N(20) == 0 {
		b.cancel()
	}
	return n, err //nolint:wrapcheck // a reader's
}

// TestClientsThatHangUpLeaveNothingBehind has many that do so anywhere: while they send, while they wait and while they read, over both versions
// of HTTP.
func TestClientsThatHangUpLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	for _, two := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", two), func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			all := people(t, g, 3000)
			if _, err := g.directory.Apply(t.Context(), corp,
				directory.CreateGroup{Group: directory.GroupRecord{DisplayName: "all"}}, directory.AddMembers{Members: all}); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(g)
			server.EnableHTTP2, server.Config.ErrorLog = two, log.New(io.Discard, "", 0)
			server.StartTLS()
			requests := [][3]string{
				{http.MethodGet, "/Users?count=1000", ""},
				{http.MethodGet, "/Groups", ""},
				{http.MethodGet, "/Users?filter=title%20co%20%22x%22", ""},
				{http.MethodPost, "/Users", `{"userName":"%d","title":"` + strings.Repeat("x", 200_000) + `"}`},
				{http.MethodPost, "/Bulk", bulkBody(`{"method":"POST","bulkId":"a","path":"/Users","data":{"userName":"b%d"}}`, `{"method":"DELETE","path":"/Users/x"}`)},
				{http.MethodPatch, "/Users/" + string(all[0]), patchBody(`{"op":"add","path":"emails","value":[` +
					strings.TrimSuffix(strings.Repeat(`{"value":"a@b.example"},`, 900), ",") + `]}`)},
			}
			var wait sync.WaitGroup
			for worker := range 24 {
				wait.Go(func() {
					for i := range 12 {
						hangUp(t.Context(), server, requests[rand.N(len(requests))], worker*100+i)
					}
				})
			}
			wait.Wait()
			server.CloseClientConnections()
			server.Close() // waits for what is under way
			deadline := time.Now().Add(10 * time.Second)
			for {
				places, dear, turns, room := g.Held(corp)
				if places == 0 && dear == 0 && turns == 0 && room == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d places, %d dear ones, %d turns and %d bytes are held by nobody", places, dear, turns, room)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// hangUp sends a request and hangs up after a while, which may be too late.
func hangUp(ctx context.Context, server *httptest.Server, request [3]string, number int) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.N(int64(20*time.Millisecond))))
	defer cancel()
	text := strings.Replace(request[2], "%d", fmt.Sprint(number), 1)
	r, err := http.NewRequestWithContext(ctx, request[0], server.URL+"/scim/v2/corp"+request[1], breaking{strings.NewReader(text), cancel})
	if err != nil {
		return
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := server.Client().Do(r)
	if err != nil {
		return
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.CopyN(io.Discard, answer.Body, rand.N(int64(100_000)))
}

// abrupt panics when it is written to, as net/http's own handlers do to end a connection.
type abrupt struct{ http.ResponseWriter }

func (abrupt) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

func TestAPanicLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	people(t, g, 3000)
	func() {
		defer func() { _ = recover() }()
		r := httptest.NewRequest(http.MethodGet, "/scim/v2/corp/Users?count=1000", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		g.ServeHTTP(abrupt{httptest.NewRecorder()}, r)
		t.Error("it did not panic")
	}()
	if places, dear, turns, room := g.Held(corp); places+dear+turns != 0 || room != 0 {
		t.Errorf("%d places, %d dear ones, %d turns and %d bytes are held by nobody", places, dear, turns, room)
	}
}
