package policy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	keyMaxRU      = "maxRUPerSecond"
	keyMaxBody    = "maxBodyBytes"
	keyPriority   = "priority"
	keyBucket     = "throughputBucket"
	keyRedact     = "redact"
	keyStaleness  = "staleness"
	maxRedactions = 64
	// maxBuckets is how many throughput buckets a container has.
	maxBuckets = 5
)

// obligationKeys are the keys of `obligations:`, in the order in which they are
// written.
func obligationKeys() []string {
	return []string{keyRedact, keyMaxItems, keyMaxRU, keyMaxBody, keyPriority, keyBucket}
}

func (m mapping) obligations() Obligations {
	n, ok := m.fields[keyObligations]
	if !ok {
		return Obligations{}
	}
	o, _ := m.mapping(n, keyObligations, obligationKeys()...)
	return o.readObligations()
}

// readObligations reads the obligations among the fields of a mapping.
func (m mapping) readObligations() Obligations {
	o := Obligations{
		MaxItems:       m.wholeNumber(keyMaxItems),
		MaxRUPerSecond: m.wholeNumber(keyMaxRU),
		MaxBodyBytes:   int64(m.wholeNumber(keyMaxBody)),
		Redact:         m.paths(),
	}
	switch level := m.text(keyPriority); level {
	case "":
	case "high":
		o.Priority = PriorityHigh
	case "low":
		o.Priority = PriorityLow
	default:
		m.fault(m.fields[keyPriority], "unknown priority %q (use high or low)", level)
	}
	if o.ThroughputBucket = m.wholeNumber(keyBucket); o.ThroughputBucket > maxBuckets {
		m.fault(m.fields[keyBucket], "%s must be a whole number from 1 to %d, not %d", keyBucket, maxBuckets, o.ThroughputBucket)
	}
	return o
}

// staleness reads how old a role lets the directory be.
func (m mapping) staleness() Staleness {
	switch text := m.text(keyStaleness); text {
	case "":
		return StalenessDefault
	case "strict":
		return StalenessStrict
	case "best_effort":
		return StalenessBestEffort
	default:
		m.fault(m.fields[keyStaleness], "unknown staleness %q (use strict or best_effort)", text)
		return StalenessDefault
	}
}

// paths reads what is redacted.
func (m mapping) paths() []Path {
	items := m.items(keyRedact)
	if len(items) > maxRedactions {
		m.fault(m.fields[keyRedact], "at most %d paths can be redacted (redact what they have in common)", maxRedactions)
		return nil
	}
	var paths []Path
	for _, item := range items {
		if path, ok := m.path(item); ok {
			paths = append(paths, path)
		}
	}
	return mergePaths(paths, nil)
}

// serviceProperties are set and needed by the service and its SDKs.
var serviceProperties = []string{"id", "_rid", "_self", "_etag", "_ts", "_attachments", "_lsn"}

// path reads one path, a JSON Pointer (RFC 6901) into documents. Arrays are gone
// through by themselves: `/lines/price` is the price of every line.
func (r *reader) path(n *yaml.Node) (Path, bool) {
	text, ok := r.scalar(n, keyRedact)
	if !ok {
		return nil, false
	}
	rest, rooted := strings.CutPrefix(text, "/")
	if !rooted {
		r.fault(n, "a path begins with a slash, as in \"/customer/email\", not %q", text)
		return nil, false
	}
	parts := Path(strings.Split(rest, "/"))
	for i, part := range parts {
		name, ok := unescapePointer(part)
		switch {
		case !ok:
			r.fault(n, "%q: ~ stands for nothing but ~0 (~) and ~1 (/)", text)
			return nil, false
		case name == "":
			r.fault(n, "%q: a name is empty", text)
			return nil, false
		case name == "*" || name == "[]" || isPosition(name):
			r.fault(n, "%q: arrays are gone through by themselves (leave %q out)", text, name)
			return nil, false
		}
		parts[i] = name
	}
	if slices.Contains(serviceProperties, parts[0]) {
		r.fault(n, "%q cannot be redacted: SDKs need it", text)
		return nil, false
	}
	return parts, true
}

// unescapePointer reads one reference token of a JSON Pointer.
func unescapePointer(token string) (string, bool) {
	for i := strings.IndexByte(token, '~'); i >= 0; {
		if i+1 == len(token) || token[i+1] != '0' && token[i+1] != '1' {
			return "", false
		}
		next := strings.IndexByte(token[i+2:], '~')
		if next < 0 {
			break
		}
		i += 2 + next
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(token), true
}

// isPosition reports whether a name could be the position in an array.
func isPosition(name string) bool {
	return name == "-" || name != "" && strings.Trim(name, "0123456789") == ""
}
