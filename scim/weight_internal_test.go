package scim

import (
	"runtime"
	"strings"
	"testing"
)

// TestNoBodyTakesMoreMemoryThanItIsCounted measures the process, so it runs alone.
func TestNoBodyTakesMoreMemoryThanItIsCounted(t *testing.T) { //nolint:paralleltest // it reads the heap's size
	const size = 1 << 20
	for name, element := range map[string]string{
		"empty objects":   `{}`,
		"empty arrays":    `[]`,
		"empty texts":     `""`,
		"numbers":         `1`,
		"null":            `null`,
		"small objects":   `{"":1}`,
		"objects of many": `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}`,
		"small arrays":    `[1]`,
		"nested arrays":   `[[[[[[[[]]]]]]]]`,
		"nested objects":  `{"a":{"a":{"a":{"a":{}}}}}`,
		"escaped texts":   `"\u0041"`,
		"members":         `{"value":"019aa000-0000-7000-8000-000000000001"}`,
	} {
		text := `{"Operations":[` + strings.TrimSuffix(strings.Repeat(element+",", size/(len(element)+1)), ",") + `]}`
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		value, err := parseObject([]byte(text))
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(value)
		taken, counted := int64(after.HeapAlloc)-int64(before.HeapAlloc), bodyRoom([]byte(text))
		if taken > counted {
			t.Errorf("%s: %d bytes of text take %d, counted as %d", name, len(text), taken, counted)
		}
	}
}

func TestListsWithinAnExtensionWeighAsOthersDo(t *testing.T) {
	t.Parallel()
	list := make([]any, 2*untried)
	for name, value := range map[string]any{
		"a list": list, "in an extension": map[string]any{"tags": list}, "in one of a path-less value": map[string]any{"urn:x": map[string]any{"tags": list}},
	} {
		if w := weight([]operation{{value: value}}); w != 2*untried+1 {
			t.Errorf("%s: %d", name, w)
		}
	}
}
