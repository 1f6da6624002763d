package cosmos_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

func TestPartitionKeysAreTypedAndCanonical(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, header string
		want         cosmos.PartitionKey
		sent         string
	}{
		{"a string", `["emea"]`, cosmos.PartitionKey{`"emea"`}, `["emea"]`},
		{"white space", " [ \"emea\"\t]\n", cosmos.PartitionKey{`"emea"`}, `["emea"]`},
		{"an escaped string", `["\u0065mea"]`, cosmos.PartitionKey{`"emea"`}, `["emea"]`},
		{"an escaped solidus", `["a\/b"]`, cosmos.PartitionKey{`"a/b"`}, `["a/b"]`},
		{"quotes and backslashes", `["a\"b\\c"]`, cosmos.PartitionKey{`"a\"b\\c"`}, `["a\"b\\c"]`},
		{"control characters", `["\u0000\b\f\n\r\t\u001f\u007f"]`, cosmos.PartitionKey{"\"\\u0000\\b\\f\\n\\r\\t\\u001f\x7f\""}, `["\u0000\b\f\n\r\t\u001f\u007f"]`},
		{"HTML is left alone", `["<a&b>"]`, cosmos.PartitionKey{`"<a&b>"`}, `["<a&b>"]`},
		{"raw UTF-8", `["café"]`, cosmos.PartitionKey{`"café"`}, `["caf\u00e9"]`},
		{"a surrogate pair", `["\ud83d\ude00"]`, cosmos.PartitionKey{`"😀"`}, `["\ud83d\ude00"]`},
		{"a line separator", `["\u2028"]`, cosmos.PartitionKey{`"\u2028"`}, `["\u2028"]`},
		{"the empty string", `[""]`, cosmos.PartitionKey{`""`}, `[""]`},
		{"a number", `[12]`, cosmos.PartitionKey{`12`}, `[12]`},
		{"the same number", `[1.2e1]`, cosmos.PartitionKey{`12`}, `[12]`},
		{"a number as text", `["12"]`, cosmos.PartitionKey{`"12"`}, `["12"]`},
		{"minus zero is zero", `[-0.0]`, cosmos.PartitionKey{`0`}, `[0]`},
		{"a large number", `[1e21]`, cosmos.PartitionKey{`1e+21`}, `[1e+21]`},
		{"a small number", `[0.0000001]`, cosmos.PartitionKey{`1e-7`}, `[1e-7]`},
		{"more digits than a double has", `[12345678901234567890]`, cosmos.PartitionKey{`12345678901234567000`}, `[12345678901234567000]`},
		{"true", `[true]`, cosmos.PartitionKey{`true`}, `[true]`},
		{"false", `[false]`, cosmos.PartitionKey{`false`}, `[false]`},
		{"null", `[null]`, cosmos.PartitionKey{`null`}, `[null]`},
		{"undefined", `[{}]`, cosmos.PartitionKey{`{}`}, `[{}]`},
		{"undefined with space", `[{ }]`, cosmos.PartitionKey{`{}`}, `[{}]`},
		{"none", `[]`, cosmos.PartitionKey{}, `[]`},
		{"a hierarchy", `["a",1,null]`, cosmos.PartitionKey{`"a"`, `1`, `null`}, `["a",1,null]`},
		{"Python's white space", `["a", "b"]`, cosmos.PartitionKey{`"a"`, `"b"`}, `["a","b"]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got, err := cosmos.ParsePartitionKey(row.header)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}

			if header := got.Header(); header != row.sent {
				t.Errorf("sent %s, want %s", header, row.sent)
			}
		})
	}
}

// TestComponentsAreWrittenAsEncodingJSONWritesThem keeps the promise that policies rely on.
func TestComponentsAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	t.Parallel()

	for _, component := range []string{
		`"emea"`, `"<&>'"`, `"\u0000\u0007\u001f\u007f\u2028\u2029\ufffd"`, `"é😀"`, `0`, `-1`, `1.5`, `1e-6`, `9.9e-7`, `1e-10`, `1e20`, `1e21`,
		`1e300`, `5e-324`, `0.1`, `123456.789`, `true`, `null`,
	} {
		var value any
		if err := json.Unmarshal([]byte(component), &value); err != nil {
			t.Fatal(err)
		}

		var want bytes.Buffer

		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)

		if err := encoder.Encode(value); err != nil {
			t.Fatal(err)
		}

		got, err := cosmos.ParsePartitionKey("[" + component + "]")
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(cosmos.PartitionKey{strings.TrimSuffix(want.String(), "\n")}, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", component, diff)
		}
	}
}

func TestPartitionKeysThatReadTwoWaysAreRefused(t *testing.T) {
	t.Parallel()

	for _, row := range []struct{ name, header string }{
		{"nothing", ""},
		{"a bare string", `"emea"`},
		{"an object", `{"a":1}`},
		{"four components", `["a","b","c","d"]`},
		{"a nested array", `[["emea"]]`},
		{"an object as component", `[{"a":1}]`},
		{"two arrays", `["emea"]["apac"]`},
		{"two arrays with a comma", `["emea"],["apac"]`},
		{"a trailing comma", `["emea",]`},
		{"an unclosed array", `["emea"`},
		{"an unclosed string", `["emea]`},
		{"a quote inside", `["a"b"]`},
		{"a backslash at the end", `["a\"]`},
		{"half a surrogate pair", `["\ud800"]`},
		{"broken UTF-8", "[\"\xff\"]"},
		{"Go's escapes for what JSON has no escape for", `["\x00"]`},
		{"Go's long escapes", `["\U0001f600"]`},
		{"a leading zero", `[01]`},
		{"a plus sign", `[+1]`},
		{"a bare point", `[1.]`},
		{"hexadecimal", `[0x10]`},
		{"infinity by size", `[1e400]`},
		{"not a number", `[NaN]`},
		{"a capital True", `[True]`},
		{"17 KB", `["` + strings.Repeat("a", 17<<10) + `"]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got, err := cosmos.ParsePartitionKey(row.header)
			if err == nil {
				t.Fatalf("taken for %v", got)
			}

			if status := nativeError(t, err).Status; status != http.StatusBadRequest {
				t.Errorf("got status %d, want 400", status)
			}
		})
	}
}

func TestPartitionKeysAreEqualOnlyWithTheirTypes(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, one, other string
		want             bool
	}{
		{"a text is not a number", `["1"]`, `[1]`, false},
		{"one is one point zero", `[1]`, `[1.0]`, true},
		{"null is not undefined", `[null]`, `[{}]`, false},
		{"undefined is not none", `[{}]`, `[]`, false},
		{"null is not its name", `[null]`, `["null"]`, false},
		{"a prefix is another key", `["a"]`, `["a","b"]`, false},
		{"case matters", `["a"]`, `["A"]`, false},
		{"composition matters", `["é"]`, `["e\u0301"]`, false},
		{"escapes do not matter", `["\u0061"]`, `["a"]`, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			one, err := cosmos.ParsePartitionKey(row.one)
			if err != nil {
				t.Fatal(err)
			}

			other, err := cosmos.ParsePartitionKey(row.other)
			if err != nil {
				t.Fatal(err)
			}

			if got := one.Equal(other); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

// TestLongKeysConfineToNothing keeps partition-scoped roles away from values that containers with partition key version 1
// take for one another.
func TestLongKeysConfineToNothing(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name string
		key  string
		want bool
	}{
		{"101 bytes", `["` + strings.Repeat("a", 101) + `"]`, true},
		{"102 bytes", `["` + strings.Repeat("a", 102) + `"]`, false},
		{"101 quotes, whose text is longer", `["` + strings.Repeat(`\"`, 101) + `"]`, true},
		{"102 bytes in 51 letters", `["` + strings.Repeat("é", 51) + `"]`, false},
		{"in the second component", `["a","` + strings.Repeat("a", 102) + `"]`, false},
		{"numbers are short", `[1e300]`, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			header := "x-ms-documentdb-partitionkey: " + row.key
			inside, err := json.Marshal(row.key)
			if err != nil {
				t.Fatal(err)
			}

			bulk := `[{"operationType":"Read","id":"1","partitionKey":` + string(inside) + `}]`

			for _, s := range []sent{
				{method: http.MethodGet, target: item, headers: []string{header}},
				{http.MethodPost, items, []string{isBatch, isAtomic, header}, `[{"operationType":"Read","id":"1"}]`},
				{http.MethodPost, items, []string{isBatch, isBulk, rangeZero}, bulk},
			} {
				op := classified(t, s)
				if got := op.Scope == cosmos.ScopePartition; got != row.want || got != (len(op.PartitionKeys) > 0) {
					t.Errorf("%s %s: confined: %v, want %v", s.method, s.target, got, row.want)
				}
			}
		})
	}
}
