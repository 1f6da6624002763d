package sql_test

import (
	"encoding/json"
	"fmt"
)

// raw are the documents that are asked: every type, missing members, equal values, text beyond ASCII.
func raw() []json.RawMessage {
	return []json.RawMessage{
		json.RawMessage(`{"id":"1","n":1,"s":"one","b":true,"tags":["a","b"],"o":{"k":"x","v":10},"list":[{"p":1,"q":"u"},{"p":2,"q":"w"}]}`),
		json.RawMessage(`{"id":"2","n":2,"s":"two","b":false,"tags":["b"],"o":{"k":"y","v":20},"list":[]}`),
		json.RawMessage(`{"id":"3","n":2.5,"s":"Three","b":null,"tags":[],"o":{"k":"x","v":null},"list":[{"p":3,"q":"u"}]}`),
		json.RawMessage(`{"id":"4","n":-4,"s":"","tags":["c","a","c"],"o":{"k":"z"}}`),
		json.RawMessage(`{"id":"5","n":null,"s":"fünf € 🎉","b":true,"tags":null}`),
		json.RawMessage(`{"id":"6","n":"6","s":6,"b":"true","tags":"a","o":[1,2]}`),
		json.RawMessage(`{"id":"7","s":"one two","o":{}}`),
		json.RawMessage(`{"id":"8","n":0,"s":"One","b":false,"tags":[["a"],{"t":1},1,null,true],"o":{"k":"y","v":30}}`),
		json.RawMessage(`{"id":"9","n":1e3,"s":"a%b_c","b":true,"tags":["a"],"o":{"k":"w","v":-1,"deep":{"er":[1,{"x":2}]}}}`),
	}
}

// queries are written by hand, and made by putting every operator between operands of every type.
func queries() []string {
	all := written()
	for _, left := range []string{"c.n", "c.s", "c.b", "c.o", "c.tags", "c.missing", "c.o.v"} {
		for _, right := range []string{"1", "2.5", "'one'", "true", "null", "c.n", "c.o.v", "undefined"} {
			for _, operator := range []string{"=", "!=", "<", ">="} {
				all = append(all, fmt.Sprintf("SELECT VALUE c.id FROM c WHERE %s %s %s", left, operator, right))
			}
		}
	}
	for _, left := range []string{"c.n", "c.o.v", "c.s", "c.missing", "3"} {
		for _, right := range []string{"2", "-1.5", "c.n", "'x'", "0"} {
			for _, operator := range []string{"+", "-", "*", "/", "%"} {
				all = append(all, fmt.Sprintf("SELECT c.id, %s %s %s AS r FROM c", left, operator, right))
			}
		}
	}
	for _, one := range []string{"c.b", "c.b = true", "c.n > 1", "c.missing", "null", "c.missing = 1"} {
		for _, other := range []string{"c.b", "c.n < 2", "true", "false", "c.missing"} {
			all = append(all,
				fmt.Sprintf("SELECT VALUE c.id FROM c WHERE (%s) AND (%s)", one, other),
				fmt.Sprintf("SELECT VALUE c.id FROM c WHERE (%s) OR (%s)", one, other),
				fmt.Sprintf("SELECT VALUE c.id FROM c WHERE NOT ((%s) AND (%s))", one, other))
		}
	}
	for _, function := range []string{"IS_ARRAY", "IS_BOOL", "IS_DEFINED", "IS_NULL", "IS_NUMBER", "IS_OBJECT", "IS_PRIMITIVE", "IS_STRING"} {
		for _, argument := range []string{"c.n", "c.s", "c.b", "c.tags", "c.o", "c.missing"} {
			all = append(all, fmt.Sprintf("SELECT VALUE c.id FROM c WHERE %s(%s)", function, argument))
		}
	}
	for _, function := range []string{"ABS", "CEILING", "FLOOR", "ROUND", "SIGN", "SQRT", "SQUARE", "TRUNC", "EXP", "LOG10", "LENGTH", "LOWER", "UPPER",
		"REVERSE", "LTRIM", "RTRIM", "ARRAY_LENGTH", "ToString"} {
		for _, argument := range []string{"c.n", "c.s", "c.tags"} {
			all = append(all, fmt.Sprintf("SELECT c.id, %s(%s) AS r FROM c", function, argument))
		}
	}
	return all
}

func written() []string {
	return []string{
		"SELECT * FROM c", "SELECT VALUE c FROM c", "SELECT c.id, c.n FROM c", "SELECT c.id AS name FROM c", "SELECT c['id'] FROM c", `SELECT c["o"]["k"] FROM c`,
		"SELECT VALUE c.o.k FROM c", "SELECT VALUE 1", "SELECT 1 AS a, 'x' AS b", "SELECT VALUE {'a': c.n, 'b': [c.s, 1]} FROM c", "SELECT VALUE [c.id, c.missing] FROM c",
		"SELECT r.id FROM root r", "SELECT * FROM c.o", "SELECT VALUE o.k FROM c.o AS o", "SELECT o FROM o IN c.list", "SELECT VALUE t FROM t IN c.tags",
		"SELECT c.id, t AS tag FROM c JOIN t IN c.tags", "SELECT c.id, l.p FROM c JOIN l IN c.list WHERE l.q = 'u'", "SELECT c.id, l.p, t FROM c JOIN l IN c.list JOIN t IN c.tags",
		"SELECT VALUE COUNT(1) FROM c", "SELECT COUNT(1) AS n FROM c", "SELECT VALUE COUNT(c.n) FROM c", "SELECT VALUE SUM(c.o.v) FROM c WHERE IS_NUMBER(c.o.v)", "SELECT VALUE AVG(c.n) FROM c WHERE IS_NUMBER(c.n)",
		"SELECT VALUE MIN(c.n) FROM c WHERE IS_NUMBER(c.n)", "SELECT VALUE MAX(c.n) FROM c WHERE IS_NUMBER(c.n)", "SELECT MIN(c.s) AS low, MAX(c.s) AS high FROM c WHERE IS_STRING(c.s)",
		"SELECT VALUE COUNT(1) FROM c WHERE c.n > 100000", "SELECT VALUE SUM(c.n) FROM c WHERE IS_NUMBER(c.n)", "SELECT VALUE COUNT(1) FROM c JOIN t IN c.tags",
		"SELECT c.o.k, COUNT(1) AS n FROM c WHERE IS_DEFINED(c.o.k) GROUP BY c.o.k", "SELECT c.b, MAX(c.n) AS top FROM c WHERE IS_BOOL(c.b) GROUP BY c.b",
		"SELECT DISTINCT c.o.k FROM c WHERE IS_DEFINED(c.o.k)", "SELECT DISTINCT VALUE c.b FROM c WHERE IS_DEFINED(c.b)", "SELECT DISTINCT VALUE t FROM c JOIN t IN c.tags WHERE IS_STRING(t)",
		"SELECT TOP 2 c.id FROM c ORDER BY c.id", "SELECT TOP 0 c.id FROM c", "SELECT VALUE c.id FROM c ORDER BY c.n", "SELECT VALUE c.id FROM c ORDER BY c.n DESC", "SELECT VALUE c.id FROM c WHERE IS_NUMBER(c.n) ORDER BY c.n",
		"SELECT VALUE c.id FROM c WHERE IS_STRING(c.s) ORDER BY c.s", "SELECT VALUE c.id FROM c WHERE IS_STRING(c.s) ORDER BY c.s DESC", "SELECT VALUE c.id FROM c WHERE IS_DEFINED(c.o.k) ORDER BY c.o.k, c.id DESC",
		"SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 2 LIMIT 3", "SELECT VALUE c.id FROM c ORDER BY c.id OFFSET 20 LIMIT 3", "SELECT VALUE c.id FROM c ORDER BY c.id DESC OFFSET 0 LIMIT 1",
		"SELECT VALUE c.id FROM c WHERE c.n = @n", "SELECT VALUE c.n + @n FROM c", "SELECT VALUE c.id FROM c WHERE c.n BETWEEN 1 AND 2.5", "SELECT VALUE c.id FROM c WHERE c.n NOT BETWEEN 1 AND 2.5",
		"SELECT VALUE c.id FROM c WHERE c.s BETWEEN 'a' AND 'p'", "SELECT VALUE c.id FROM c WHERE c.n IN (1, 2, 'x')", "SELECT VALUE c.id FROM c WHERE c.s NOT IN ('one', 'two')", "SELECT VALUE c.id FROM c WHERE c.b IN (true, null)",
		"SELECT VALUE c.n ?? 'none' FROM c", "SELECT VALUE c.missing ?? c.s ?? 0 FROM c", "SELECT VALUE (c.b ? 'yes' : 'no') FROM c", "SELECT VALUE (c.n > 1 ? c.n : c.s) FROM c",
		"SELECT VALUE -c.n FROM c", "SELECT VALUE +c.n FROM c", "SELECT VALUE NOT c.b FROM c", "SELECT VALUE c.s || '!' FROM c", "SELECT VALUE 7 & 3", "SELECT VALUE 7 | 8", "SELECT VALUE 7 ^ 2", "SELECT VALUE ~7", "SELECT VALUE 1 << 4",
		"SELECT VALUE -16 >> 2", "SELECT VALUE 5 % 3", "SELECT VALUE -5 % 3", "SELECT VALUE 1 + 2 * 3", "SELECT VALUE (1 + 2) * 3", "SELECT VALUE 10 / 4",
		"SELECT VALUE CONCAT(c.s, '-', c.id) FROM c", "SELECT VALUE CONTAINS(c.s, 'o') FROM c", "SELECT VALUE STARTSWITH(c.s, 'o') FROM c", "SELECT VALUE ENDSWITH(c.s, 'o') FROM c", "SELECT VALUE INDEX_OF(c.s, 'e') FROM c",
		"SELECT VALUE LEFT(c.s, 2) FROM c", "SELECT VALUE RIGHT(c.s, 2) FROM c", "SELECT VALUE SUBSTRING(c.s, 1, 2) FROM c", "SELECT VALUE REPLACE(c.s, 'o', '0') FROM c", "SELECT VALUE REPLICATE(c.s, 2) FROM c", "SELECT VALUE TRIM(c.s) FROM c",
		"SELECT VALUE LENGTH('añb')", "SELECT VALUE LENGTH(c.s) FROM c", "SELECT VALUE UPPER(c.s) FROM c", "SELECT VALUE POWER(c.n, 2) FROM c", "SELECT VALUE ROUND(2.5)", "SELECT VALUE ROUND(-2.5)", "SELECT VALUE LOG(8, 2)", "SELECT VALUE ATN2(1, 1)",
		"SELECT VALUE PI()", "SELECT VALUE DEGREES(PI())", "SELECT VALUE RADIANS(180)", "SELECT VALUE COS(0)", "SELECT VALUE COT(1)", "SELECT VALUE SQRT(-1)", "SELECT VALUE LOG(0)", "SELECT VALUE 1 / 0",
		"SELECT VALUE ARRAY_CONCAT(c.tags, ['z']) FROM c", "SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.tags, 'a')", "SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.list, {'p': 1}, true)",
		"SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.list, {'p': 1})", "SELECT VALUE c.id FROM c WHERE ARRAY_CONTAINS(c.list, {'p': 1, 'q': 'u'})", "SELECT VALUE ARRAY_SLICE(c.tags, 1) FROM c", "SELECT VALUE ARRAY_SLICE(c.tags, -1, 1) FROM c",
		"SELECT VALUE StringToNumber('1.5')", "SELECT VALUE StringToNumber('x')", "SELECT VALUE StringToBoolean('true')", "SELECT VALUE StringToNull('null')", "SELECT VALUE StringToArray('[1]')", "SELECT VALUE StringToObject('{}')",
		"SELECT VALUE c.id FROM c WHERE EXISTS(SELECT VALUE t FROM t IN c.tags WHERE t = 'b')", "SELECT VALUE ARRAY(SELECT VALUE l.p FROM l IN c.list) FROM c", "SELECT c.id, (SELECT VALUE COUNT(1) FROM t IN c.tags) AS n FROM c",
		"SELECT VALUE c.id FROM c WHERE c.o = {'k': 'y', 'v': 20}", "SELECT VALUE c.id FROM c WHERE c.tags = ['b']", "SELECT VALUE c.id FROM c WHERE c.tags[0] = 'a'", "SELECT VALUE c.list[0].q FROM c", "SELECT VALUE c.tags[5] FROM c",
		"SELECT VALUE c.o.deep.er[1].x FROM c", "SELECT VALUE c.id FROM c WHERE c.s LIKE 'o%'", "SELECT VALUE c.id FROM c WHERE c.s LIKE '_n_'", "SELECT VALUE c.id FROM c WHERE c.s = \"one\"", `SELECT VALUE 'it\'s'`, `SELECT VALUE "\u00fc\n"`,
		"select value c.id from c where c.n > 1 order by c.id", "SELECT VALUE c.id FROM c -- a comment", "SELECT", "SELECT * FROM", "SELECT * FROM c WHERE", "SELECT * FROM c WHERE c.n ==", "SELECT * FRM c", "SELECT NOSUCH(1)", "SELECT * FROM c ORDER BY",
		"SELECT VALUE ST_DISTANCE({'type':'Point','coordinates':[0,0]}, {'type':'Point','coordinates':[0,0]})", "SELECT VALUE udf.f(1)", "SELECT VALUE d.id FROM c", "SELECT TOP -1 * FROM c", "DELETE FROM c", "SELECT * FROM c; SELECT 1",
	}
}
