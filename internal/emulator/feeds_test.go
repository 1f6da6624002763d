package emulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ids(t *testing.T, answer reply, path ...any) []any {
	t.Helper()
	documents, _ := answer.get(t, "Documents").([]any)
	list := []any{}
	for i := range documents {
		list = append(list, answer.get(t, append(append([]any{"Documents", i}, path...), "id")...))
	}
	return list
}

func TestTheChangeFeedTellsTheLatestVersionOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	feed := func(header ...string) reply {
		return s.do(t, call{method: "GET", path: orders, header: keyed(`["e"]`, append([]string{"A-IM", "Incremental Feed"}, header...)...)})
	}
	if empty := feed(); empty.Status != http.StatusNotModified || empty.Header.Get("Etag") == "" {
		t.Errorf("of an empty container: %d, etag %q", empty.Status, empty.Header.Get("Etag"))
	}
	s.create(t, "e", "1", "")
	s.create(t, "e", "2", "")
	s.create(t, "f", "3", "")
	s.do(t, call{method: "PATCH", path: orders + "/1", body: `[{"op":"set","path":"/n","value":1}]`, header: keyed(`["e"]`)})
	all := feed()
	if diff := cmp.Diff([]any{"2", "1"}, ids(t, all)); diff != "" {
		t.Errorf("from the beginning (-want +got):\n%s", diff)
	}
	first := feed("X-Ms-Max-Item-Count", "1")
	rest := feed("X-Ms-Max-Item-Count", "1", "If-None-Match", first.Header.Get("Etag"))
	if diff := cmp.Diff([]any{"2", "1"}, append(ids(t, first), ids(t, rest)...)); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}
	if drained := feed("If-None-Match", all.Header.Get("Etag")); drained.Status != http.StatusNotModified || drained.Body != "" {
		t.Errorf("drained: %d %s", drained.Status, drained.Body)
	}
	now := feed("If-None-Match", "*").Header.Get("Etag")
	s.create(t, "e", "4", "")
	if diff := cmp.Diff([]any{"4"}, ids(t, feed("If-None-Match", now))); diff != "" {
		t.Errorf("from now (-want +got):\n%s", diff)
	}
	s.clock.advance(time.Hour)
	s.create(t, "e", "5", "")
	since := s.clock.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 ")
	for _, zone := range []string{"GMT", "UTC"} {
		if diff := cmp.Diff([]any{"5"}, ids(t, feed("If-Modified-Since", since+zone))); diff != "" {
			t.Errorf("since a time in %s (-want +got):\n%s", zone, diff)
		}
	}
	for name, bad := range map[string][]string{
		"continuation": {"If-None-Match", "x"}, "time": {"If-Modified-Since", "yesterday"}, "feed": {"A-IM", "Feed"},
	} {
		if answer := feed(bad...); answer.Status != http.StatusBadRequest {
			t.Errorf("a bad %s: %d", name, answer.Status)
		}
	}
}

func TestTheFeedOfAllVersionsTellsDeletionsToo(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	feed := func(header ...string) reply {
		return s.do(t, call{method: "GET", path: orders, header: keyed(`["e"]`, append([]string{"A-IM", "Full-Fidelity Feed"}, header...)...)})
	}
	s.create(t, "e", "0", "")
	start := feed()
	if start.Status != http.StatusNotModified {
		t.Errorf("it starts with what was before: %s", start.Body)
	}
	s.create(t, "e", "1", "")
	s.do(t, call{method: "PUT", path: orders + "/1", body: `{"id":"1","dep":"e","n":2}`, header: keyed(`["e"]`)})
	s.do(t, call{method: "DELETE", path: orders + "/1", header: keyed(`["e"]`)})
	answer := feed("If-None-Match", start.Header.Get("Etag"))
	var kinds []any
	for i := range 4 {
		kinds = append(kinds, answer.get(t, "Documents", i, "metadata", "operationType"))
	}
	if diff := cmp.Diff([]any{"create", "replace", "delete", nil}, kinds); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if answer.get(t, "Documents", 2, "previous", "n") != 2.0 || answer.get(t, "Documents", 2, "current") != nil {
		t.Errorf("the deletion: %s", answer.Body)
	}
}

func TestReadFeedsListAPartitionOrAll(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	one := s.do(t, call{method: "GET", path: orders, header: keyed(`["emea"]`)})
	all := s.do(t, call{method: "GET", path: orders})
	if len(ids(t, one)) != 10 || len(ids(t, all)) != 20 {
		t.Errorf("%d of one partition, %d of all", len(ids(t, one)), len(ids(t, all)))
	}
	first := s.do(t, call{method: "GET", path: orders, header: map[string]string{"X-Ms-Max-Item-Count": "15"}})
	rest := s.do(t, call{method: "GET", path: orders, header: map[string]string{"X-Ms-Continuation": first.Header.Get("X-Ms-Continuation")}})
	if diff := cmp.Diff(ids(t, all), append(ids(t, first), ids(t, rest)...)); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}
}

func TestRangesHaveATagAndAStringID(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	const path = "/dbs/shop/colls/orders/pkranges"
	answer := s.do(t, call{method: "GET", path: path})
	got := []any{answer.get(t, "PartitionKeyRanges", 0, "id"), answer.get(t, "PartitionKeyRanges", 0, "minInclusive"), answer.get(t, "PartitionKeyRanges", 0, "maxExclusive"), answer.get(t, "_count")}
	if diff := cmp.Diff([]any{"0", "", "FF", 1.0}, got); diff != "" {
		t.Errorf("range (-want +got):\n%s", diff)
	}
	rid, _ := answer.get(t, "_rid").(string)
	own, _ := answer.get(t, "PartitionKeyRanges", 0, "_rid").(string)
	if !strings.HasPrefix(own, strings.TrimRight(rid, "=")) {
		t.Errorf("_rid %s of the range in container %s", own, rid)
	}
	again := s.do(t, call{method: "GET", path: path, header: map[string]string{"If-None-Match": answer.Header.Get("Etag"), "A-IM": "Incremental Feed"}})
	if again.Status != http.StatusNotModified || again.Header.Get("Etag") != answer.Header.Get("Etag") {
		t.Errorf("the second time: %d", again.Status)
	}
	if conflicts := s.do(t, call{method: "GET", path: "/dbs/shop/colls/orders/conflicts"}); conflicts.get(t, "_count") != 0.0 {
		t.Errorf("conflicts: %s", conflicts.Body)
	}
}
