package sql_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
)

// where parses a condition and returns it in canonical form.
func where(t *testing.T, condition string) string {
	t.Helper()
	query, err := sql.Parse("SELECT * FROM c WHERE " + condition)
	if err != nil {
		t.Fatalf("parsing %q: %v", condition, err)
	}
	return sql.Canonical(query.Where)
}

func TestExpressionsBindAsThePublishedGrammarSays(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ text, want string }{
		"multiplication before addition":           {"1 + 2 * 3", "+(1,*(2,3))"},
		"subtraction from the left":                {"1 - 2 - 3", "-(-(1,2),3)"},
		"parentheses first":                        {"(1 + 2) * 3", "*(+(1,2),3)"},
		"comparison after arithmetic":              {"c.a + 1 < c.b", `<(+(c["a"],1),c["b"])`},
		"bit operators after comparison":           {"1 & 2 = 2", "&(1,=(2,2))"},
		"concatenation loosest of the binary ones": {"c.a || 'x' = 'y'", `||(c["a"],=("x","y"))`},
		"AND before OR":                            {"c.a OR c.b AND c.d", `OR(c["a"],AND(c["b"],c["d"]))`},
		"long chains stay flat":                    {"1 OR 2 OR 3 OR 4", "OR(1,2,3,4)"},
		"NOT of one operand":                       {"NOT c.a AND c.b", `AND(unary NOT(c["a"]),c["b"])`},
		"BETWEEN keeps its AND":                    {"c.a BETWEEN 1 AND 2 AND c.b", `AND(BETWEEN(c["a"],1,2),c["b"])`},
		"NOT BETWEEN":                              {"c.a NOT BETWEEN 1 AND 2", `NOT BETWEEN(c["a"],1,2)`},
		"IN":                                       {"c.a IN (1, 'x', @p)", `IN(c["a"],1,"x",@p)`},
		"NOT IN":                                   {"c.a NOT IN (1)", `NOT IN(c["a"],1)`},
		"LIKE with an escape":                      {"c.a LIKE '50!%' ESCAPE '!'", `LIKE"!"(c["a"],"50!%")`},
		"coalescing to the right":                  {"c.a ?? c.b ?? 1", `??(c["a"],??(c["b"],1))`},
		"conditional to the right":                 {"c.a ? 1 : c.b ? 2 : 3", `?:(c["a"],1,?:(c["b"],2,3))`},
		"unequal in both spellings":                {"c.a <> 1", `!=(c["a"],1)`},
		"bracket and dot are one":                  {`c["a"].b[0]['x y']`, `c["a"]["b"][0]["x y"]`},
		"members may be reserved words":            {"c.value.order.top", `c["value"]["order"]["top"]`},
		"function names in any case":               {"is_Defined(c.a)", `IS_DEFINED(c["a"])`},
		"user-defined function":                    {"udf.tax(c.a)", `udf.tax(c["a"])`},
		"array and object":                         {`[1, {"a": c.b, 'd': []}]`, `array(1,{"a","d":c["b"],array()})`},
		"negative number":                          {"-1 < - -2", "<(unary -(1),unary -(unary -(2)))"},
		"numbers in all forms":                     {"1.5e3 + .5 + 2.", "+(+(1500,0.5),2)"},
		"escapes in strings":                       {`c.a = 'it\'s \u0041\n"q"'`, `=(c["a"],"it's A\n\"q\"")`},
		"surrogate pair":                           {`'\ud83d\ude00'`, `"😀"`},
		"literals are lower case":                  {"c.a = null OR c.b = undefined", `OR(=(c["a"],null),=(c["b"],undefined))`},
		"comment to the end of the line":           {"c.a -- the rest\n = 1", `=(c["a"],1)`},
		"shifts":                                   {"1 << 2 >>> 3", ">>>(<<(1,2),3)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(row.want, where(t, row.text)); diff != "" {
				t.Errorf("canonical form (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelectClausesAreRead(t *testing.T) {
	t.Parallel()
	query, err := sql.Parse(`select distinct top @n c.id, c.a + 1 as sum, t from root c join t in c.tags join (select value x from x in c.xs) as y
		where c.a > 1 group by c.id, t order by c.a desc, c["b"] asc offset 5 limit @l;`)
	if err != nil {
		t.Fatal(err)
	}
	type summary struct {
		Distinct, Star bool
		Aliases        []string
		Sources        []string
		Iterate        []bool
		Groups         int
		Descending     []bool
	}
	got := summary{Distinct: query.Distinct, Star: query.Star, Groups: len(query.GroupBy)}
	for _, item := range query.Items {
		got.Aliases = append(got.Aliases, item.Alias)
	}
	for _, source := range query.From {
		got.Sources = append(got.Sources, source.Alias)
		got.Iterate = append(got.Iterate, source.Iterate)
	}
	for _, order := range query.OrderBy {
		got.Descending = append(got.Descending, order.Descending)
	}
	want := summary{
		Distinct: true, Aliases: []string{"", "sum", ""}, Sources: []string{"c", "t", "y"},
		Iterate: []bool{false, true, false}, Groups: 2, Descending: []bool{true, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
}

func TestSourcesWithoutAliasGoByTheirLastName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT * FROM c":                         "c",
		"SELECT * FROM c.children":                "children",
		`SELECT * FROM c["the children"]`:         "the children",
		"SELECT * FROM c.children[0] child":       "child",
		"SELECT * FROM x IN c.children":           "x",
		"SELECT * FROM Families AS f":             "f",
		"SELECT VALUE s FROM (SELECT VALUE 1) s":  "s",
		"SELECT VALUE s FROM s IN (SELECT c.x)":   "s",
		"SELECT VALUE 1 FROM (SELECT VALUE true)": "",
	} {
		query, err := sql.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := query.From[0].Alias; got != want {
			t.Errorf("%s: alias %q, want %q", text, got, want)
		}
	}
}

func TestFaultsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		text  string
		code  sql.Code
		start int
	}{
		"not a query":              {"SELEC * FROM c", sql.CodeSyntax, 0},
		"nothing":                  {"", sql.CodeSyntax, 0},
		"unfinished":               {"SELECT * FROM", sql.CodeSyntax, 13},
		"two statements":           {"SELECT 1; SELECT 2", sql.CodeSyntax, 10},
		"trailing words":           {"SELECT * FROM c WHERE true garbage", sql.CodeSyntax, 27},
		"unclosed string":          {"SELECT 'abc", sql.CodeToken, 7},
		"unclosed parenthesis":     {"SELECT (1", sql.CodeSyntax, 9},
		"unknown character":        {"SELECT #", sql.CodeToken, 7},
		"word glued to a number":   {"SELECT 1a", sql.CodeToken, 7},
		"bad escape":               {`SELECT '\q'`, sql.CodeToken, 7},
		"control character":        {"SELECT '\x01'", sql.CodeToken, 7},
		"TOP of an expression":     {"SELECT TOP (1) * FROM c", sql.CodeSyntax, 11},
		"OFFSET without LIMIT":     {"SELECT * FROM c OFFSET 1", sql.CodeSyntax, 24},
		"NOT without a predicate":  {"SELECT * FROM c WHERE c.a NOT 1", sql.CodeSyntax, 30},
		"empty IN":                 {"SELECT * FROM c WHERE c.a IN ()", sql.CodeSyntax, 30},
		"delete statement":         {"DELETE FROM c", sql.CodeSyntax, 0},
		"not UTF-8":                {"SELECT '\xff'", sql.CodeToken, 0},
		"parameter without a name": {"SELECT @ FROM c", sql.CodeToken, 7},
		"long escape":              {"SELECT * FROM c WHERE c.a LIKE 'a' ESCAPE 'ab'", sql.CodeSyntax, 42},
		"udf without a call":       {"SELECT udf.x FROM c", sql.CodeSyntax, 13},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sql.Parse(row.text)
			var fault *sql.Error
			if !errors.As(err, &fault) {
				t.Fatalf("Parse(%q) = %v, want a fault", row.text, err)
			}
			if fault.Code != row.code || fault.Span.Start != row.start {
				t.Errorf("Parse(%q) = %s at %d, want %s at %d", row.text, fault.Code, fault.Span.Start, row.code, row.start)
			}
		})
	}
}

func TestTextBeyondTheBoundsIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"too long":           "SELECT '" + strings.Repeat("x", sql.MaxText) + "'",
		"parentheses":        "SELECT " + strings.Repeat("(", 10_000) + "1",
		"arrays":             "SELECT " + strings.Repeat("[", 10_000),
		"subqueries":         strings.Repeat("SELECT VALUE (", 10_000),
		"negations":          "SELECT " + strings.Repeat("-", 10_001) + "1",
		"sums":               "SELECT 1" + strings.Repeat("+1", 10_000),
		"members":            "SELECT c" + strings.Repeat(".a", 10_000),
		"conditionals":       "SELECT " + strings.Repeat("1?", 10_000),
		"coalescing":         "SELECT " + strings.Repeat("1??", 10_000) + "1",
		"source path":        "SELECT * FROM c" + strings.Repeat(".a", 10_000),
		"more than MaxNodes": "SELECT * FROM c WHERE c.a IN (1" + strings.Repeat(",1", sql.MaxNodes) + ")",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := sql.Parse(text); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestWideQueriesWithinTheBoundsAreAccepted(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"thousands of IN values":      "SELECT * FROM c WHERE c.a IN (1" + strings.Repeat(",1", 6000) + ")",
		"thousands of OR terms":       "SELECT * FROM c WHERE c.a = 1" + strings.Repeat(" OR c.a = 2", 2000),
		"sixty nested parentheses":    "SELECT " + strings.Repeat("(", 60) + "1" + strings.Repeat(")", 60),
		"twenty nested subqueries":    strings.Repeat("SELECT VALUE (", 20) + "SELECT 1" + strings.Repeat(")", 20),
		"a hundred joined characters": "SELECT 'a'" + strings.Repeat(" || 'a'", 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := sql.Parse(text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWalkVisitsEveryExpression(t *testing.T) {
	t.Parallel()
	query, err := sql.Parse(`SELECT TOP @top {"a": c.x} AS o, ARRAY(SELECT VALUE t.y FROM t IN c.ts WHERE t.z) FROM c JOIN (SELECT VALUE c.j) j
		WHERE EXISTS(SELECT VALUE c.e) AND c.f BETWEEN c.g AND c.h GROUP BY c.k ORDER BY c.l`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	sql.Walk(query, func(node sql.Node) bool {
		switch node := node.(type) {
		case *sql.Member:
			got = append(got, node.Name)
		case *sql.Parameter:
			got = append(got, node.Name)
		}
		return true
	})
	want := []string{"@top", "x", "y", "z", "j", "e", "f", "g", "h", "k", "l"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("visited (-want +got):\n%s", diff)
	}
}

func TestPositionsCoverTheirText(t *testing.T) {
	t.Parallel()
	const text = "SELECT c.name AS n FROM c WHERE c.age >= @min AND NOT IS_NULL(c.x)"
	query, err := sql.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	sql.Walk(query.Where, func(node sql.Node) bool {
		span := node.Position()
		got = append(got, text[span.Start:span.End])
		return true
	})
	want := []string{
		"c.age >= @min AND NOT IS_NULL(c.x)", "c.age >= @min", "c.age", "c", "@min", "NOT IS_NULL(c.x)", "IS_NULL(c.x)", "c.x", "c",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("texts (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"SELECT * FROM c", "SELECT DISTINCT TOP 5 c.a, udf.f(@p) AS x FROM c JOIN t IN c.t WHERE c.a = 'x' ORDER BY c.a DESC OFFSET 1 LIMIT 2",
		`SELECT VALUE {"a": [1, -2e3, null]} FROM (SELECT VALUE 1) AS s`, "SELECT EXISTS(SELECT 1) ? 1 : ARRAY(SELECT 2) ?? 3",
		"SELECT c.a NOT LIKE 'x%' ESCAPE '!' , c['\\u0041'] -- end", "SELECT COUNT(1) FROM c GROUP BY c.x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, err := sql.Parse(text)
		if err != nil {
			var fault *sql.Error
			if !errors.As(err, &fault) || fault.Span.Start < 0 || fault.Span.Start > fault.Span.End || fault.Span.End > len(text) {
				t.Fatalf("fault without a place: %v", err)
			}
			return
		}
		sql.Walk(query, func(node sql.Node) bool {
			if span := node.Position(); span.Start < 0 || span.Start > span.End || span.End > len(text) {
				t.Fatalf("%T is at %v of %d bytes", node, span, len(text))
			}
			if e, ok := node.(sql.Expr); ok {
				_ = sql.Canonical(e)
			}
			return true
		})
	})
}

func BenchmarkParse(b *testing.B) {
	const text = "SELECT c.id, c.total * 1.2 AS gross FROM c JOIN line IN c.lines WHERE c.department = @department AND line.price BETWEEN 5 AND 10 ORDER BY c.created DESC"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sql.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
