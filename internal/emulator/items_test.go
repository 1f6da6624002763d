package emulator_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

func TestItemsLiveByPartitionKeyAndID(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.create(t, "emea", "1", `,"n":1`)
	s.create(t, "apac", "1", `,"n":2`)
	for name, row := range map[string]struct {
		call call
		want int
	}{
		"read with its key":                       {call{method: "GET", path: orders + "/1", header: keyed(`["apac"]`)}, 200},
		"read with another key":                   {call{method: "GET", path: orders + "/1", header: keyed(`["amer"]`)}, 404},
		"read without a key":                      {call{method: "GET", path: orders + "/1"}, 400},
		"read with a key of two parts":            {call{method: "GET", path: orders + "/1", header: keyed(`["emea","x"]`)}, 400},
		"read with a key that is no JSON":         {call{method: "GET", path: orders + "/1", header: keyed(`emea`)}, 400},
		"read of nothing":                         {call{method: "GET", path: orders + "/2", header: keyed(`["emea"]`)}, 404},
		"delete with another key":                 {call{method: "DELETE", path: orders + "/1", header: keyed(`["amer"]`)}, 404},
		"create of what is there":                 {call{method: "POST", path: orders, body: `{"id":"1","dep":"emea"}`, header: keyed(`["emea"]`)}, 409},
		"create with a key that is not its own":   {call{method: "POST", path: orders, body: `{"id":"9","dep":"emea"}`, header: keyed(`["apac"]`)}, 400},
		"create without id":                       {call{method: "POST", path: orders, body: `{"dep":"emea"}`, header: keyed(`["emea"]`)}, 400},
		"create with a numeric id":                {call{method: "POST", path: orders, body: `{"id":1,"dep":"emea"}`, header: keyed(`["emea"]`)}, 400},
		"create of an array":                      {call{method: "POST", path: orders, body: `[]`, header: keyed(`["emea"]`)}, 400},
		"create of no JSON":                       {call{method: "POST", path: orders, body: `{"id"`, header: keyed(`["emea"]`)}, 400},
		"create with an object as key":            {call{method: "POST", path: orders, body: `{"id":"9","dep":{}}`, header: keyed(`[{}]`)}, 400},
		"create with a long id":                   {call{method: "POST", path: orders, body: `{"id":"` + strings.Repeat("x", 1024) + `","dep":"e"}`, header: keyed(`["e"]`)}, 400},
		"create beyond 2 MB":                      {call{method: "POST", path: orders, body: `{"id":"9","dep":"e","x":"` + strings.Repeat("x", 2<<20) + `"}`, header: keyed(`["e"]`)}, 413},
		"create far beyond 2 MB":                  {call{method: "POST", path: orders, body: `{"id":"9","dep":"e","x":"` + strings.Repeat("x", 5<<20) + `"}`, header: keyed(`["e"]`)}, 413},
		"create with a trigger":                   {call{method: "POST", path: orders, body: `{"id":"9","dep":"e"}`, header: keyed(`["e"]`, "X-Ms-Documentdb-Pre-Trigger-Include", "t")}, 400},
		"replace of nothing":                      {call{method: "PUT", path: orders + "/9", body: `{"id":"9","dep":"emea"}`, header: keyed(`["emea"]`)}, 404},
		"replace with another id":                 {call{method: "PUT", path: orders + "/1", body: `{"id":"2","dep":"emea"}`, header: keyed(`["emea"]`)}, 400},
		"replace with another key in the body":    {call{method: "PUT", path: orders + "/1", body: `{"id":"1","dep":"x"}`, header: keyed(`["emea"]`)}, 400},
		"create in a container that is not there": {call{method: "POST", path: "/dbs/shop/colls/none/docs", body: `{"id":"9"}`, header: keyed(`["e"]`)}, 404},
		"unknown verb":                            {call{method: "OPTIONS", path: orders + "/1", header: keyed(`["emea"]`)}, 405},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := s.do(t, row.call)
			if answer.Status != row.want {
				t.Errorf("status %d, want %d: %.300s", answer.Status, row.want, answer.Body)
			}
			if answer.Status >= http.StatusBadRequest && (answer.get(t, "message") == nil || answer.get(t, "code") == nil) {
				t.Errorf("not a native error: %s", answer.Body)
			}
		})
	}
}

func TestWritesAnswerWithTheirNativeStatus(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	upsert := keyed(`["e"]`, "X-Ms-Documentdb-Is-Upsert", "true")
	steps := []struct {
		name string
		call call
		want int
	}{
		{"create", call{method: "POST", path: orders, body: `{"id":"1","dep":"e"}`, header: keyed(`["e"]`)}, 201},
		{"upsert of what is there", call{method: "POST", path: orders, body: `{"id":"1","dep":"e","n":2}`, header: upsert}, 200},
		{"upsert of something new", call{method: "POST", path: orders, body: `{"id":"2","dep":"e"}`, header: upsert}, 201},
		{"replace", call{method: "PUT", path: orders + "/1", body: `{"id":"1","dep":"e","n":3}`, header: keyed(`["e"]`)}, 200},
		{"patch", call{method: "PATCH", path: orders + "/1", body: `[{"op":"incr","path":"/n","value":1}]`, header: keyed(`["e"]`)}, 200},
		{"read", call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)}, 200},
		{"delete", call{method: "DELETE", path: orders + "/1", header: keyed(`["e"]`)}, 204},
		{"delete again", call{method: "DELETE", path: orders + "/1", header: keyed(`["e"]`)}, 404},
		{"create again", call{method: "POST", path: orders, body: `{"id":"1","dep":"e"}`, header: keyed(`["e"]`)}, 201},
	}
	for _, step := range steps {
		answer := s.do(t, step.call)
		if answer.Status != step.want {
			t.Fatalf("%s: status %d, want %d: %s", step.name, answer.Status, step.want, answer.Body)
		}
		for _, name := range []string{"X-Ms-Request-Charge", "X-Ms-Activity-Id"} {
			if answer.Header.Get(name) == "" {
				t.Errorf("%s: no %s", step.name, name)
			}
		}
		if answer.Status < 300 && !strings.HasPrefix(answer.Header.Get("X-Ms-Session-Token"), "0:-1#") {
			t.Errorf("%s: session token %q", step.name, answer.Header.Get("X-Ms-Session-Token"))
		}
	}
}

func TestItemsCarryTheirSystemProperties(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	created := s.create(t, "e", "1", `,"b":1,"a":[1,null,{"x":"é"}],"_etag":"mine"`)
	read := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)})
	if diff := cmp.Diff(created.Body, read.Body); diff != "" {
		t.Errorf("read differs from what create returned (-created +read):\n%s", diff)
	}
	if etag := read.get(t, "_etag"); etag != read.Header.Get("Etag") || etag == "mine" {
		t.Errorf("etag %v, header %s", etag, read.Header.Get("Etag"))
	}
	if ts := read.get(t, "_ts"); ts != float64(s.clock.Now().Unix()) {
		t.Errorf("_ts = %v", ts)
	}
	rid, _ := read.get(t, "_rid").(string)
	self, _ := read.get(t, "_self").(string)
	if !strings.Contains(self, "/docs/"+rid+"/") {
		t.Errorf("_self = %s, _rid = %s", self, rid)
	}
	if !strings.HasPrefix(read.Body, `{"id":"1","dep":"e","b":1,"a":[1,null,{"x":"é"}]`) {
		t.Errorf("members changed their order: %s", read.Body)
	}
}

func TestMinimalAnswersHaveNoBody(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, header := range []map[string]string{
		keyed(`["e"]`, "Prefer", "return=minimal", "X-Ms-Documentdb-Is-Upsert", "true"),
		keyed(`["e"]`, "X-Ms-Cosmos-Populate-Content-Response-On-Write", "false", "X-Ms-Documentdb-Is-Upsert", "true"),
	} {
		answer := s.do(t, call{method: "POST", path: orders, body: `{"id":"1","dep":"e"}`, header: header})
		if answer.Body != "" || answer.Header.Get("Etag") == "" {
			t.Errorf("body %q, etag %q", answer.Body, answer.Header.Get("Etag"))
		}
	}
}

func TestKeysOfAllTypesAreToldApart(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	keys := []string{`"1"`, `1`, `true`, `"true"`, `null`, `"null"`, ``, `""`, `1.5`}
	header := func(key string) map[string]string {
		if key == "" {
			return keyed(`[{}]`)
		}
		return keyed("[" + key + "]")
	}
	for _, key := range keys {
		body := `{"id":"x","dep":` + key + `,"mine":` + strconv.Quote(key) + `}`
		if key == "" {
			body = `{"id":"x","mine":""}`
		}
		if answer := s.do(t, call{method: "POST", path: orders, body: body, header: header(key)}); answer.Status != http.StatusCreated {
			t.Fatalf("creating under %s: %d %s", key, answer.Status, answer.Body)
		}
	}
	for _, key := range keys {
		answer := s.do(t, call{method: "GET", path: orders + "/x", header: header(key)})
		if got := answer.get(t, "mine"); got != key {
			t.Errorf("under %s is the item of %v", key, got)
		}
		found := s.do(t, question(orders, "SELECT VALUE c.mine FROM c", header(key)))
		if diff := cmp.Diff([]any{key}, found.get(t, "Documents")); diff != "" {
			t.Errorf("query under %s (-want +got):\n%s", key, diff)
		}
	}
	same := s.do(t, call{method: "GET", path: orders + "/x", header: keyed("[1.0]")})
	if got := same.get(t, "mine"); got != "1" {
		t.Errorf("1.0 finds the item of %v, want that of 1", got)
	}
}

func TestHierarchicalKeysNeedAllPartsForItemsAndAnyPrefixForQueries(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, item := range []string{`{"id":"1","tenant":"a","user":"x"}`, `{"id":"1","tenant":"a","user":"y"}`, `{"id":"1","tenant":"b","user":"x"}`} {
		if err := s.UpsertItem("shop", "carts", []byte(item)); err != nil {
			t.Fatal(err)
		}
	}
	if answer := s.do(t, call{method: "GET", path: carts + "/1", header: keyed(`["a"]`)}); answer.Status != http.StatusBadRequest {
		t.Errorf("reading with half a key: %d", answer.Status)
	}
	for key, want := range map[string]any{`["a"]`: 2.0, `["a","y"]`: 1.0, `["c"]`: 0.0, `["a",{}]`: 0.0} {
		answer := s.do(t, question(carts, "SELECT VALUE COUNT(1) FROM c", keyed(key)))
		if got := answer.get(t, "Documents", 0); got != want {
			t.Errorf("%s finds %v, want %v: %s", key, got, want, answer.Body)
		}
	}
}

func TestPreconditionsAreHeldOnEveryWrite(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		method, body, header, value string
		want                        int
	}{
		"replace with the tag":       {"PUT", `{"id":"1","dep":"e"}`, "If-Match", "current", 200},
		"replace with a stale tag":   {"PUT", `{"id":"1","dep":"e"}`, "If-Match", `"old"`, 412},
		"replace with any tag":       {"PUT", `{"id":"1","dep":"e"}`, "If-Match", "*", 200},
		"delete with a stale tag":    {"DELETE", "", "If-Match", `"old"`, 412},
		"delete with the tag":        {"DELETE", "", "If-Match", "current", 204},
		"patch with a stale tag":     {"PATCH", `[{"op":"set","path":"/n","value":1}]`, "If-Match", `"old"`, 412},
		"patch with the tag":         {"PATCH", `[{"op":"set","path":"/n","value":1}]`, "If-Match", "current", 200},
		"upsert with a stale tag":    {"POST", `{"id":"1","dep":"e"}`, "If-Match", `"old"`, 412},
		"upsert with the tag":        {"POST", `{"id":"1","dep":"e"}`, "If-Match", "current", 200},
		"read of the known version":  {"GET", "", "If-None-Match", "current", 304},
		"read of an unknown version": {"GET", "", "If-None-Match", `"old"`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			value := row.value
			if etag := s.create(t, "e", "1", "").Header.Get("Etag"); value == "current" {
				value = etag
			}
			path := orders + "/1"
			header := keyed(`["e"]`, row.header, value)
			if row.method == "POST" {
				path = orders
				header["X-Ms-Documentdb-Is-Upsert"] = "true"
			}
			answer := s.do(t, call{method: row.method, path: path, body: row.body, header: header})
			if answer.Status != row.want {
				t.Errorf("status %d, want %d: %s", answer.Status, row.want, answer.Body)
			}
			if answer.Status == http.StatusNotModified && answer.Body != "" {
				t.Errorf("a 304 has a body: %s", answer.Body)
			}
		})
	}
}

func TestTimeToLiveTakesItemsAway(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	definition := emulator.ContainerDefinition{ID: "brief", PartitionKey: []string{"/id"}, Properties: []byte(`{"defaultTtl":60}`)}
	if err := s.CreateContainer("shop", definition); err != nil {
		t.Fatal(err)
	}
	const brief = "/dbs/shop/colls/brief/docs"
	for _, item := range []string{`{"id":"default"}`, `{"id":"own","ttl":120}`, `{"id":"never","ttl":-1}`} {
		if err := s.UpsertItem("shop", "brief", []byte(item)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() any {
		return s.do(t, question(brief, "SELECT VALUE c.id FROM c", map[string]string{"X-Ms-Documentdb-Query-Enablecrosspartition": "true"})).get(t, "Documents")
	}
	for _, step := range []struct {
		after time.Duration
		want  []any
	}{{59 * time.Second, []any{"default", "own", "never"}}, {time.Second, []any{"own", "never"}}, {time.Hour, []any{"never"}}} {
		s.clock.advance(step.after)
		if diff := cmp.Diff(step.want, left()); diff != "" {
			t.Errorf("after %v more (-want +got):\n%s", step.after, diff)
		}
	}
	if err := s.UpsertItem("shop", "brief", []byte(`{"id":"default"}`)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"never", "default"}, left()); diff != "" {
		t.Errorf("after writing anew (-want +got):\n%s", diff)
	}
	if answer := s.do(t, call{method: "POST", path: brief, body: `{"id":"x","ttl":0}`, header: keyed(`["x"]`)}); answer.Status != http.StatusBadRequest {
		t.Errorf("a time to live of zero: %d", answer.Status)
	}
}

func TestUniqueKeysHoldWithinAPartition(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	definition := emulator.ContainerDefinition{
		ID: "people", PartitionKey: []string{"/dep"}, Properties: []byte(`{"uniqueKeyPolicy":{"uniqueKeys":[{"paths":["/mail"]}]}}`),
	}
	if err := s.CreateContainer("shop", definition); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		item string
		want int
	}{
		{`{"id":"1","dep":"e","mail":"a@x"}`, 201}, {`{"id":"2","dep":"e","mail":"a@x"}`, 409}, {`{"id":"2","dep":"e","mail":"b@x"}`, 201},
	} {
		answer := s.do(t, call{method: "POST", path: "/dbs/shop/colls/people/docs", body: row.item, header: keyed(`["e"]`)})
		if answer.Status != row.want {
			t.Errorf("%s: %d, want %d", row.item, answer.Status, row.want)
		}
	}
	other := s.do(t, call{method: "POST", path: "/dbs/shop/colls/people/docs", body: `{"id":"3","dep":"f","mail":"a@x"}`, header: keyed(`["f"]`)})
	if other.Status != http.StatusCreated {
		t.Errorf("in another partition: %d", other.Status)
	}
}

func TestPatchDoesEveryOperation(t *testing.T) {
	t.Parallel()
	const before = `,"n":1,"a":[1,2],"o":{"x":1}`
	for name, row := range map[string]struct {
		body, want string
		status     int
	}{
		"add a member":                      {`[{"op":"add","path":"/m","value":1}]`, `"n":1,"a":[1,2],"o":{"x":1},"m":1`, 200},
		"add into an array":                 {`[{"op":"add","path":"/a/0","value":0}]`, `"n":1,"a":[0,1,2],"o":{"x":1}`, 200},
		"add at the end of an array":        {`[{"op":"add","path":"/a/-","value":3}]`, `"n":1,"a":[1,2,3],"o":{"x":1}`, 200},
		"set in an array replaces":          {`[{"op":"set","path":"/a/0","value":0}]`, `"n":1,"a":[0,2],"o":{"x":1}`, 200},
		"set a nested member":               {`[{"op":"set","path":"/o/y","value":null}]`, `"n":1,"a":[1,2],"o":{"x":1,"y":null}`, 200},
		"replace":                           {`[{"op":"replace","path":"/n","value":"x"}]`, `"n":"x","a":[1,2],"o":{"x":1}`, 200},
		"replace of nothing":                {`[{"op":"replace","path":"/zz","value":1}]`, ``, 400},
		"remove":                            {`[{"op":"remove","path":"/o/x"}]`, `"n":1,"a":[1,2],"o":{}`, 200},
		"remove an element":                 {`[{"op":"remove","path":"/a/0"}]`, `"n":1,"a":[2],"o":{"x":1}`, 200},
		"remove of nothing":                 {`[{"op":"remove","path":"/zz"}]`, ``, 400},
		"increment":                         {`[{"op":"incr","path":"/n","value":-3}]`, `"n":-2,"a":[1,2],"o":{"x":1}`, 200},
		"increment of nothing creates":      {`[{"op":"incr","path":"/k","value":2}]`, `"n":1,"a":[1,2],"o":{"x":1},"k":2`, 200},
		"increment of something else":       {`[{"op":"incr","path":"/a","value":2}]`, ``, 400},
		"move":                              {`[{"op":"move","from":"/n","path":"/o/n"}]`, `"a":[1,2],"o":{"x":1,"n":1}`, 200},
		"move of nothing":                   {`[{"op":"move","from":"/zz","path":"/o/n"}]`, ``, 400},
		"move into itself":                  {`[{"op":"move","from":"/o","path":"/o/n"}]`, ``, 400},
		"in the order given":                {`[{"op":"set","path":"/n","value":5},{"op":"incr","path":"/n","value":1}]`, `"n":6,"a":[1,2],"o":{"x":1}`, 200},
		"object form with a condition met":  {`{"condition":"FROM c WHERE c.n = 1","operations":[{"op":"set","path":"/n","value":2}]}`, `"n":2,"a":[1,2],"o":{"x":1}`, 200},
		"condition not met":                 {`{"condition":"from c where c.n > 1","operations":[{"op":"set","path":"/n","value":2}]}`, ``, 412},
		"condition that is no condition":    {`{"condition":"c.n = 1","operations":[{"op":"set","path":"/n","value":2}]}`, ``, 400},
		"nothing of it when a part fails":   {`[{"op":"set","path":"/n","value":5},{"op":"remove","path":"/zz"}]`, ``, 400},
		"path through a number":             {`[{"op":"set","path":"/n/x","value":5}]`, ``, 400},
		"path that is not there":            {`[{"op":"set","path":"/zz/x","value":5}]`, ``, 400},
		"array index beyond the end":        {`[{"op":"add","path":"/a/9","value":5}]`, ``, 400},
		"the id":                            {`[{"op":"set","path":"/id","value":"2"}]`, ``, 400},
		"the partition key":                 {`[{"op":"set","path":"/dep","value":"2"}]`, ``, 400},
		"a system property":                 {`[{"op":"set","path":"/_etag","value":"2"}]`, ``, 400},
		"an unknown operation":              {`[{"op":"test","path":"/n","value":1}]`, ``, 400},
		"set without a value":               {`[{"op":"set","path":"/n"}]`, ``, 400},
		"no operations":                     {`[]`, ``, 400},
		"eleven operations":                 {`[` + strings.Repeat(`{"op":"incr","path":"/n","value":1},`, 10) + `{"op":"incr","path":"/n","value":1}]`, ``, 400},
		"something that is no patch at all": {`{"n":2}`, ``, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			s.create(t, "e", "1", before)
			answer := s.do(t, call{method: "PATCH", path: orders + "/1", body: row.body, header: keyed(`["e"]`)})
			if answer.Status != row.status {
				t.Fatalf("status %d, want %d: %s", answer.Status, row.status, answer.Body)
			}
			want := row.want
			if row.status != http.StatusOK {
				want = before[1:]
			}
			read := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)})
			if diff := cmp.Diff(want, ownMembers(t, read)); diff != "" {
				t.Errorf("item (-want +got):\n%s", diff)
			}
		})
	}
}

// ownMembers returns what the item has besides its id, key and system properties.
func ownMembers(t *testing.T, answer reply) string {
	t.Helper()
	body, isItem := strings.CutPrefix(answer.Body, `{"id":"1","dep":"e",`)
	own, system, found := strings.Cut(body, `,"_rid"`)
	if !isItem || !found || !strings.HasSuffix(system, `"_attachments":"attachments/"}`) {
		t.Fatalf("not an item with its system properties last: %s", answer.Body)
	}
	return own
}
