package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds the file: a configuration is read by people.
const maxFileBytes = 1 << 20

// Load reads and checks the file at path. The error lists every fault, one a line, as file:line:column: what.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	defer f.Close() //nolint:errcheck // the file was only read
	src, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	if len(src) > maxFileBytes {
		return Config{}, fault(path, 0, 0, "file is larger than 1 MiB")
	}
	return Parse(path, src)
}

// Parse is [Load] on bytes; name stands for the file in errors.
func Parse(name string, src []byte) (Config, error) {
	c := Default()
	dec := yaml.NewDecoder(bytes.NewReader(src))
	dec.KnownFields(true)
	err := dec.Decode(&c)
	if errors.Is(err, io.EOF) {
		return Config{}, fault(name, 1, 1, "file is empty: docs/config.md has a complete example")
	}
	var faults []error
	if err != nil {
		faults = decodeFaults(name, err)
	} else if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		faults = append(faults, fault(name, 0, 0, "holds more than one document: keep one"))
	}
	var root yaml.Node
	if yaml.Unmarshal(src, &root) == nil {
		for _, p := range c.problems() {
			line, col := place(&root, p.path)
			faults = append(faults, fault(name, line, col, p.path+": "+p.what))
		}
	}
	if len(faults) > 0 {
		slices.SortStableFunc(faults, byPlace)
		return Config{}, errors.Join(faults...)
	}
	return c, nil
}

func byPlace(a, b error) int {
	var x, y *Fault
	if !errors.As(a, &x) || !errors.As(b, &y) {
		return 0
	}
	return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
}

// Fault is one thing wrong with a configuration file.
type Fault struct {
	File         string
	Line, Column int // 1-based; zero where the fault has no single place
	What         string
}

// Error prints file:line:column: what.
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.What
	}
	return f.File + ":" + strconv.Itoa(f.Line) + ":" + strconv.Itoa(f.Column) + ": " + f.What
}

func fault(file string, line, col int, what string) error {
	return &Fault{File: file, Line: line, Column: col, What: what}
}

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownKey  = regexp.MustCompile(`^field (\S+) not found in type config\.(\w+)$`)
	wrongType   = regexp.MustCompile(`^cannot unmarshal !!(\w+)(?: (.+))? into (\S+)$`)
	repeatedKey = regexp.MustCompile(`^mapping key "(.*)" already defined at line (\d+)$`)
)

// decodeFaults turns the decoder's messages, which name Go types, into ones for the file's author.
func decodeFaults(name string, err error) []error {
	lines := []string{err.Error()}
	if types, ok := errors.AsType[*yaml.TypeError](err); ok {
		lines = types.Errors
	}
	faults := make([]error, 0, len(lines))
	for _, l := range lines {
		line, what := 0, strings.TrimPrefix(l, "yaml: ")
		if m := yamlLine.FindStringSubmatch(l); m != nil {
			line, _ = strconv.Atoi(m[1]) // the pattern admits digits only
			what = m[2]
		}
		switch m, r, t := unknownKey.FindStringSubmatch(what), repeatedKey.FindStringSubmatch(what), wrongType.FindStringSubmatch(what); {
		case m != nil:
			what = fmt.Sprintf("unknown key %q in %s: see docs/config.md", m[1], strings.ToLower(m[2]))
		case t != nil:
			what = fmt.Sprintf("%s is not %s", cmp.Or(t[2], "what is given"), kindOf(t[3]))
		case r != nil:
			what = fmt.Sprintf("key %q is given twice (first on line %s)", r[1], r[2])
		}
		faults = append(faults, fault(name, line, 1, what))
	}
	return faults
}

// kindOf is what the file's author would call a value of a Go type.
func kindOf(goType string) string {
	switch {
	case goType == "time.Duration":
		return "a duration such as 30s or 12h"
	case goType == "time.Time":
		return "a time such as 2027-01-01T00:00:00Z"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "text"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "config.") || strings.HasPrefix(goType, "map["):
		return "a group of keys"
	default:
		return "a number"
	}
}

// place finds the node that a path such as accounts[0].upstream names, or its nearest parent.
func place(root *yaml.Node, path string) (line, col int) {
	n := root
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	line, col = n.Line, n.Column
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next := child(n, step)
		if next == nil {
			return line, col
		}
		n = next
		line, col = n.Line, n.Column
	}
	return line, col
}

func child(n *yaml.Node, step string) *yaml.Node {
	switch n.Kind { //nolint:exhaustive // scalars have no children, the file holds no aliases that matter here
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}
