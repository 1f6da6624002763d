package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrUnformattable means that a text cannot be written in the canonical form
// without losing a comment or a value. It is left as it is.
var ErrUnformattable = errors.New("cannot be formatted without changing what it says")

// Format returns a policy text in its canonical form: two spaces of
// indentation, lists not indented, keys in the order of the documentation, one
// `---` between documents. Values keep their quotes and their braces, comments
// stay with what they are about. What the text means does not change: Format
// compares both forms and refuses with [ErrUnformattable] rather than lose
// something. It accepts whatever is YAML of mappings, valid policy or not; what
// is not is a [Faults].
func Format(name string, text []byte) ([]byte, error) {
	before, err := decodeAll(name, text)
	if err != nil {
		return nil, err
	}
	after, err := decodeAll(name, text)
	if err != nil {
		return nil, err
	}
	var written bytes.Buffer
	times := clock{text: string(text)}
	for i, document := range after {
		times.hide(document)
		if i > 0 {
			written.WriteString("---\n")
		}
		orderKeys(document.Content[0], "")
		if err := encode(&written, document); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", name, ErrUnformattable, err)
		}
	}
	formatted := []byte(strings.NewReplacer(times.hidden...).Replace(written.String()))
	again, err := decodeAll(name, formatted)
	if err != nil || !slices.EqualFunc(before, again, sameMeaning) {
		return nil, fmt.Errorf("%s: %w: a value would be read differently", name, ErrUnformattable)
	}
	if lost := firstLost(comments(text), comments(formatted)); lost != "" {
		return nil, fmt.Errorf("%s: %w: the comment %q has no place (move it above what it is about)", name, ErrUnformattable, lost)
	}
	return formatted, nil
}

// decodeAll reads the documents of a text that hold anything.
func decodeAll(name string, text []byte) ([]*yaml.Node, error) {
	r := &reader{file: name}
	if len(text) > maxFileSize {
		r.fault(&yaml.Node{}, "the file is larger than %d MiB (split it)", maxFileSize>>20)
		return nil, r.faults
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var documents []*yaml.Node
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, what := syntaxError(err)
			r.fault(&yaml.Node{Line: line}, "not YAML: %s", what)
			return nil, r.faults
		}
		if len(n.Content) != 1 || isNull(n.Content[0]) {
			continue
		}
		if r.sound(n.Content[0], 0) && n.Content[0].Kind != yaml.MappingNode {
			r.fault(n.Content[0], "a document must be a mapping with kind and name, not %s", shape(n.Content[0]))
		}
		documents = append(documents, &n)
	}
	if len(r.faults) > 0 {
		return nil, r.faults.sorted()
	}
	return documents, nil
}

// clock stands in for times while a text is written: within braces the YAML
// package would put quotes around their colons, and so make them text.
type clock struct {
	text   string
	hidden []string // stand-in and time, in turn
}

func (c *clock) hide(n *yaml.Node) {
	for _, child := range n.Content {
		c.hide(child)
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!timestamp" || !strings.Contains(n.Value, ":") {
		return
	}
	for i := len(c.hidden); ; i++ {
		standIn := fmt.Sprintf("time-%d-stands-here", i)
		if !strings.Contains(c.text, standIn) {
			c.hidden = append(c.hidden, standIn, n.Value)
			n.Value, n.Tag = standIn, "!!str"
			return
		}
	}
}

func encode(w io.Writer, document *yaml.Node) error {
	const indent = 2
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(indent)
	encoder.CompactSeqIndent()
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	return nil
}

// canonicalOrder returns the order of the keys of a mapping that is found under
// a key, or for "", of a document. Other mappings keep theirs.
func canonicalOrder(under string) []string {
	switch under {
	case "":
		return []string{
			"kind", keyName, keyIdentity, keyRole, keyStaleness, keyMatch, keyJWKS, keyVirtualKeys, "effect", keySubjects, "onBehalfOf",
			keyDataActions, keyResources,
			keyPartitionKey, keyWhen, "rules", keyObligations, "starts", "expires", "attributes", keyReason, "cases",
		}
	case keyObligations:
		return obligationKeys()
	case keyDetails:
		return []string{"actions", "resources", "partitionKeys"}
	case "rules":
		return []string{keyDataActions, keyResources, keyPartitionKey, keyWhen}
	case keyPartitionKey:
		return []string{"equals", "mode"}
	case keyUser:
		return []string{"id", "groups"}
	case "match":
		return []string{"issuer", "claims"}
	case "cases":
		return []string{
			keyUser, keyApplication, keyAgent, keyAgents, keyScopes, keyDetails, "isAgent", "onBehalfOf", "authenticationStrength", "from", "at", "asRole",
			"action", "actions", "resource", keyPartitionKey, "partitionKeys", "ranged", "noData",
			"expect", "because", keyRole, keyIdentity, fieldInjected, keyRedact, keyMaxItems, keyMaxRU, keyMaxBody,
			keyPriority, keyBucket, keyStaleness, "policy",
		}
	default:
		return nil
	}
}

// orderKeys sorts the keys of a node and of what is in it. Unknown keys go last,
// in the order in which they were written.
func orderKeys(n *yaml.Node, under string) {
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			orderKeys(item, under)
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	type entry struct{ key, value *yaml.Node }
	entries := make([]entry, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		entries = append(entries, entry{n.Content[i], n.Content[i+1]})
	}
	order := canonicalOrder(under)
	place := func(e entry) int {
		if i := slices.Index(order, e.key.Value); i >= 0 {
			return i
		}
		return len(order)
	}
	if last := len(entries) - 1; last >= 0 && len(order) > 0 {
		// What is written below the last key is about the whole.
		foot := entries[last].key.FootComment
		entries[last].key.FootComment = ""
		slices.SortStableFunc(entries, func(a, b entry) int { return place(a) - place(b) })
		entries[last].key.FootComment = strings.TrimPrefix(entries[last].key.FootComment+"\n"+foot, "\n")
	}
	for i, e := range entries {
		n.Content[2*i], n.Content[2*i+1] = e.key, e.value
		next := e.key.Value
		if next == "" {
			next = "?"
		}
		orderKeys(e.value, next)
	}
}

// sameMeaning reports whether two nodes hold the same values; the order of keys
// does not matter.
func sameMeaning(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind != yaml.MappingNode {
		return slices.EqualFunc(a.Content, b.Content, sameMeaning)
	}
	values := make(map[string]*yaml.Node, len(b.Content)/2)
	for i := 0; i+1 < len(b.Content); i += 2 {
		values[b.Content[i].Tag+" "+b.Content[i].Value] = b.Content[i+1]
	}
	if 2*len(values) != len(b.Content) {
		return false // keys that are given twice, or are no names
	}
	for i := 0; i+1 < len(a.Content); i += 2 {
		value, ok := values[a.Content[i].Tag+" "+a.Content[i].Value]
		if !ok || a.Content[i].Kind != yaml.ScalarNode || !sameMeaning(a.Content[i+1], value) {
			return false
		}
	}
	return true
}

// comments returns whatever may be a comment, without asking the YAML package,
// which may drop one: from the first `#` at the beginning of a line or after a
// space.
func comments(text []byte) []string {
	var found []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			found = append(found, line)
		} else if i := strings.Index(strings.ReplaceAll(line, "\t#", " #"), " #"); i >= 0 {
			found = append(found, line[i+1:])
		}
	}
	slices.Sort(found)
	return found
}

// firstLost returns what is in before and not, or not as often, in after.
func firstLost(before, after []string) string {
	for i := range before {
		if i >= len(after) || before[i] != after[i] {
			return before[i]
		}
	}
	if len(after) > len(before) {
		return after[len(before)]
	}
	return ""
}
