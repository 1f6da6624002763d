package policy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on what a policy text may be, far above what people write.
const (
	maxFileSize = 4 << 20
	maxDepth    = 16
	maxNodes    = 500_000
)

// reader turns YAML into documents. It collects every fault instead of stopping
// at the first.
type reader struct {
	file       string
	docs       documents
	faults     Faults
	warnings   Faults
	conditions conditions
	nodes      int
}

func (r *reader) at(n *yaml.Node) Position {
	return Position{File: r.file, Line: max(n.Line, 1), Column: max(n.Column, 1)}
}

func (r *reader) fault(n *yaml.Node, format string, args ...any) {
	r.faults = append(r.faults, Fault{Position: r.at(n), What: fmt.Sprintf(format, args...)})
}

func (r *reader) warn(n *yaml.Node, format string, args ...any) {
	r.warnings = append(r.warnings, Fault{Position: r.at(n), What: fmt.Sprintf(format, args...)})
}

// read reads every document of one file.
func (r *reader) read(source Source) {
	r.file = source.Name
	start := &yaml.Node{}
	if len(source.Text) > maxFileSize {
		r.fault(start, "the file is larger than %d MiB (split it)", maxFileSize>>20)
		return
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(source.Text)))
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			line, what := syntaxError(err)
			r.fault(&yaml.Node{Line: line}, "not YAML: %s", what)
			return
		}
		for _, document := range n.Content {
			if !isNull(document) && r.sound(document, 0) {
				r.document(document)
			}
		}
	}
}

// syntaxError splits the line number off an error of the YAML package.
func syntaxError(err error) (line int, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	number, rest, found := strings.Cut(strings.TrimPrefix(what, "line "), ": ")
	if n, e := strconv.Atoi(number); found && e == nil {
		return n, rest
	}
	return 1, what
}

// sound refuses what policy files do not need and what hides meaning or size:
// aliases, anchors, tags, deep nesting.
func (r *reader) sound(n *yaml.Node, depth int) bool {
	r.nodes++
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.fault(n, "anchors and aliases are not allowed (write the value out)")
	case n.Style&yaml.TaggedStyle != 0:
		r.fault(n, "the tag %s is not allowed (remove it)", n.Tag)
	case depth > maxDepth:
		r.fault(n, "nested deeper than %d levels", maxDepth)
	case r.nodes > maxNodes:
		r.fault(n, "the policy has more than %d values", maxNodes)
	default:
		ok := true
		for _, child := range n.Content {
			ok = r.sound(child, depth+1) && ok
			if r.nodes > maxNodes {
				return false
			}
		}
		return ok
	}
	return false
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// mapping is the fields of one mapping, checked to have no unknown and no
// doubled keys.
type mapping struct {
	*reader

	node   *yaml.Node
	fields map[string]*yaml.Node
}

// mapping reads a node as a mapping with the known keys; what names it in
// faults. With no known keys every key is taken.
func (r *reader) mapping(n *yaml.Node, what string, known ...string) (mapping, bool) {
	m := mapping{reader: r, node: n, fields: make(map[string]*yaml.Node, len(known))}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "%s must be a mapping, not %s", what, shape(n))
		return m, false
	}
	ok := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.fault(key, "a key must be a name, not %s", shape(key))
			ok = false
		case m.fields[key.Value] != nil:
			r.fault(key, "%q is given twice", key.Value)
			ok = false
		case len(known) > 0 && !slices.Contains(known, key.Value):
			r.fault(key, "%s has no key %q (%s)", what, key.Value, suggest(key.Value, known))
			ok = false
		default:
			m.fields[key.Value] = value
		}
	}
	return m, ok
}

// suggest returns a hint towards one of the known names.
func suggest(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "there are none"
	}
	return "known: " + strings.Join(known, ", ")
}

// shape says what a node is, for faults.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!str":
		return "text"
	default:
		return strings.TrimPrefix(n.Tag, "!!") + " " + strconv.Quote(n.Value)
	}
}

// need returns the field, which must be there.
func (m mapping) need(key, what string) (*yaml.Node, bool) {
	n, ok := m.fields[key]
	if !ok && m.node.Kind == yaml.MappingNode {
		m.fault(m.node, "%s needs %q", what, key)
	}
	return n, ok
}

// text returns the text of a field, or "" if it is absent.
func (m mapping) text(key string) string {
	n, ok := m.fields[key]
	if !ok {
		return ""
	}
	text, _ := m.scalar(n, key)
	return text
}

// scalar reads a node as text that is neither empty nor holds control
// characters.
func (r *reader) scalar(n *yaml.Node, what string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode || isNull(n):
		r.fault(n, "%s must be text, not %s", what, shape(n))
	case n.Tag != "!!str":
		r.fault(n, "%s must be text, not %s (quote it)", what, shape(n))
	case n.Value == "":
		r.fault(n, "%s is empty", what)
	case !plainText(n.Value):
		r.fault(n, "%s holds a control character or is not UTF-8", what)
	default:
		return n.Value, true
	}
	return "", false
}

// items returns the entries of a list field that must not be empty; nil if the
// field is absent.
func (m mapping) items(key string) []*yaml.Node {
	n, ok := m.fields[key]
	if !ok {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		m.fault(n, "%s must be a list, not %s", key, shape(n))
		return nil
	}
	if len(n.Content) == 0 {
		m.fault(n, "%s is an empty list", key)
	}
	return n.Content
}

// boolean reads a field as true or false; false if it is absent.
func (m mapping) boolean(key string) bool {
	n, ok := m.fields[key]
	if !ok {
		return false
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		m.fault(n, "%s must be true or false, not %s", key, shape(n))
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// wholeNumber reads a field as a number from 1; 0 if it is absent.
func (m mapping) wholeNumber(key string) int {
	n, ok := m.fields[key]
	if !ok {
		return 0
	}
	const most = 1 << 31
	number, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || number < 1 || number >= most {
		m.fault(n, "%s must be a whole number from 1, not %s", key, shape(n))
		return 0
	}
	return number
}
