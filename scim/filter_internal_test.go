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
