package emulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

func TestFaultsStrikeInTheirOrderAndThenNoMore(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.Inject(emulator.Fault{Status: http.StatusTooManyRequests, Substatus: 3200, RetryAfter: 20 * time.Millisecond, Times: 2, PathPrefix: "/dbs/shop"})
	s.Inject(emulator.Fault{Status: http.StatusServiceUnavailable, Skip: 1, Method: "GET", PathPrefix: "/dbs/shop"})
	s.Inject(emulator.Fault{Status: http.StatusGone, Substatus: 1002, Method: "POST"})
	var got []int
	for range 5 {
		got = append(got, s.do(t, call{method: "GET", path: "/dbs/shop"}).Status)
	}
	if diff := cmp.Diff([]int{429, 429, 200, 503, 200}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if other := s.do(t, call{method: "GET", path: "/"}); other.Status != http.StatusOK {
		t.Errorf("another path: %d", other.Status)
	}
	s.ClearFaults()
	s.create(t, "e", "1", "")
}

func TestFaultsAreNativeErrors(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 408, 410, 429, 449, 500, 503} {
		s := newStand(t)
		s.Inject(emulator.Fault{Status: status, Substatus: 1002, RetryAfter: 1500 * time.Millisecond})
		answer := s.do(t, call{method: "GET", path: "/dbs", header: map[string]string{"X-Ms-Activity-Id": "mine"}})
		if answer.Status != status || answer.Header.Get("X-Ms-Substatus") != "1002" || answer.Header.Get("X-Ms-Retry-After-Ms") != "1500" ||
			answer.Header.Get("X-Ms-Activity-Id") != "mine" || answer.get(t, "code") == nil || answer.Header.Get("Content-Length") != strconv.Itoa(len(answer.Body)) {
			t.Errorf("%d: %d %v %s", status, answer.Status, answer.Header, answer.Body)
		}
	}
}

func TestBrokenConnectionsBreakWithinTheBodyAfterTheWork(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.Inject(emulator.Fault{ResetAfter: 10, Method: "POST"})
	answer, err := s.try(t, call{method: "POST", path: orders, body: `{"id":"1","dep":"e"}`, header: keyed(`["e"]`)})
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(answer.Body) > 10 {
		t.Errorf("%q, %v", answer.Body, err)
	}
	if read := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)}); read.Status != http.StatusOK {
		t.Errorf("the work was not done: %d", read.Status)
	}
}

func TestHangingRequestsEndWithTheClient(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.Inject(emulator.Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		answer, err := s.server.Client().Do(request)
		if err == nil {
			_ = answer.Body.Close()
		}
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("answered: %v", err)
	}
}

func TestRequestsAreRecordedAsTheyArrived(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.create(t, "e", "1", "")
	s.do(t, call{method: "GET", path: orders + "/no%2Fthing", header: keyed(`["e"]`), unsigned: true})
	requests := s.Requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests", len(requests))
	}
	type summary struct {
		Method, Path, Body, Principal string
		Status                        int
	}
	var got []summary
	for _, one := range requests {
		got = append(got, summary{one.Method, one.Path, string(one.Body), one.Principal, one.Status})
	}
	want := []summary{{"POST", orders, `{"id":"1","dep":"e"}`, "master", 201}, {"GET", orders + "/no%2Fthing", "", "", 401}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if requests[0].Header.Get("X-Ms-Documentdb-Partitionkey") != `["e"]` || requests[0].Charge <= 0 || requests[0].Activity == "" {
		t.Errorf("first: %+v", requests[0])
	}
	s.ResetRequests()
	if left := s.Requests(); len(left) != 0 {
		t.Errorf("%d left", len(left))
	}
}

func TestFaultsThatTheGateIsTestedWith(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.Inject(emulator.Throttled(1, time.Second))
	s.Inject(emulator.TokenExpired(1))
	for _, want := range []string{"429/3200/1000", "401/5006/", "200//"} {
		answer := s.do(t, call{method: "GET", path: "/dbs"})
		got := strconv.Itoa(answer.Status) + "/" + answer.Header.Get("X-Ms-Substatus") + "/" + answer.Header.Get("X-Ms-Retry-After-Ms")
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestARegionThatIsDownBreaksConnectionsAndDoesNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.Inject(emulator.RegionDown(strings.TrimPrefix(s.server.URL, "http://")))
	for range 2 {
		if answer, err := s.try(t, call{method: "POST", path: orders, body: `{"id":"1","dep":"e"}`, header: keyed(`["e"]`)}); err == nil {
			t.Fatalf("answered: %d", answer.Status)
		}
	}
	s.ClearFaults()
	if read := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)}); read.Status != http.StatusNotFound {
		t.Errorf("something was done: %d", read.Status)
	}
	s.Inject(emulator.RegionDown("elsewhere"))
	s.create(t, "e", "1", "")
}

func TestAClockThatJumpsEndsSignaturesAndItems(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.create(t, "e", "1", "")
	s.JumpClock(time.Hour)
	if answer := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)}); answer.Status != http.StatusForbidden && answer.Status != http.StatusUnauthorized {
		t.Errorf("a signature of an hour ago: %d", answer.Status)
	}
	s.JumpClock(-time.Hour)
	if answer := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)}); answer.Status != http.StatusOK {
		t.Errorf("after the clock was set back: %d", answer.Status)
	}
}
