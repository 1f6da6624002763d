package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxKeyParts is how many components a hierarchical partition key has at most.
const maxKeyParts = 3

// keyGrant is `partitionKey:` of a rule: the components that every partition
// key of the request must begin with.
type keyGrant struct {
	parts []keyPart
	// inject says that the key is set on queries and feeds that carry none.
	inject bool
	// text is the list as written, for explanations.
	text string
}

// keyPart is one component: either fixed canonical JSON, or text with
// attributes in it.
type keyPart struct {
	fixed    string
	template []templatePiece
}

// templatePiece is literal text or, if attribute is set, the value of one.
type templatePiece struct {
	literal, attribute string
}

// keyOutcome says whether a request fits a keyGrant.
type keyOutcome uint8

const (
	keyFits keyOutcome = iota
	// keyInjected: the request carries none and the gate can set it.
	keyInjected
	// keyAmbiguous: the gate could set one of several.
	keyAmbiguous
	keyAbsent
	keyDiffers
	keyRanged
	keyAttributeMissing
)

// principalID is the name under which `${user.id}` reads the principal's id.
const principalID = "id"

// check compares every partition key of the request with the grant. The second
// result is the name of the missing attribute, if that is the outcome.
func (k *keyGrant) check(q *Request) (keyOutcome, string) {
	var want [maxKeyParts]string
	for i, part := range k.parts {
		value, missing := part.resolve(q.owner())
		if missing != "" {
			return keyAttributeMissing, missing
		}
		want[i] = value
	}
	if q.Ranged {
		return keyRanged, ""
	}
	if len(q.PartitionKeys) == 0 {
		if k.inject && q.Injectable {
			return keyInjected, ""
		}
		return keyAbsent, ""
	}
	for _, key := range q.PartitionKeys {
		if !hasPrefix(key, want[:len(k.parts)]) {
			return keyDiffers, ""
		}
	}
	return keyFits, ""
}

func hasPrefix(key, prefix []string) bool {
	if len(key) < len(prefix) {
		return false
	}
	for i, part := range prefix {
		if key[i] != part {
			return false
		}
	}
	return true
}

// resolve returns the component as canonical JSON for the principal, or the
// name of the attribute that it lacks.
func (p keyPart) resolve(who *Principal) (value, missing string) {
	if p.template == nil {
		return p.fixed, ""
	}
	var text string
	for _, piece := range p.template {
		if piece.attribute == "" {
			text += piece.literal //nolint:modernize // mostly there is one piece, which a builder would copy
			continue
		}
		v := attribute(who, piece.attribute)
		if v == "" {
			return "", piece.attribute
		}
		text += v
	}
	return canonicalText(text), ""
}

// attribute returns the value that `${user.name}` stands for, or "" if the
// principal has none. A value that is not UTF-8 counts as none: two such values
// would look alike once they are JSON.
func attribute(who *Principal, name string) string {
	value := who.Attributes[name]
	if name == principalID {
		value = who.ID
	}
	if !utf8.ValidString(value) {
		return ""
	}
	return value
}

// explain says in an operator's words why a request does not fit.
func (k *keyGrant) explain(outcome keyOutcome, missing string) string {
	const needs = "needs partition key "
	switch outcome {
	case keyAmbiguous:
		return "could set more than one partition key, the request must name one"
	case keyAbsent:
		return needs + k.text + ", the request carries none"
	case keyDiffers:
		return needs + k.text + ", the request carries another"
	case keyRanged:
		return needs + k.text + ", the request names a key range"
	case keyAttributeMissing:
		return needs + k.text + ", the principal has no attribute " + strconv.Quote(missing)
	default:
		return ""
	}
}

// canonicalText returns s as JSON, exactly as the cosmos package writes the
// components of a partition key.
func canonicalText(s string) string {
	if plainJSON(s) {
		return `"` + s + `"`
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) //nolint:errchkjson // a string always encodes; if it did not, nothing would equal what is returned
	return strings.TrimSuffix(b.String(), "\n")
}

// plainJSON reports whether s needs no escape in JSON.
func plainJSON(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

var (
	errOpenTemplate = errors.New("has ${ without }")
	errTemplateName = errors.New("only ${user.ATTRIBUTE} can be filled in")
)

// parseKeyText parses one textual component, `${user.…}` allowed anywhere.
func parseKeyText(text string) (keyPart, error) {
	if !strings.Contains(text, "${") {
		return keyPart{fixed: canonicalText(text)}, nil
	}
	var pieces []templatePiece
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "${")
		if before != "" {
			pieces = append(pieces, templatePiece{literal: before})
		}
		if !found {
			break
		}
		variable, tail, closed := strings.Cut(after, "}")
		if !closed {
			return keyPart{}, fmt.Errorf("%q %w", text, errOpenTemplate)
		}
		name, isUser := strings.CutPrefix(variable, "user.")
		if !isUser || name == "" {
			return keyPart{}, fmt.Errorf("${%s}: %w", variable, errTemplateName)
		}
		pieces = append(pieces, templatePiece{attribute: name})
		rest = tail
	}
	return keyPart{template: pieces}, nil
}

// attributes returns the names of the attributes that the grant reads.
func (k *keyGrant) attributes() []string {
	var names []string
	for _, part := range k.parts {
		for _, piece := range part.template {
			if piece.attribute != "" && piece.attribute != principalID {
				names = append(names, piece.attribute)
			}
		}
	}
	return names
}
