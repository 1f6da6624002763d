package query_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
	"github.com/cosmosgate/cosmosgate/internal/emulator/query"
)

// families are the documents of most rows.
func families() []string {
	return []string{
		`{"id":"1","name":"Ann","age":31,"city":"Oslo","tags":["a","b"],"pets":[{"n":"Rex","legs":4},{"n":"Tweety","legs":2}],"ok":true}`,
		`{"id":"2","name":"Bob","age":25,"tags":["b"],"nick":null,"ok":false}`,
		`{"id":"3","name":"Cid","age":"old","city":"Rome","tags":[]}`,
	}
}

func TestQueriesGiveTheResultsOfTheService(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ text, want string }{
		"a path of every document":                  {"SELECT VALUE c.id FROM c", "\"1\"\n\"2\"\n\"3\""},
		"undefined results of VALUE are left out":   {"SELECT VALUE c.city FROM c", "\"Oslo\"\n\"Rome\""},
		"undefined members are left out":            {"SELECT c.id, c.city FROM c", "{\"id\":\"1\",\"city\":\"Oslo\"}\n{\"id\":\"2\"}\n{\"id\":\"3\",\"city\":\"Rome\"}"},
		"all members undefined leaves an object":    {"SELECT c.none FROM c WHERE c.id = '1'", "{}"},
		"star keeps the order of members":           {"SELECT * FROM c WHERE c.id = '2'", families()[1]},
		"any name for the container":                {"SELECT VALUE f.id FROM Families f WHERE f.ok", `"1"`},
		"root by its name":                          {"SELECT VALUE root.id FROM root WHERE root.ok", `"1"`},
		"aliases of AS":                             {"SELECT c.id AS key FROM c WHERE c.ok", `{"key":"1"}`},
		"unnamed expressions are numbered":          {"SELECT 1 + 1, c.id, 'x' FROM c WHERE c.ok", `{"$1":2,"id":"1","$2":"x"}`},
		"without FROM":                              {"SELECT VALUE 1 + 1", "2"},
		"from a path":                               {"SELECT VALUE pets FROM c.pets", `[{"n":"Rex","legs":4},{"n":"Tweety","legs":2}]`},
		"from an indexed path":                      {"SELECT VALUE p.n FROM c.pets[1] p", `"Tweety"`},
		"from the elements of an array":             {"SELECT VALUE t FROM t IN c.tags", "\"a\"\n\"b\"\n\"b\""},
		"join with own elements":                    {"SELECT c.id, t FROM c JOIN t IN c.tags", "{\"id\":\"1\",\"t\":\"a\"}\n{\"id\":\"1\",\"t\":\"b\"}\n{\"id\":\"2\",\"t\":\"b\"}"},
		"join twice is the cross product":           {"SELECT VALUE CONCAT(t, p.n) FROM c JOIN t IN c.tags JOIN p IN c.pets", "\"aRex\"\n\"aTweety\"\n\"bRex\"\n\"bTweety\""},
		"join with a path":                          {"SELECT VALUE t FROM c JOIN t IN c.pets[0].n", ""},
		"join with a subquery":                      {"SELECT VALUE p FROM c JOIN (SELECT VALUE x.n FROM x IN c.pets WHERE x.legs > 2) AS p", `"Rex"`},
		"join with a subquery's objects":            {"SELECT VALUE s.n FROM c JOIN (SELECT COUNT(1) AS n FROM t IN c.tags) AS s", "2\n1\n0"},
		"a string is no number":                     {"SELECT VALUE c.id FROM c WHERE c.age > 20", "\"1\"\n\"2\""},
		"equality of two types is false":            {"SELECT VALUE c.id FROM c WHERE c.age = '31'", ""},
		"inequality of two types is true":           {"SELECT VALUE c.id FROM c WHERE c.age != 31", "\"2\"\n\"3\""},
		"nothing equals undefined":                  {"SELECT VALUE c.id FROM c WHERE c.none = undefined OR c.none != 1", ""},
		"null is a value":                           {"SELECT VALUE c.id FROM c WHERE c.nick = null", `"2"`},
		"NOT of undefined is undefined":             {"SELECT VALUE c.id FROM c WHERE NOT (c.none > 1)", ""},
		"true OR undefined is true":                 {"SELECT VALUE c.id FROM c WHERE c.none > 1 OR c.id = '1'", `"1"`},
		"false AND undefined is false":              {"SELECT VALUE c.id FROM c WHERE NOT (c.id = '9' AND c.none > 1)", "\"1\"\n\"2\"\n\"3\""},
		"only true passes WHERE":                    {"SELECT VALUE c.id FROM c WHERE c.name", ""},
		"BETWEEN is inclusive":                      {"SELECT VALUE c.id FROM c WHERE c.age BETWEEN 25 AND 31", "\"1\"\n\"2\""},
		"NOT BETWEEN two types is undefined":        {"SELECT VALUE c.id FROM c WHERE c.age NOT BETWEEN 26 AND 40", `"2"`},
		"IN":                                        {"SELECT VALUE c.id FROM c WHERE c.name IN ('Ann', 'Cid')", "\"1\"\n\"3\""},
		"NOT IN":                                    {"SELECT VALUE c.id FROM c WHERE c.name NOT IN ('Ann', 'Cid')", `"2"`},
		"IN of undefined":                           {"SELECT VALUE c.id FROM c WHERE c.city NOT IN ('x')", "\"1\"\n\"3\""},
		"LIKE any text":                             {"SELECT VALUE c.id FROM c WHERE c.name LIKE '%n%'", `"1"`},
		"LIKE one character":                        {"SELECT VALUE c.id FROM c WHERE c.name LIKE '_o_'", `"2"`},
		"LIKE a set":                                {"SELECT VALUE c.id FROM c WHERE c.name LIKE '[A-B]%'", "\"1\"\n\"2\""},
		"LIKE a negated set":                        {"SELECT VALUE c.id FROM c WHERE c.name LIKE '[^A-B]%'", `"3"`},
		"LIKE with an escape":                       {"SELECT VALUE '50%' LIKE '50!%' ESCAPE '!' AND '50x' NOT LIKE '50!%' ESCAPE '!'", "true"},
		"LIKE keeps other characters literal":       {"SELECT VALUE 'a.c' LIKE 'a.c' AND 'abc' NOT LIKE 'a.c'", "true"},
		"coalescing":                                {"SELECT VALUE c.city ?? 'nowhere' FROM c", "\"Oslo\"\n\"nowhere\"\n\"Rome\""},
		"null is not coalesced":                     {"SELECT VALUE c.nick ?? 'x' FROM c WHERE c.id = '2'", "null"},
		"conditional":                               {"SELECT VALUE c.age >= 30 ? 'old' : 'young' FROM c", "\"old\"\n\"young\"\n\"young\""},
		"concatenation of strings":                  {"SELECT VALUE c.name || '-' || c.id FROM c WHERE c.ok", `"Ann-1"`},
		"concatenation with another type":           {"SELECT VALUE c.name || 1 FROM c", ""},
		"arithmetic":                                {"SELECT VALUE [7 % 3, 7 / 2, -7 + 1, 2 * 3]", "[1,3.5,-6,6]"},
		"division by zero is undefined":             {"SELECT VALUE [1 / 0, 0 / 0]", "[]"},
		"bit operators":                             {"SELECT VALUE [6 & 3, 6 | 3, 6 ^ 3, ~6, 1 << 3, -8 >> 1, -8 >>> 28]", "[2,7,5,-7,8,-4,15]"},
		"equality of objects ignores order":         {"SELECT VALUE {'a': 1, 'b': [2]} = {'b': [2], 'a': 1}", "true"},
		"arrays are equal by their elements":        {"SELECT VALUE [1, 2] = [2, 1]", "false"},
		"undefined elements are left out":           {"SELECT VALUE [1, undefined, 2]", "[1,2]"},
		"undefined members of objects are left out": {"SELECT VALUE {'a': undefined, 'b': 1}", `{"b":1}`},
		"index by number and by name":               {"SELECT VALUE c.pets[0]['n'] FROM c WHERE c.ok", `"Rex"`},
		"index by expression":                       {"SELECT VALUE c[CONCAT('na', 'me')] FROM c WHERE c.ok", `"Ann"`},
		"DISTINCT":                                  {"SELECT DISTINCT VALUE t FROM c JOIN t IN c.tags", "\"a\"\n\"b\""},
		"DISTINCT objects ignore member order":      {"SELECT DISTINCT VALUE x FROM c JOIN x IN (SELECT VALUE [{'a':1,'b':2},{'b':2,'a':1}]) WHERE c.ok", `{"a":1,"b":2}`},
		"TOP":                                       {"SELECT TOP 2 VALUE c.id FROM c", "\"1\"\n\"2\""},
		"TOP of a parameter":                        {"SELECT TOP @one VALUE c.id FROM c", `"1"`},
		"TOP zero":                                  {"SELECT TOP 0 VALUE c.id FROM c", ""},
		"TOP counts after DISTINCT":                 {"SELECT DISTINCT TOP 2 VALUE t FROM c JOIN t IN c.tags", "\"a\"\n\"b\""},
		"OFFSET LIMIT":                              {"SELECT VALUE c.id FROM c OFFSET 1 LIMIT 1", `"2"`},
		"OFFSET beyond the end":                     {"SELECT VALUE c.id FROM c OFFSET 9 LIMIT 1", ""},
		"ORDER BY":                                  {"SELECT VALUE c.id FROM c ORDER BY c.name DESC", "\"3\"\n\"2\"\n\"1\""},
		"ORDER BY types":                            {"SELECT VALUE c.id FROM c ORDER BY c.age", "\"2\"\n\"1\"\n\"3\""},
		"ORDER BY leaves out what has no such path": {"SELECT VALUE c.id FROM c ORDER BY c.city", "\"1\"\n\"3\""},
		"ORDER BY several":                          {"SELECT VALUE c.id FROM c ORDER BY c.ok DESC, c.id", "\"1\"\n\"2\"\n\"3\""},
		"ORDER BY with TOP":                         {"SELECT TOP 1 VALUE c.id FROM c ORDER BY c.id DESC", `"3"`},
		"ORDER BY with OFFSET":                      {"SELECT VALUE c.id FROM c ORDER BY c.id DESC OFFSET 1 LIMIT 1", `"2"`},
		"EXISTS":                                    {"SELECT VALUE c.id FROM c WHERE EXISTS(SELECT VALUE p FROM p IN c.pets WHERE p.legs = 2)", `"1"`},
		"NOT EXISTS":                                {"SELECT VALUE c.id FROM c WHERE NOT EXISTS(SELECT VALUE t FROM t IN c.tags)", `"3"`},
		"ARRAY of a subquery":                       {"SELECT VALUE ARRAY(SELECT VALUE p.legs FROM p IN c.pets) FROM c WHERE c.ok", "[4,2]"},
		"scalar subquery":                           {"SELECT VALUE (SELECT VALUE c.id) FROM c WHERE c.ok", `"1"`},
		"scalar subquery of many is undefined":      {"SELECT VALUE (SELECT VALUE t FROM t IN c.tags) FROM c", `"b"`},
		"aggregate in a subquery":                   {"SELECT VALUE (SELECT VALUE SUM(p.legs) FROM p IN c.pets) FROM c", "6\n0\n0"},
		"ALL":                                       {"SELECT VALUE ALL(SELECT VALUE p.legs > 1 FROM p IN c.pets) FROM c WHERE c.ok", "true"},
		"FIRST and LAST":                            {"SELECT VALUE [FIRST(SELECT VALUE p.n FROM p IN c.pets), LAST(SELECT VALUE p.n FROM p IN c.pets)] FROM c WHERE c.ok", `["Rex","Tweety"]`},
		"parameter":                                 {"SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(@list, c.tags[0])", "\"1\"\n\"2\""},
		"aliases of nested queries don't leak":      {"SELECT VALUE EXISTS(SELECT VALUE x FROM x IN c.tags) FROM c JOIN x IN c.pets", "true\n" + "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t, row.text, families()...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", row.text, diff)
			}
		})
	}
}

func TestQueriesTheServiceRefusesAreRefused(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		text string
		code sql.Code
	}{
		"unknown function":                     {"SELECT FOO(c.x) FROM c", query.CodeFunction},
		"user-defined function":                {"SELECT udf.tax(c.x) FROM c", query.CodeUDF},
		"unknown name":                         {"SELECT d.x FROM c", query.CodeName},
		"container hidden by its alias":        {"SELECT c.x FROM c AS d", query.CodeName},
		"name without FROM":                    {"SELECT c.x", query.CodeName},
		"unknown name in a join":               {"SELECT * FROM c JOIN t IN d.tags", query.CodeName},
		"unknown name in a subquery":           {"SELECT VALUE EXISTS(SELECT VALUE 1 FROM d) FROM c", query.CodeName},
		"the same alias twice":                 {"SELECT VALUE t FROM c JOIN t IN c.a JOIN t IN c.b", query.CodeName},
		"missing parameter":                    {"SELECT VALUE @missing", query.CodeParameter},
		"star of two inputs":                   {"SELECT * FROM c JOIN t IN c.tags", query.CodeClause},
		"star of none":                         {"SELECT *", query.CodeClause},
		"star of groups":                       {"SELECT * FROM c GROUP BY c.x", query.CodeAggregate},
		"ungrouped property":                   {"SELECT c.x, COUNT(1) FROM c", query.CodeAggregate},
		"property not grouped by":              {"SELECT c.x FROM c GROUP BY c.y", query.CodeAggregate},
		"aggregate in WHERE":                   {"SELECT VALUE 1 FROM c WHERE COUNT(1) > 1", query.CodeAggregate},
		"aggregate of an aggregate":            {"SELECT VALUE SUM(COUNT(1)) FROM c", query.CodeAggregate},
		"aggregate of two":                     {"SELECT VALUE SUM(1, 2) FROM c", query.CodeArguments},
		"ORDER BY of groups":                   {"SELECT c.x FROM c GROUP BY c.x ORDER BY c.x", query.CodeClause},
		"ORDER BY of an expression":            {"SELECT * FROM c ORDER BY c.x + 1", query.CodeOrderBy},
		"ORDER BY of a constant":               {"SELECT * FROM c ORDER BY 1", query.CodeOrderBy},
		"TOP with OFFSET":                      {"SELECT TOP 1 * FROM c OFFSET 1 LIMIT 1", query.CodeClause},
		"TOP of a fraction":                    {"SELECT TOP 1.5 * FROM c", query.CodeClause},
		"the same output name twice":           {"SELECT c.id, c.name AS id FROM c", query.CodeClause},
		"the same object member twice":         {"SELECT VALUE {'a': 1, 'a': 2}", query.CodeClause},
		"literals in capitals are names":       {"SELECT VALUE TRUE", query.CodeName},
		"ranking, which is not supported here": {"SELECT * FROM c ORDER BY RANK FullTextScore(c.x, 'y')", sql.CodeSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ask(t, row.text, families()...)
			var fault *sql.Error
			if !errors.As(err, &fault) || fault.Code != row.code {
				t.Errorf("%s: %v, want %s", row.text, err, row.code)
			}
		})
	}
}

func TestQueriesThatWouldRunAwayAreStopped(t *testing.T) {
	t.Parallel()
	numbers := "[" + strings.Repeat("1,", 999) + "1]"
	for name, text := range map[string]string{
		"cross product of itself":     "SELECT VALUE COUNT(1) FROM c JOIN a IN c.n JOIN b IN c.n JOIN d IN c.n JOIN e IN c.n",
		"text that doubles each time": "SELECT VALUE " + strings.Repeat("REPLACE(", 20) + "'aaaaaaaaaa'" + strings.Repeat(", 'a', 'aaaaaaaaaa')", 20),
		"subqueries in subqueries":    "SELECT VALUE ARRAY(SELECT VALUE ARRAY(SELECT VALUE ARRAY(SELECT VALUE x FROM x IN c.n) FROM y IN c.n) FROM z IN c.n) FROM c",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ask(t, text, `{"n":`+numbers+`}`)
			if !errors.Is(err, query.ErrTooMuch) {
				t.Errorf("%v, want ErrTooMuch", err)
			}
		})
	}
}

func TestCancelledQueriesStop(t *testing.T) {
	t.Parallel()
	tree, err := sql.Parse("SELECT VALUE COUNT(1) FROM c JOIN a IN c.n JOIN b IN c.n JOIN d IN c.n")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := query.New(noon).Compile(tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	one := parse(t, `{"n":[`+strings.Repeat("1,", 999)+`1]}`)
	steps, err := plan.Run(cancelled, slices.Values([]document.Value{one}), func(document.Value) bool { return true })
	const soon = 100_000
	if !errors.Is(err, context.Canceled) || steps > soon {
		t.Errorf("stopped after %d steps with %v", steps, err)
	}
}

func TestOnlyQueriesThatFollowDocumentsStream(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"SELECT * FROM c":                                true,
		"SELECT VALUE t FROM c JOIN t IN c.tags":         true,
		"SELECT VALUE (SELECT COUNT(1)) FROM c":          true,
		"SELECT DISTINCT VALUE c.id FROM c":              false,
		"SELECT TOP 1 * FROM c":                          false,
		"SELECT * FROM c ORDER BY c.id":                  false,
		"SELECT VALUE COUNT(1) FROM c":                   false,
		"SELECT * FROM c OFFSET 0 LIMIT 1":               false,
		"SELECT VALUE 1":                                 false,
		"SELECT c.id FROM c GROUP BY c.id":               false,
		"SELECT * FROM c WHERE EXISTS(SELECT TOP 1 c.x)": true,
	} {
		tree, err := sql.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := query.New(noon).Compile(tree, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.Streams(); got != want {
			t.Errorf("%s: streams = %v, want %v", text, got, want)
		}
	}
}

func FuzzRun(f *testing.F) {
	for _, seed := range []string{
		"SELECT * FROM c WHERE c.age > 1 ORDER BY c.name", "SELECT VALUE ARRAY(SELECT VALUE t || 'x' FROM t IN c.tags) FROM c",
		"SELECT c.city, COUNT(1), AVG(c.age) FROM c GROUP BY c.city", "SELECT DISTINCT TOP 3 VALUE SUBSTRING(c.name, 1, 2) FROM c",
		"SELECT VALUE DateTimeAdd('mm', 1e9, GetCurrentDateTime())", "SELECT VALUE c.name LIKE '[%' FROM c", "SELECT VALUE REPLICATE('a', 1e300)",
		"SELECT VALUE [INTDIV(-9223372036854775808, -1), ROUND(1, 400), ARRAY_SLICE([1], -1e300), 1 << 33]", "SELECT VALUE DateTimeBin('0001-01-01', 'ns', 3)",
	} {
		f.Add(seed)
	}
	language := query.New(noon)
	var documents []document.Value
	for _, one := range families() {
		value, err := document.Parse([]byte(one))
		if err != nil {
			f.Fatal(err)
		}
		documents = append(documents, value)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := sql.Parse(text)
		if err != nil {
			return
		}
		plan, err := language.Compile(tree, map[string]document.Value{"@p": document.NullValue()})
		if err != nil {
			return
		}
		_, err = plan.Run(t.Context(), slices.Values(documents), func(value document.Value) bool {
			if _, err := document.Parse(value.Append(nil)); err != nil {
				t.Fatalf("result %s: %v", value, err)
			}
			return true
		})
		if err != nil && !errors.Is(err, query.ErrTooMuch) {
			t.Fatal(err)
		}
	})
}
