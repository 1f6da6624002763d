package identity

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// keyRing holds the opened keys as of one generation of their entries. It is never written once built.
type keyRing struct {
	generation uint64
	byID       map[string]*liveKey
	tried      []*liveKey      // without a host name: each of these
	extra      map[string]bool // beyond what may be tried
	failed     map[string]attempt
}

// attempt is what is known of a secret that did not open.
type attempt struct {
	again time.Time // when it is tried again
	late  bool      // time was up before anybody could say whether it opens
}

// liveKey is a key that can be checked. It stays the same from ring to ring as long as its entry does.
type liveKey struct {
	Key

	entry    string
	revision uint64
	macs     sync.Pool
	owned    *ownership
	traces   *traces
	used     atomic.Int64 // Unix seconds
}

// current returns the ring of the keys as they are now. It opens secrets only when the entries have changed: callers wait for that,
// but not too many of them, since nobody knows yet who they are. When it is time to try a secret again that did not open, one caller
// does so; the others have their keys at hand.
func (k *Keys) current(ctx context.Context) (*keyRing, error) {
	ring := k.ring.Load()

	switch {
	case ring == nil || ring.generation != k.cfg.Entries.EntryGeneration(classKeys):
		if !k.waiting.take() {
			return nil, unavailable(errWaiting)
		}

		defer k.waiting.leave()
	case !ring.retry(k.cfg.Clock()) || !k.retrying.CompareAndSwap(false, true):
		return ring, nil
	default:
		defer k.retrying.Store(false)

		return k.latest(ctx, true), nil
	}

	return k.latest(ctx, false), nil
}

// latest is current for those who may wait: for the keys as they are now and, if again is set, for the secrets that it is time to try
// again. Who waits behind others while a key vault hangs is content with what they found, or each of them would wait for the vault anew.
func (k *Keys) latest(ctx context.Context, again bool) *keyRing {
	k.rebuild <- struct{}{}
	defer func() { <-k.rebuild }()

	// Read before the entries are, so that a change in between is seen the next time.
	generation := k.cfg.Entries.EntryGeneration(classKeys)

	ring := k.ring.Load()
	if ring != nil && ring.generation == generation && (!again || !ring.retry(k.cfg.Clock())) {
		return ring
	}

	// A caller that leaves must not leave the keys unopened for the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()

	next := k.open(ctx, ring, generation)
	k.ring.Store(next)

	return next
}

// retry reports whether a secret that did not open should be tried again.
func (r *keyRing) retry(now time.Time) bool {
	for _, last := range r.failed {
		if !now.Before(last.again) {
			return true
		}
	}

	return false
}

// undecided reports whether there is a key that nobody had the time to open, which may have made any signature.
func (r *keyRing) undecided() bool {
	for _, last := range r.failed {
		if last.late {
			return true
		}
	}

	return false
}

// closedKey is a key whose secret has yet to be opened.
type closedKey struct {
	*storedKey

	entry    string
	revision uint64
	again    time.Time // when it may be tried again; zero if it never was
}

// open builds a ring, taking over from the old one what has not changed.
func (k *Keys) open(ctx context.Context, old *keyRing, generation uint64) *keyRing {
	if old == nil {
		old = &keyRing{}
	}

	now := k.cfg.Clock()
	ring := &keyRing{generation: generation, byID: map[string]*liveKey{}, extra: map[string]bool{}, failed: map[string]attempt{}}

	var closed []closedKey

	for _, e := range k.cfg.Entries.Entries(classKeys) {
		stored, err := decodeStoredKey(e.Value)
		if err != nil || stored.Sealed == nil || !now.Before(stored.Expires) {
			continue
		}

		if same := old.byID[stored.ID]; same != nil && same.entry == e.Name && same.revision == e.Revision {
			ring.byID[stored.ID] = same

			continue
		}

		last := old.failed[stored.ID]
		if now.Before(last.again) {
			ring.failed[stored.ID] = last

			continue
		}

		closed = append(closed, closedKey{storedKey: stored, entry: e.Name, revision: e.Revision, again: last.again})
	}

	k.openAll(ctx, closed, ring, old)
	ring.choose(k.cfg.ByHost)

	return ring
}

// openAll opens secrets until time is up. Those that were never tried come first, then those that were tried longest ago: one over
// which a key vault hangs takes its turn, and keeps no other from being opened.
func (k *Keys) openAll(ctx context.Context, closed []closedKey, ring, old *keyRing) {
	slices.SortStableFunc(closed, func(a, b closedKey) int { return a.again.Compare(b.again) })

	for _, c := range closed {
		if ctx.Err() != nil {
			ring.failed[c.ID] = attempt{again: c.again, late: true} // not tried, and due

			continue
		}

		secret, err := k.cfg.Sealer.Open(ctx, c.Sealed, c.associated())
		if err != nil || len(secret) != keyBytes {
			ring.failed[c.ID] = attempt{again: k.cfg.Clock().Add(reopenAfter), late: ctx.Err() != nil} // it may have taken long
			k.cfg.Logger.ErrorContext(ctx, "virtual key does not open: it is not accepted", slog.String("key", c.ID), slog.Any("error", err))

			continue
		}

		ring.byID[c.ID] = newLiveKey(c.storedKey, secret, c.entry, c.revision, old.byID[c.ID])
	}
}

func newLiveKey(stored *storedKey, secret []byte, entry string, revision uint64, before *liveKey) *liveKey {
	live := &liveKey{Key: stored.key(), entry: entry, revision: revision, owned: &ownership{owner: stored.Owner}}
	live.macs.New = func() any { return hmac.New(sha256.New, secret) }
	live.traces = tracesOf(&Principal{Issuer: KeyIssuer, Subject: stored.ID, KeyID: stored.ID, IssuedAt: live.Created})

	if before != nil {
		live.used.Store(before.used.Load())
	}

	return live
}

// choose lists the keys that are tried where the host name names none: the oldest, as many as may be. More can only be there where
// several gates made them at the same moment.
func (r *keyRing) choose(byHost bool) {
	if byHost {
		return
	}

	for _, live := range r.byID {
		r.tried = append(r.tried, live)
	}

	slices.SortFunc(r.tried, func(a, b *liveKey) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })

	for _, live := range r.tried[min(len(r.tried), MaxTriedKeys):] {
		r.extra[live.ID] = true
	}

	r.tried = r.tried[:min(len(r.tried), MaxTriedKeys)]
}
