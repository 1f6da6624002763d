package identity

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
	"unsafe"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	defaultCacheSize = 10_000
	// maxVerdictAge bounds a cached verdict, whatever the token's expiry.
	maxVerdictAge = 5 * time.Minute
	// refusalAge and maxRefusals bound the memory of bad tokens: enough to make a client's tight loop cheap.
	refusalAge  = 5 * time.Second
	maxRefusals = 1024
)

// digest stands for a token, which itself is never kept.
type digest [sha256.Size]byte

// digestOf hashes a token where it lies: a copy would cost an allocation on every request.
func digestOf(token string) digest {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(token), len(token))) //nolint:gosec // Read only, and not kept.
}

// verdict is what a token proved. It holds nothing that may change while the token lives: that is read on every call.
type verdict struct {
	issuer    *issuer
	principal Principal
	// traces are what would revoke the token.
	traces *traces
	// link finds the person.
	link directory.LinkKey
	// record is the directory record that the token was issued for; empty if it names none.
	record directory.ID
	// declared is what the token's client was matched against.
	declared declarations
	// generation is the issuer's when the signature was checked.
	generation uint64
	until      time.Time
}

// refusal is a remembered failure.
type refusal struct {
	err   error
	until time.Time
}

// cache holds verdicts and, for seconds, refusals.
type cache struct {
	verdicts *lru.Cache[digest, *verdict]
	refusals *lru.Cache[digest, refusal]
}

func newCache(size int) (*cache, error) {
	if size == 0 {
		size = defaultCacheSize
	}

	verdicts, err := lru.New[digest, *verdict](size)
	if err != nil {
		return nil, fmt.Errorf("making the token cache: %w", err)
	}

	refusals, err := lru.New[digest, refusal](maxRefusals)
	if err != nil {
		return nil, fmt.Errorf("making the memory of refusals: %w", err)
	}

	return &cache{verdicts: verdicts, refusals: refusals}, nil
}

// verdict returns what is known of a token, if that still holds.
func (c *cache) verdict(d digest, now time.Time, declared declarations) *verdict {
	found, ok := c.verdicts.Get(d)
	if !ok {
		return nil
	}

	if !within(found.until, now, maxVerdictAge) || found.generation != found.issuer.generation() || !found.holds(declared) {
		c.verdicts.Remove(d)

		return nil
	}

	return found
}

// holds reports whether a verdict was made with these declarations, as far as they matter for it. A person's client may turn out
// to be an agent by a new declaration.
func (v *verdict) holds(declared declarations) bool {
	if v.principal.Kind == KindPerson {
		return sameList(v.declared.agents, declared.agents)
	}

	return v.declared.same(declared)
}

// refusal returns a failure of moments ago, nil if there was none. One that lies further ahead is from before the clock was set back.
func (c *cache) refusal(d digest, now time.Time) error {
	found, ok := c.refusals.Get(d)
	if !ok || !within(found.until, now, refusalAge) {
		return nil
	}

	return found.err
}

// within reports whether something that is remembered until a time, for no longer than age, still is. What would be remembered for longer
// was noted by a clock that has jumped back since.
func within(until, now time.Time, age time.Duration) bool {
	left := until.Sub(now)

	return left > 0 && left <= age
}

// accept remembers a verdict for minutes, and not past the token's expiry.
func (c *cache) accept(d digest, v *verdict, now time.Time) {
	v.until = now.Add(maxVerdictAge)
	if v.principal.Expiry.Before(v.until) {
		v.until = v.principal.Expiry
	}

	c.verdicts.Add(d, v)
}

// refuse remembers a failure for seconds if nothing but the token decides it. What depends on keys that may be on their way, or
// on what is declared, is asked again each time.
func (c *cache) refuse(d digest, err error, now time.Time) {
	var failure *Error
	if errors.As(err, &failure) && !failure.passing {
		c.refusals.Add(d, refusal{err: err, until: now.Add(refusalAge)})
	}
}

// sameList reports whether two lists are one and the same, not merely equal.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
