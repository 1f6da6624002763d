package policy

import "slices"

// Hashed is a request of which only hashes of the partition keys are known, as
// an audit record keeps them.
type Hashed struct {
	Request

	// Keys are the hashes, one for each partition key that the request carried.
	Keys []string
	// Cut says that there were more.
	Cut bool
	// Hash makes the hash of a partition key from its components, as canonical
	// JSON. Nil if that is not possible: the hashes are keyed, and the key is
	// not known.
	Hash func(key []string) string
}

// DecideHashed decides a request whose partition keys are known as hashes only.
// The second result is whether the decision is certain. It is not if a role
// would allow the request under some partition key and nothing tells whether
// the request carried that: a hash tells whether it is the very key that the
// policy names, not whether it begins with it.
func (e *Engine) DecideHashed(h Hashed) (Decision, bool) {
	if len(h.Keys) == 0 {
		// A record does not say whether the request named a range, beside which no key is set.
		d := e.Decide(h.Request)
		return d, d.Obligations.PartitionKey == nil
	}
	q := h.Request
	q.PartitionKeys = [][]string{{""}} // not JSON, so that no policy names it
	d := e.Decide(q)
	confined := d.Reason == ReasonPartitionKey || d.Reason == ReasonMissingAttribute || d.Reason == ReasonScope && q.Token.namesKeys()
	if d.Allow || !confined {
		return d, true
	}
	var helpful [][]string
	for _, key := range e.Set().keysFor(&q) {
		q.PartitionKeys = [][]string{key}
		if e.Decide(q).Allow {
			helpful = append(helpful, key)
		}
	}
	if len(helpful) == 0 {
		return d, true
	}
	if h.Cut || h.Hash == nil {
		return d, false
	}
	if q.PartitionKeys = h.known(helpful); len(q.PartitionKeys) < len(h.Keys) {
		return d, false
	}
	return e.Decide(q), true
}

// known returns the keys of which the request carried the hash.
func (h *Hashed) known(keys [][]string) [][]string {
	known := make([][]string, 0, len(h.Keys))
	for _, hash := range h.Keys {
		i := slices.IndexFunc(keys, func(key []string) bool { return h.Hash(key) == hash })
		if i >= 0 {
			known = append(known, keys[i])
		}
	}
	return known
}

// namesKeys reports whether a detail holds for some partition keys only.
func (t *Token) namesKeys() bool {
	return slices.ContainsFunc(t.Details, func(d Detail) bool { return len(d.PartitionKeys) > 0 })
}

// keysFor returns the partition keys that the policy names for the parties to a
// request, filled in, and those that its token does.
func (s *Set) keysFor(q *Request) [][]string {
	keys := s.keysOf(q)
	for _, actor := range q.Actors {
		acting := *q
		acting.Principal, acting.Person = actor, &q.Principal
		keys = append(keys, s.keysOf(&acting)...)
	}
	if q.Token != nil {
		for i := range q.Token.Details {
			keys = append(keys, q.Token.Details[i].PartitionKeys...)
		}
	}
	return keys
}

func (s *Set) keysOf(q *Request) [][]string {
	who := s.subjects.of(&q.Principal)
	_, guarded := q.Actions.contained()
	var keys [][]string
	seen := map[*keyGrant]bool{}
	for _, x := range []*index{s.deciding, s.obliging} {
		for _, f := range x.find(q.Resource, guarded, who) {
			if f.key == nil || seen[f.key] {
				continue
			}
			seen[f.key] = true
			if key, ok := f.key.resolve(q.owner()); ok {
				keys = append(keys, key)
			}
		}
	}
	return keys
}
