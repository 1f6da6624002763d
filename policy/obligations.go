package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Obligations are what must be done to an allowed request. A zero field asks for
// nothing.
type Obligations struct {
	// MaxItems is the most documents that one page may hold; the proxy forces
	// x-ms-max-item-count down to it.
	MaxItems int
	// MaxRUPerSecond is how many request units a caller may use in a second;
	// what exceeds it is 429.
	MaxRUPerSecond int
	// MaxBodyBytes is the largest request body; what exceeds it is 413.
	MaxBodyBytes int64
	// Priority is the priority level under which the service runs requests.
	Priority Priority
	// ThroughputBucket is the throughput bucket of the container, from 1 to 5.
	ThroughputBucket int
	// Redact are the properties that are taken out of every document, sorted;
	// none lies in another.
	Redact []Path
	// PartitionKey is the partition key that must be set on the request, which
	// carries none, as canonical JSON.
	PartitionKey []string
	// Staleness says whether the request may be served while the directory is
	// behind.
	Staleness Staleness
}

// Priority is a priority level of the service, the strictest last.
type Priority uint8

// The priority levels. The zero Priority leaves the service's default.
const (
	PriorityDefault Priority = iota
	PriorityHigh
	PriorityLow
)

// String returns the level as the service writes it, or "".
func (p Priority) String() string {
	switch p {
	case PriorityHigh:
		return "High"
	case PriorityLow:
		return "Low"
	default:
		return ""
	}
}

// Staleness says what becomes of requests while the gate cannot see the newest
// state of the directory.
type Staleness uint8

// The kinds of staleness. StalenessDefault is what the gate is configured to.
const (
	StalenessDefault Staleness = iota
	// StalenessStrict refuses.
	StalenessStrict
	// StalenessBestEffort serves by what is known.
	StalenessBestEffort
)

// String returns the word for it in policies, or "".
func (s Staleness) String() string {
	switch s {
	case StalenessStrict:
		return "strict"
	case StalenessBestEffort:
		return "best_effort"
	default:
		return ""
	}
}

// word is one obligation in the words of a policy file.
type word struct{ key, value string }

// words returns every obligation, with no value where there is none.
func (o *Obligations) words() []word {
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	list := func(items []string) string {
		if len(items) == 0 {
			return ""
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	paths := make([]string, len(o.Redact))
	for i, p := range o.Redact {
		paths[i] = p.String()
	}
	return []word{
		{keyRedact, list(paths)},
		{keyMaxItems, number(int64(o.MaxItems))},
		{keyMaxRU, number(int64(o.MaxRUPerSecond))},
		{keyMaxBody, number(o.MaxBodyBytes)},
		{keyPriority, strings.ToLower(o.Priority.String())},
		{keyBucket, number(int64(o.ThroughputBucket))},
		{keyStaleness, o.Staleness.String()},
		{fieldInjected, list(o.PartitionKey)},
	}
}

// Words returns the obligations as `key: value`, in the words of policies.
func (o *Obligations) Words() []string {
	var out []string
	for _, w := range o.words() {
		if w.value != "" {
			out = append(out, w.key+": "+w.value)
		}
	}
	return out
}

// least returns the lower of two limits, of which 0 is none.
func least[T int | int64](a, b T) T {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// strictest merges two sets of obligations.
func (o *Obligations) strictest(with *Obligations) Obligations {
	merged := *o
	merged.MaxItems = least(o.MaxItems, with.MaxItems)
	merged.MaxRUPerSecond = least(o.MaxRUPerSecond, with.MaxRUPerSecond)
	merged.MaxBodyBytes = least(o.MaxBodyBytes, with.MaxBodyBytes)
	merged.Priority = max(o.Priority, with.Priority)
	merged.ThroughputBucket = least(o.ThroughputBucket, with.ThroughputBucket)
	merged.Redact = mergePaths(o.Redact, with.Redact)
	if len(with.PartitionKey) > len(o.PartitionKey) {
		merged.PartitionKey = with.PartitionKey
	}
	return merged
}

// count returns how many obligations there are.
func (o *Obligations) count() int {
	n := 0
	for _, has := range []bool{
		o.MaxItems != 0, o.MaxRUPerSecond != 0, o.MaxBodyBytes != 0,
		o.Priority != 0, o.ThroughputBucket != 0, len(o.Redact) > 0,
	} {
		if has {
			n++
		}
	}
	return n
}

// fresher returns the stricter of what two legs let the directory be.
func (s Staleness) fresher(t Staleness) Staleness {
	if s == StalenessStrict || t == StalenessStrict {
		return StalenessStrict
	}
	if s == t {
		return s
	}
	return StalenessDefault
}

// mergePaths returns both lists as one, sorted, each path once, and without
// those that lie below another.
func mergePaths(a, b []Path) []Path {
	if len(b) == 0 && len(a) <= 1 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, slices.Compare)
	var out []Path
	for _, p := range all {
		if last := len(out) - 1; last < 0 || !hasPrefix(p, out[last]) {
			out = append(out, p)
		}
	}
	return out
}

// Path is where in documents a property is: the names on the way to it. Arrays
// on the way are gone through.
type Path []string

// String returns the path as policies write it.
func (p Path) String() string {
	var b strings.Builder
	for _, name := range p {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return b.String()
}

// Overlaps reports whether a property that a request names is redacted, holds
// something that is, or lies in it. Names that are positions in arrays may be
// those, or may be names.
func (p Path) Overlaps(names []string) bool {
	for _, name := range names {
		switch {
		case len(p) == 0:
			return true
		case name == p[0]:
			p = p[1:]
		case !isPosition(name):
			return false
		}
	}
	return true
}
