package scim

import "testing"

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
