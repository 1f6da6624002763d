package scim

import (
	"strings"
	"testing"
)

// BenchmarkParseFilter measures the parser alone, which is not exported.
func BenchmarkParseFilter(b *testing.B) {
	kind := newKinds(nil).user
	for name, text := range map[string]string{
		"equality":     `userName eq "ann@corp.example"`,
		"value filter": `emails[type eq "work" and value eq "ann@corp.example"]`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parseFilter(kind, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestTheFilterThatProvidersAskMostIsReadWithoutAllocating(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the process
	kind := newKinds(nil).user
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := parseFilter(kind, `userName eq "ann@corp.example"`); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkParseDearFilter has what takes longest within the caps; whether it holds is asked elsewhere.
func BenchmarkParseDearFilter(b *testing.B) {
	joined := func(term string, n int) string { return strings.TrimSuffix(strings.Repeat(term+" or ", n), " or ") }
	kind := newKinds(nil).user
	for name, text := range map[string]string{
		"terms":                 joined(`active pr`, maxFilterNodes/2),
		"attributes under URNs": joined(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department pr`, 100),
		"times":                 joined(`meta.created gt "2020-01-01T00:00:00Z"`, maxFilterNodes/2),
		"value filters":         joined(`emails[type eq "a" and value co "b"]`, 45),
		"a text of escapes":     `userName eq "` + strings.Repeat(`\u00e9`, 1300) + `"`,
		"a name":                strings.Repeat("x", maxFilterBytes-3) + " pr",
		"a URN of colons":       "urn:ietf:params:scim:schemas:" + strings.Repeat("x:", 4000) + " pr",
		"spaces":                strings.Repeat(" ", maxFilterBytes),
		"parentheses":           strings.Repeat("(", maxFilterBytes),
		"nots":                  strings.Repeat("not (", maxFilterBytes/5),
		"quotation marks":       `userName eq "` + strings.Repeat(`\"`, 4000),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = parseFilter(kind, text)
			}
		})
	}
}
