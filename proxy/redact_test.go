package proxy_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// masked allows everything, without /card, /customer/email and /lines/price.
func masked(r policy.Request) policy.Decision {
	d := allow(r)
	d.Obligations.Redact = []policy.Path{{"card"}, {"customer", "email"}, {"lines", "price"}, {"net/gross"}, {"rate~1"}}
	return d
}

const secretDocument = `{"id":"1","department":"emea","card":"4711-secret","customer":{"name":"A","email":"secret@b"},"lines":[{"n":1,"price":"secret"}]}`

const shownDocument = `{"id":"1","department":"emea","customer":{"name":"A"},"lines":[{"n":1}]}`

// TestQueriesUnderARoleThatRedacts plays every way that a query could tell something of what is redacted.
func TestQueriesUnderARoleThatRedacts(t *testing.T) {
	t.Parallel()
	refused := map[string]string{
		"a projection":                     `SELECT c.card FROM c`,
		"a projection of something else":   `SELECT c.id FROM c`,
		"a value":                          `SELECT VALUE c FROM c`,
		"a value of a property":            `SELECT VALUE c.card FROM c`,
		"an alias":                         `SELECT c.card AS id FROM c`,
		"an object":                        `SELECT {"x": c.card} FROM c`,
		"an aggregate":                     `SELECT COUNT(1) FROM c WHERE c.card = '4711'`,
		"a minimum":                        `SELECT VALUE MIN(c.card) FROM c`,
		"distinct rows":                    `SELECT DISTINCT * FROM c`,
		"groups":                           `SELECT * FROM c GROUP BY c.card`,
		"a condition":                      `SELECT * FROM c WHERE c.card = '4711'`,
		"a condition on a longer path":     `SELECT * FROM c WHERE c.card.x = 1`,
		"a condition on what holds it":     `SELECT * FROM c WHERE c.customer = {"email": "a@b"}`,
		"a condition below":                `SELECT * FROM c WHERE c.customer.email LIKE 'a%'`,
		"brackets":                         `SELECT * FROM c WHERE c["card"] = '4711'`,
		"single quotes":                    `SELECT * FROM c WHERE c['card'] = '4711'`,
		"an escaped name":                  `SELECT * FROM c WHERE c["c\u0061rd"] = '4711'`,
		"a name that is computed":          `SELECT * FROM c WHERE c["ca" || "rd"] = '4711'`,
		"a name that is a parameter":       `SELECT * FROM c WHERE c[@name] = '4711'`,
		"a name that is a conditional":     `SELECT * FROM c WHERE c[true ? "card" : "x"] = '4711'`,
		"an alias for the container":       `SELECT * FROM orders AS o WHERE o.card = '4711'`,
		"an alias without AS":              `SELECT * FROM orders o WHERE o.card = '4711'`,
		"the container behind an alias":    `SELECT * FROM orders o WHERE orders.card = '4711'`,
		"root":                             `SELECT * FROM c WHERE root.card = '4711'`,
		"the alias in capitals":            `SELECT * FROM c WHERE C.card = '4711'`,
		"an array's element":               `SELECT * FROM c WHERE c.lines[0].price > 5`,
		"an array's element in another":    `SELECT * FROM c WHERE c.lines[0][1].price > 5`,
		"an odd number for an element":     `SELECT * FROM c WHERE c.lines[0.0].price > 5`,
		"a fraction for an element":        `SELECT * FROM c WHERE c.lines[0.5].price > 5`,
		"a text for an element":            `SELECT * FROM c WHERE c.lines["1e0"].price > 5`,
		"an array's search":                `SELECT * FROM c WHERE ARRAY_CONTAINS(c.lines, {"price": 5}, true)`,
		"an order":                         `SELECT * FROM c ORDER BY c.card`,
		"an order of several":              `SELECT * FROM c ORDER BY c.id, c.customer.email DESC`,
		"a join":                           `SELECT * FROM c JOIN l IN c.lines`,
		"a join that is elsewhere":         `SELECT * FROM c JOIN t IN c.tags WHERE t = 'x'`,
		"an array for a source":            `SELECT * FROM l IN c.lines`,
		"a property for a source":          `SELECT * FROM c.customer`,
		"a renamed property for a source":  `SELECT * FROM c.customer.email c`,
		"a subquery for a source":          `SELECT * FROM (SELECT VALUE c.card FROM c)`,
		"a subquery":                       `SELECT * FROM c WHERE EXISTS(SELECT VALUE x FROM x IN c.lines WHERE x.price > 1)`,
		"a scalar subquery":                `SELECT * FROM c WHERE (SELECT VALUE c.card) = '4711'`,
		"an array subquery":                `SELECT * FROM c WHERE ARRAY_LENGTH(ARRAY(SELECT VALUE c.card)) > 0`,
		"the whole document":               `SELECT * FROM c WHERE ToString(c) LIKE '%4711%'`,
		"the whole document in an array":   `SELECT * FROM c WHERE [c][0].card = '4711'`,
		"the whole document in an object":  `SELECT * FROM c WHERE {"a": c}.a.card = '4711'`,
		"whether it is there":              `SELECT * FROM c WHERE IS_DEFINED(c.card)`,
		"a user-defined function":          `SELECT * FROM c WHERE udf.leak(c.id)`,
		"a function of it":                 `SELECT * FROM c WHERE STARTSWITH(c.card, '4')`,
		"a conditional of it":              `SELECT * FROM c WHERE (c.card = '4' ? true : false)`,
		"what it is instead of":            `SELECT * FROM c WHERE (c.card ?? 'x') = 'x'`,
		"a range of it":                    `SELECT * FROM c WHERE c.card BETWEEN '4' AND '5'`,
		"a range by it":                    `SELECT * FROM c WHERE '4' BETWEEN c.card AND c.customer.email`,
		"a list with it":                   `SELECT * FROM c WHERE '4711' IN (c.id, c.card)`,
		"negation":                         `SELECT * FROM c WHERE NOT (c.card != '4711')`,
		"a comment that hides the end":     "SELECT * FROM c WHERE c.id = '1' -- '\n OR c.card = '4711'",
		"no source":                        `SELECT *`,
		"text that cannot be read":         `SELECT * FROM c WHERE c.card ~~ 5`,
		"two statements":                   `SELECT * FROM c; SELECT c.card FROM c`,
		"a limit by it":                    `SELECT * FROM c OFFSET c.card LIMIT 1`,
		"no text":                          ``,
		"a vector order":                   `SELECT * FROM c ORDER BY RANK FullTextScore(c.card, ["4711"])`,
		"an object with it in a condition": `SELECT * FROM c WHERE c.a = {"x": [c.customer["email"]]}`,
	}
	for name, text := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, plan := range []bool{false, true} {
				g := newGate(t, setup{decide: masked})
				got := g.do(query(t, text, plan))
				checkNative(t, got, http.StatusForbidden)
				if strings.Contains(got.Body, "email") || strings.Contains(got.Body, `"card`) {
					t.Errorf("the refusal tells what is redacted: %s", got.Body)
				}
				if n := len(g.service.seen()); n != 0 {
					t.Errorf("upstream received %d requests", n)
				}
				r := g.ledger.next(t)
				if diff := cmp.Diff([]any{audit.Deny, "redaction"}, []any{r.Decision, r.Reason}); diff != "" || r.Detail == "" {
					t.Errorf("record (-want +got): %s, detail %q", diff, r.Detail)
				}
			}
		})
	}
}

func query(t *testing.T, text string, plan bool) *http.Request {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": text, "parameters": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	selector := "X-Ms-Documentdb-Isquery"
	if plan {
		selector = "X-Ms-Cosmos-Is-Query-Plan-Request"
	}
	return request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", string(body),
		"Content-Type", "application/query+json", selector, "True", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
}

func TestQueriesOfWholeDocumentsPassRedacted(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ text, sent string }{
		"everything":             {`SELECT * FROM c`, `SELECT * FROM c`},
		"some":                   {"SELECT TOP 10 * FROM c WHERE c.id = '1' AND c.customer.name != @x -- all", `SELECT TOP 10 * FROM c WHERE c.id = "1" AND c.customer.name != @x`},
		"another alias":          {`select * from root r where r.lines[0].n in (1, 2)`, `select * from root r where r.lines[0].n in (1, 2)`},
		"in order":               {`SELECT * FROM c ORDER BY c._ts DESC OFFSET 5 LIMIT @n`, `SELECT * FROM c ORDER BY c._ts DESC OFFSET 5 LIMIT @n`},
		"another property":       {`SELECT * FROM c WHERE c.cards = 'card' AND c.Card > 1 AND c.email = 'x'`, `SELECT * FROM c WHERE c.cards = "card" AND c.Card > 1 AND c.email = "x"`},
		"functions":              {`SELECT * FROM c WHERE STARTSWITH(c["customer"]["name"], 'A') AND IS_DEFINED(c.x)`, `SELECT * FROM c WHERE STARTSWITH(c["customer"]["name"], "A") AND IS_DEFINED(c.x)`},
		"what is redacted, only": {`SELECT * FROM c WHERE c.a = 'c.card'`, `SELECT * FROM c WHERE c.a = "c.card"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: masked, handler: func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); got != "identity" {
					t.Errorf("upstream may compress: %q", got)
				}
				w.Header().Set("X-Ms-Item-Count", "2")
				item(w, `{"_rid":"x","Documents":[`+secretDocument+`,`+secretDocument+`],"_count":2}`)
			}})
			got := g.do(query(t, row.text, false))
			want := `{"_rid":"x","Documents":[` + shownDocument + `,` + shownDocument + `],"_count":2}`
			if diff := cmp.Diff(want, got.Body); got.Status != http.StatusOK || diff != "" {
				t.Errorf("status %d, body (-want +got):\n%s", got.Status, diff)
			}
			var sent struct{ Query string }
			if err := json.Unmarshal([]byte(g.service.seen()[0].Body), &sent); err != nil || sent.Query != row.sent {
				t.Errorf("sent %q, %v, want %q", sent.Query, err, row.sent)
			}
			if r := g.ledger.next(t); r.Redactions != 6 {
				t.Errorf("record counts %d redactions, want 6", r.Redactions)
			}
		})
	}
}

func TestEveryAnswerWithDocumentsIsRedacted(t *testing.T) {
	t.Parallel()
	const docs = "/dbs/shop/colls/orders/docs"
	key := []string{"X-Ms-Documentdb-Partitionkey", `["emea"]`}
	feed, shownFeed := `{"_rid":"x","Documents":[`+secretDocument+`],"_count":1}`, `{"_rid":"x","Documents":[`+shownDocument+`],"_count":1}`
	batch := append([]string{"X-Ms-Cosmos-Is-Batch-Request", "True"}, key...)
	for name, row := range map[string]struct {
		method, path, body string
		headers            []string
		answer, want       string
	}{
		"a read":        {http.MethodGet, docs + "/1", "", key, secretDocument, shownDocument},
		"a feed":        {http.MethodGet, docs, "", key, feed, shownFeed},
		"a change feed": {http.MethodGet, docs, "", append([]string{"A-IM", "Incremental Feed"}, key...), feed, shownFeed},
		"all versions": {
			http.MethodGet, docs, "", append([]string{"A-IM", "Full-Fidelity Feed"}, key...),
			`{"Documents":[{"current":` + secretDocument + `,"previous":` + secretDocument + `,"metadata":{"lsn":1,"partitionKey":{"card":"4711-secret"}}}],"_count":1}`,
			`{"Documents":[{"current":` + shownDocument + `,"previous":` + shownDocument + `,"metadata":{"lsn":1}}],"_count":1}`,
		},
		"a create": {http.MethodPost, docs, `{"id":"1","department":"emea"}`, key, secretDocument, shownDocument},
		"a patch":  {http.MethodPatch, docs + "/1", `{"operations":[{"op":"set","path":"/customer/name","value":"B"}]}`, key, secretDocument, shownDocument},
		"a batch": {
			http.MethodPost, docs, `[{"operationType":"Read","id":"1"}]`, append([]string{"X-Ms-Cosmos-Batch-Atomic", "True", "X-Ms-Cosmos-Batch-Ordered", "True"}, batch...),
			`[{"statusCode":200,"resourceBody":` + secretDocument + `}]`, `[{"statusCode":200,"resourceBody":` + shownDocument + `}]`,
		},
		"bulk": {
			http.MethodPost, docs, `[{"operationType":"Read","id":"1","partitionKey":"[\"emea\"]"}]`, batch,
			`[{"statusCode":200,"resourceBody":` + secretDocument + `},{"statusCode":404}]`, `[{"statusCode":200,"resourceBody":` + shownDocument + `},{"statusCode":404}]`,
		},
		"a delete": {http.MethodDelete, docs + "/1", "", key, ``, ``},
		"metadata": {http.MethodGet, "/dbs/shop/colls/orders", "", nil, `{"id":"orders","card":1}`, `{"id":"orders","card":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: masked, handler: func(w http.ResponseWriter, _ *http.Request) { item(w, row.answer) }})
			got := g.do(request(t, row.method, row.path, row.body, row.headers...))
			if diff := cmp.Diff(row.want, got.Body); got.Status != http.StatusOK || diff != "" {
				t.Errorf("status %d, body (-want +got):\n%s", got.Status, diff)
			}
		})
	}
}

func TestAnswersThatCannotBeRedactedAreWithheld(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"binary JSON": func(w http.ResponseWriter) { item(w, "\x80secret") },
		"compressed": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			item(w, "secret")
		},
		"no JSON":         func(w http.ResponseWriter) { item(w, "secret") },
		"longer than 1 K": func(w http.ResponseWriter) { item(w, `{"a":"`+strings.Repeat("secret", 1000)+`"}`) },
		"cut short": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			item(w, `{"a":"secret"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: masked, handler: func(w http.ResponseWriter, _ *http.Request) { answer(w) }, limits: proxy.Limits{MaxResponseBytes: 1 << 10}})
			got := g.get()
			checkNative(t, got, http.StatusServiceUnavailable)
			if strings.Contains(got.Body, "secret") {
				t.Errorf("passed on %s", got.Body)
			}
		})
	}
	t.Run("more than may be held", func(t *testing.T) {
		t.Parallel()
		g := newGate(t, setup{decide: masked, handler: func(w http.ResponseWriter, _ *http.Request) { item(w, secretDocument) }, limits: proxy.Limits{MaxBufferedBytes: 8}})
		checkNative(t, g.get(), http.StatusServiceUnavailable)
	})
}

func TestErrorsUnderARoleThatRedactsTellNothing(t *testing.T) {
	t.Parallel()
	handler := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { native(w, status, "7", "Word") }
	}
	g := newGate(t, setup{decide: masked, handler: handler(http.StatusConflict)})
	got := g.create()
	checkNative(t, got, http.StatusConflict)
	if strings.Contains(got.Body, "said by the service") || got.Header.Get("X-Ms-Substatus") != "7" {
		t.Errorf("got %s %v", got.Body, got.Header)
	}
	g = newGate(t, setup{decide: masked, handler: handler(http.StatusBadRequest)})
	if got := g.do(query(t, "SELECT * FROM c", false)); !strings.Contains(got.Body, "said by the service") {
		t.Errorf("what is wrong with an analysed query is withheld: %s", got.Body)
	}
}

func TestWritesOverWhatIsRedactedAreRefused(t *testing.T) {
	t.Parallel()
	const docs = "/dbs/shop/colls/orders/docs"
	key := []string{"X-Ms-Documentdb-Partitionkey", `["emea"]`}
	batch := append([]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True", "X-Ms-Cosmos-Batch-Ordered", "True"}, key...)
	patch := func(body string) [4]any { return [4]any{http.MethodPatch, docs + "/1", body, key} }
	for name, row := range map[string][4]any{
		"a replace":                 {http.MethodPut, docs + "/1", `{"id":"1"}`, key},
		"an upsert":                 {http.MethodPost, docs, `{"id":"1"}`, append([]string{"X-Ms-Documentdb-Is-Upsert", "True"}, key...)},
		"a replace in a batch":      {http.MethodPost, docs, `[{"operationType":"Create","resourceBody":{"id":"2"}},{"id":"1","operationType":"Replace","resourceBody":{}}]`, batch},
		"an upsert in a batch":      {http.MethodPost, docs, `[{"operationType":"Upsert","resourceBody":{"id":"2"}}]`, batch},
		"an escaped upsert":         {http.MethodPost, docs, `[{"operationType":"Ups\u0065rt","resourceBody":{"id":"2"}}]`, batch},
		"a patch in a batch":        {http.MethodPost, docs, `[{"operationType":"Patch","id":"1","resourceBody":{"operations":[{"op":"copy","from":"/card","path":"/x"}]}}]`, batch},
		"a patch before its name":   {http.MethodPost, docs, `[{"resourceBody":{"operations":[{"op":"move","path":"/x","from":"/card"}]},"id":"1","operationType":"Patch"}]`, batch},
		"a set":                     patch(`{"operations":[{"op":"set","path":"/card","value":1}]}`),
		"a set in array form":       patch(`[{"op":"set","path":"/card","value":1}]`),
		"a set of what holds it":    patch(`[{"op":"set","path":"/customer","value":{}}]`),
		"a set below":               patch(`[{"op":"set","path":"/card/x","value":1}]`),
		"a removal of what holds":   patch(`[{"op":"remove","path":"/customer"}]`),
		"a copy":                    patch(`[{"op":"copy","from":"/card","path":"/shown"}]`),
		"a move":                    patch(`[{"op":"move","from":"/customer/email","path":"/shown"}]`),
		"a move of what holds it":   patch(`[{"op":"move","from":"/customer","path":"/shown"}]`),
		"a copy of everything":      patch(`[{"op":"copy","from":"","path":"/shown"}]`),
		"a copy of the root":        patch(`[{"op":"copy","from":"/","path":"/shown"}]`),
		"an escaped path":           patch(`[{"op":"copy","from":"/c\u0061rd","path":"/shown"}]`),
		"a slash in a name":         patch(`[{"op":"move","from":"/net~1gross","path":"/shown"}]`),
		"what looks like a slash":   patch(`[{"op":"move","from":"/rate~1","path":"/shown"}]`),
		"a tilde in a name":         patch(`[{"op":"move","from":"/rate~01","path":"/shown"}]`),
		"an array's element":        patch(`[{"op":"copy","from":"/lines/0/price","path":"/shown"}]`),
		"a whole element":           patch(`[{"op":"copy","from":"/lines/0","path":"/shown"}]`),
		"the end of an array":       patch(`[{"op":"add","path":"/lines/-","value":{"price":1}}]`),
		"an empty name before it":   patch(`[{"op":"set","path":"//card","value":1}]`),
		"an empty name within it":   patch(`[{"op":"set","path":"/customer//email","value":1}]`),
		"an increment":              patch(`[{"op":"incr","path":"/card","value":1}]`),
		"quotes":                    patch(`[{"op":"copy","from":"/\"card\"","path":"/shown"}]`),
		"brackets":                  patch(`[{"op":"copy","from":"/['card']","path":"/shown"}]`),
		"a condition":               patch(`{"operations":[{"op":"set","path":"/x","value":1}],"condition":"from c where c.card = '4711'"}`),
		"a condition first":         patch(`{"condition":"from c where c['customer'].email like 'a%'","operations":[{"op":"set","path":"/x","value":1}]}`),
		"a condition with escapes":  patch(`{"operations":[{"op":"set","path":"/x","value":1}],"condition":"from c where c['\\u0063ard'] = 1"}`),
		"a condition with comments": patch(`{"operations":[{"op":"set","path":"/x","value":1}],"condition":"from c where c.x = 1 -- '\n or c.card = 1"}`),
		"a condition with a join":   patch(`{"operations":[{"op":"set","path":"/x","value":1}],"condition":"from c join l in c.lines where l.price > 1"}`),
		"a binary batch":            {http.MethodPost, docs, "\x81", batch},
		"a stored procedure":        {http.MethodPost, "/dbs/shop/colls/orders/sprocs/x", `[]`, key},
		"the conflict feed":         {http.MethodGet, "/dbs/shop/colls/orders/conflicts", ``, key},
		"a trigger":                 {http.MethodPost, docs, `{"id":"1"}`, append([]string{"X-Ms-Documentdb-Pre-Trigger-Include", "t"}, key...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: masked})
			got := g.do(request(t, row[0].(string), row[1].(string), row[2].(string), row[3].([]string)...))
			if got.Status != http.StatusForbidden && got.Status != http.StatusBadRequest {
				t.Errorf("status %d: %s", got.Status, got.Body)
			}
			if n := len(g.service.seen()); n != 0 {
				t.Errorf("upstream received %d requests", n)
			}
		})
	}
	for name, row := range map[string][4]any{
		"a patch of something else":        patch(`{"operations":[{"op":"set","path":"/customer/name","value":1},{"op":"incr","path":"/lines/0/n","value":1}]}`),
		"a condition on something else":    patch(`{"operations":[{"op":"set","path":"/x","value":1}],"condition":"from c where c.customer.name = 'A'"}`),
		"creations and deletions at once":  {http.MethodPost, docs, `[{"operationType":"Create","resourceBody":{"id":"2","card":1}},{"operationType":"Delete","id":"1"}]`, batch},
		"a patch in a batch, of something": {http.MethodPost, docs, `[{"operationType":"Patch","id":"1","resourceBody":{"operations":[{"op":"add","path":"/tags/-","value":1}]}}]`, batch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: masked, handler: func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					_, _ = io.WriteString(w, `[{"statusCode":201}]`)
					return
				}
				item(w, secretDocument)
			}})
			if got := g.do(request(t, row[0].(string), row[1].(string), row[2].(string), row[3].([]string)...)); got.Status != http.StatusOK {
				t.Errorf("status %d: %s", got.Status, got.Body)
			}
		})
	}
}
