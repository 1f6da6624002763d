package emulator_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const fanOut = "X-Ms-Documentdb-Query-Enablecrosspartition"

// withOrders is a stand with ten orders each in emea and apac, made in turns.
func withOrders(t *testing.T) *stand {
	t.Helper()
	s := newStand(t)
	for i := range 20 {
		item := fmt.Sprintf(`{"id":"%02d","dep":"%s","n":%d}`, i, []string{"emea", "apac"}[i%2], i)
		if err := s.UpsertItem("shop", "orders", []byte(item)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestThePartitionKeyHeaderConfinesQueries(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	for name, row := range map[string]struct {
		text   string
		header map[string]string
		want   any
	}{
		"to its partition":                        {"SELECT VALUE COUNT(1) FROM c", keyed(`["emea"]`), 10.0},
		"also when the text asks for another":     {"SELECT VALUE COUNT(1) FROM c WHERE c.dep = 'apac'", keyed(`["emea"]`), 0.0},
		"also with the cross-partition flag":      {"SELECT VALUE COUNT(1) FROM c", keyed(`["emea"]`, fanOut, "True"), 10.0},
		"also with the range beside it":           {"SELECT VALUE COUNT(1) FROM c", keyed(`["emea"]`, "X-Ms-Documentdb-Partitionkeyrangeid", "0"), 10.0},
		"to nothing for an unknown key":           {"SELECT VALUE COUNT(1) FROM c", keyed(`["amer"]`), 0.0},
		"the range alone is the whole container":  {"SELECT VALUE COUNT(1) FROM c", map[string]string{"X-Ms-Documentdb-Partitionkeyrangeid": "0"}, 20.0},
		"a range with the container's id as well": {"SELECT VALUE COUNT(1) FROM c", map[string]string{"X-Ms-Documentdb-Partitionkeyrangeid": "abc,0"}, 20.0},
		"a WHERE clause that fixes the key":       {"SELECT VALUE COUNT(1) FROM c WHERE c.n > 3 AND c.dep = 'emea'", nil, 8.0},
		"and the key first, in brackets":          {"SELECT VALUE COUNT(1) FROM x WHERE 'emea' = x['dep']", nil, 10.0},
		"a span of keys, all of them": {"SELECT VALUE COUNT(1) FROM c", map[string]string{
			"X-Ms-Start-Epk": "00", "X-Ms-End-Epk": "FF", "X-Ms-Read-Key-Type": "EffectivePartitionKeyRange",
		}, 20.0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := s.do(t, question(orders, row.text, row.header))
			if got := answer.get(t, "Documents", 0); got != row.want {
				t.Errorf("%v, want %v: %s", got, row.want, answer.Body)
			}
		})
	}
}

func TestQueriesTheGatewayCannotServeAreRefused(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	on := map[string]string{fanOut: "true"}
	for name, row := range map[string]struct {
		call              call
		status, substatus int
		says              string
	}{
		"across partitions without the flag":    {question(orders, "SELECT * FROM c", nil), 400, 0, "Cross partition query is required but disabled"},
		"OR does not fix the key":               {question(orders, "SELECT * FROM c WHERE c.dep = 'emea' OR c.n = 1", nil), 400, 0, "disabled"},
		"ORDER BY across partitions":            {question(orders, "SELECT * FROM c ORDER BY c.n", on), 400, 1004, "can not be directly served by the gateway"},
		"aggregates across partitions":          {question(orders, "SELECT VALUE COUNT(1) FROM c", on), 400, 1004, "gateway"},
		"DISTINCT across partitions":            {question(orders, "SELECT DISTINCT VALUE c.n FROM c", on), 400, 1004, "gateway"},
		"GROUP BY across partitions":            {question(orders, "SELECT c.dep FROM c GROUP BY c.dep", on), 400, 1004, "gateway"},
		"TOP across partitions":                 {question(orders, "SELECT TOP 1 * FROM c", on), 400, 1004, "gateway"},
		"OFFSET across partitions":              {question(orders, "SELECT * FROM c OFFSET 1 LIMIT 1", on), 400, 1004, "gateway"},
		"bad syntax":                            {question(orders, "SELEC * FROM c", keyed(`["emea"]`)), 400, 0, "SC1001"},
		"an unknown function":                   {question(orders, "SELECT NOPE(c.x) FROM c", keyed(`["emea"]`)), 400, 0, "not a recognized built-in function name"},
		"a missing parameter":                   {question(orders, "SELECT * FROM c WHERE c.n = @n", keyed(`["emea"]`)), 400, 0, "@n"},
		"a range that is not there":             {question(orders, "SELECT * FROM c", map[string]string{"X-Ms-Documentdb-Partitionkeyrangeid": "7"}), 410, 1002, "gone"},
		"a span of keys that doesn't say so":    {question(orders, "SELECT * FROM c", map[string]string{"X-Ms-Start-Epk": "00", "X-Ms-End-Epk": "10"}), 400, 0, "x-ms-read-key-type"},
		"a key with too many parts":             {question(orders, "SELECT * FROM c", keyed(`["a","b"]`)), 400, 1001, ""},
		"a body that is no query":               {call{method: "POST", path: orders, body: `{}`, header: keyed(`["e"]`, "Content-Type", "application/query+json")}, 400, 0, "no query"},
		"a parameter without @":                 {call{method: "POST", path: orders, body: `{"query":"SELECT 1","parameters":[{"name":"x","value":1}]}`, header: keyed(`["e"]`, "Content-Type", "application/query+json")}, 400, 0, "@"},
		"a page of zero items":                  {question(orders, "SELECT * FROM c", keyed(`["e"]`, "X-Ms-Max-Item-Count", "0")), 400, 0, "max item count"},
		"a continuation nobody gave":            {question(orders, "SELECT * FROM c", keyed(`["e"]`, "X-Ms-Continuation", "+RID:~e30")), 400, 0, "Invalid Continuation Token"},
		"a container that is not there":         {question("/dbs/shop/colls/none/docs", "SELECT * FROM c", keyed(`["e"]`)), 404, 0, ""},
		"a query that takes too much to answer": {question(orders, "SELECT VALUE "+strings.Repeat("REPLACE(", 20)+"'aaaaaaaaaa'"+strings.Repeat(", 'a', 'aaaaaaaaaa')", 20), keyed(`["e"]`)), 400, 0, "maximum of work"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := s.do(t, row.call)
			if answer.Status != row.status || answer.Header.Get("X-Ms-Substatus") != strconv.Itoa(row.substatus) || !strings.Contains(answer.Body, row.says) {
				t.Errorf("%d/%s %s, want %d/%d with %q", answer.Status, answer.Header.Get("X-Ms-Substatus"), answer.Body, row.status, row.substatus, row.says)
			}
		})
	}
}

func TestPagesGoOnWhereTheLastEnded(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	for name, row := range map[string]struct {
		text string
		size string
		want []int
	}{
		"documents":                {"SELECT VALUE c.id FROM c", "4", []int{4, 4, 2}},
		"sorted":                   {"SELECT VALUE c.id FROM c ORDER BY c.n DESC", "4", []int{4, 4, 2}},
		"exactly full":             {"SELECT VALUE c.id FROM c", "5", []int{5, 5}},
		"all at once":              {"SELECT VALUE c.id FROM c", "-1", []int{10}},
		"joined rows":              {"SELECT VALUE CONCAT(c.id, x) FROM c JOIN x IN (SELECT VALUE ['a','b','c'])", "7", []int{7, 7, 7, 7, 2}},
		"grouped":                  {"SELECT VALUE c.n FROM c GROUP BY c.n", "6", []int{6, 4}},
		"nothing":                  {"SELECT VALUE c.id FROM c WHERE false", "3", []int{0}},
		"top":                      {"SELECT TOP 5 VALUE c.id FROM c", "3", []int{3, 2}},
		"offset":                   {"SELECT VALUE c.id FROM c OFFSET 2 LIMIT 5", "3", []int{3, 2}},
		"filtered to the last one": {"SELECT VALUE c.id FROM c WHERE c.n = 18", "1", []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sizes []int
			seen := map[string]bool{}
			header := keyed(`["emea"]`, "X-Ms-Max-Item-Count", row.size)
			for len(sizes) < 10 {
				answer := s.do(t, question(orders, row.text, header))
				page, _ := answer.get(t, "Documents").([]any)
				sizes = append(sizes, len(page))
				for _, one := range page {
					if seen[fmt.Sprint(one)] {
						t.Errorf("%v comes twice", one)
					}
					seen[fmt.Sprint(one)] = true
				}
				if count := answer.Header.Get("X-Ms-Item-Count"); count != strconv.Itoa(len(page)) {
					t.Errorf("item count header %s for %d items", count, len(page))
				}
				if header["X-Ms-Continuation"] = answer.Header.Get("X-Ms-Continuation"); header["X-Ms-Continuation"] == "" {
					break
				}
			}
			if diff := cmp.Diff(row.want, sizes); diff != "" {
				t.Errorf("page sizes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPagesOfDocumentsSurviveChangesBetweenThem(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	header := keyed(`["emea"]`, "X-Ms-Max-Item-Count", "3")
	first := s.do(t, question(orders, "SELECT VALUE c.n FROM c", header))
	s.do(t, call{method: "DELETE", path: orders + "/00", header: keyed(`["emea"]`)})
	s.do(t, call{method: "DELETE", path: orders + "/06", header: keyed(`["emea"]`)})
	header["X-Ms-Continuation"] = first.Header.Get("X-Ms-Continuation")
	second := s.do(t, question(orders, "SELECT VALUE c.n FROM c", header))
	if diff := cmp.Diff([]any{8.0, 10.0, 12.0}, second.get(t, "Documents")); diff != "" {
		t.Errorf("second page (-want +got):\n%s", diff)
	}
}

func TestAContinuationBelongsToItsQuery(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	token := s.do(t, question(orders, "SELECT * FROM c", keyed(`["emea"]`, "X-Ms-Max-Item-Count", "3"))).Header.Get("X-Ms-Continuation")
	for name, one := range map[string]call{
		"another text":      question(orders, "SELECT VALUE c FROM c", keyed(`["emea"]`, "X-Ms-Continuation", token)),
		"another partition": question(orders, "SELECT * FROM c", keyed(`["apac"]`, "X-Ms-Continuation", token)),
		"another container": question(carts, "SELECT * FROM c", keyed(`["emea"]`, "X-Ms-Continuation", token)),
	} {
		if answer := s.do(t, one); answer.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, answer.Status)
		}
	}
}

func TestPagesEndBeforeFourMegabytes(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for i := range 6 {
		s.create(t, "e", strconv.Itoa(i), `,"x":"`+strings.Repeat("x", 1<<20)+`"`)
	}
	answer := s.do(t, question(orders, "SELECT * FROM c", keyed(`["e"]`)))
	if got := answer.get(t, "_count"); got != 3.0 || answer.Header.Get("X-Ms-Continuation") == "" {
		t.Errorf("a page of %v items, continuation %q", got, answer.Header.Get("X-Ms-Continuation"))
	}
}

func TestPlansSendTheQueryToTheOneRangeAsItIs(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	header := map[string]string{"X-Ms-Cosmos-Is-Query-Plan-Request": "True", "Content-Type": "application/query+json"}
	plan := s.do(t, question(orders, "SELECT VALUE c.n FROM c ORDER BY c.n", header))
	if plan.Status != http.StatusOK || plan.get(t, "queryInfo", "rewrittenQuery") != "" || plan.get(t, "queryRanges", 0, "max") != "FF" {
		t.Errorf("plan: %d %s", plan.Status, plan.Body)
	}
	if bad := s.do(t, question(orders, "SELECT VALUE NOPE(c.n) FROM c", header)); bad.Status != http.StatusBadRequest {
		t.Errorf("plan of a bad query: %d", bad.Status)
	}
}

func TestMetricsComeOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	plain := s.do(t, question(orders, "SELECT * FROM c", keyed(`["emea"]`)))
	asked := s.do(t, question(orders, "SELECT * FROM c", keyed(`["emea"]`,
		"X-Ms-Documentdb-Populatequerymetrics", "True", "X-Ms-Cosmos-Populateindexmetrics", "true", "X-Ms-Documentdb-Populatequotainfo", "true")))
	for _, name := range []string{"X-Ms-Documentdb-Query-Metrics", "X-Ms-Cosmos-Index-Utilization", "X-Ms-Resource-Quota"} {
		if plain.Header.Get(name) != "" || asked.Header.Get(name) == "" {
			t.Errorf("%s: %q without asking, %q with", name, plain.Header.Get(name), asked.Header.Get(name))
		}
	}
}

func TestChargesGrowWithTheWork(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	charge := func(answer reply) float64 {
		value, err := strconv.ParseFloat(answer.Header.Get("X-Ms-Request-Charge"), 64)
		if err != nil || value <= 0 {
			t.Errorf("charge %q", answer.Header.Get("X-Ms-Request-Charge"))
		}
		return value
	}
	small := charge(s.create(t, "e", "small", ""))
	big := charge(s.create(t, "e", "big", `,"x":"`+strings.Repeat("x", 100_000)+`"`))
	if big <= small {
		t.Errorf("writing 100 KB costs %v, writing nothing %v", big, small)
	}
	one := charge(s.do(t, question(orders, "SELECT * FROM c WHERE c.n = 2", keyed(`["emea"]`))))
	all := charge(s.do(t, question(orders, "SELECT * FROM c", keyed(`["emea"]`))))
	if all <= one {
		t.Errorf("reading all costs %v, reading one %v", all, one)
	}
}

func TestItemsWithoutTheSortedPropertyNeedAnIndexThatNamesIt(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	indexed := `{"id":"indexed","partitionKey":{"paths":["/dep"],"kind":"Hash"},"indexingPolicy":{"includedPaths":[{"path":"/n/?"},{"path":"/*"}]}}`
	if made := s.do(t, call{method: http.MethodPost, path: "/dbs/shop/colls", body: indexed}); made.Status != http.StatusCreated {
		t.Fatalf("%d %s", made.Status, made.Body)
	}
	const other = "/dbs/shop/colls/indexed/docs"
	for path, want := range map[string][]any{orders: {"1"}, other: {"2", "1"}} {
		for _, item := range []string{`{"id":"1","dep":"e","n":1}`, `{"id":"2","dep":"e"}`} {
			s.do(t, call{method: http.MethodPost, path: path, body: item, header: keyed(`["e"]`)})
		}
		got := s.do(t, question(path, "SELECT VALUE c.id FROM c ORDER BY c.n", keyed(`["e"]`))).get(t, "Documents")
		if diff := cmp.Diff(any(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}
