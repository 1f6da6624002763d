package policy

import "errors"

// Source is the text of one policy file.
type Source struct {
	// Name is what faults are reported under, such as `policy/orders.yaml`.
	Name string
	Text []byte
}

var errNotLoaded = errors.New("policy is not loaded")

// Load reads files and folders (recursively, names ending in .yaml or .yml) and
// returns the checked and compiled policy. On any fault the set is nil and the
// error is a [Faults] that holds every one.
func Load(_ []string, _ Options) (*Set, error) { return nil, errNotLoaded }

// Parse is [Load] for one text.
func Parse(name string, text []byte, o Options) (*Set, error) {
	return ParseAll([]Source{{Name: name, Text: text}}, o)
}

// ParseAll is [Load] for texts.
func ParseAll(_ []Source, _ Options) (*Set, error) { return nil, errNotLoaded }
