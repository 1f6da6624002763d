package identity

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Use says what a single-use id belongs to; each use has its own space of ids. The zero Use is none.
type Use uint8

// The uses (identity.md §5.6).
const (
	// UseAssertion is a client assertion (RFC 7523).
	UseAssertion Use = iota + 1
	// UseGrant is an identity assertion authorization grant (ID-JAG).
	UseGrant
	// UseProof is a DPoP proof (RFC 9449).
	UseProof
	// UseEvent is a security event token (RFC 8417).
	UseEvent
	// UseLogout is a logout token (OpenID Connect Back-Channel Logout).
	UseLogout
	// UseRevocation is the token of a Global Token Revocation request.
	UseRevocation
)

// String returns the use's word.
func (u Use) String() string {
	switch u {
	case UseAssertion:
		return "assertion"
	case UseGrant:
		return "grant"
	case UseProof:
		return "proof"
	case UseEvent:
		return "event"
	case UseLogout:
		return "logout"
	case UseRevocation:
		return "revocation"
	default:
		return "none"
	}
}

const (
	classOnce = "once"
	// maxOnce bounds the ids that are remembered at once, of all uses.
	maxOnce = 200_000
	// maxOnceLife bounds how long one id can be held: whoever makes ids must not fill the directory for years.
	maxOnceLife = 25 * time.Hour
)

var (
	// ErrUsed means that an id has been used before.
	ErrUsed = errors.New("id was used before")
	// ErrOnceExpired means that an id could not be used any more, or not be remembered for as long as it can.
	ErrOnceExpired = errors.New("id is expired, or good for too long to be remembered")
	// ErrOnceFull means that no further id can be remembered, so that none is accepted: the gate's own trouble.
	ErrOnceFull = fmt.Errorf("more than %d single-use ids are remembered", maxOnce)

	errOnce = errors.New("single use: use, issuer and id are required")
)

// Once lets an id be used a single time while it could be accepted, at all gates of one directory together. It is safe for
// concurrent use.
type Once struct {
	entries Entries
	clock   func() time.Time
	since   atomic.Uint32
}

// NewOnce returns the memory that entries hold.
func NewOnce(entries Entries, clock func() time.Time) (*Once, error) {
	if entries == nil {
		return nil, errNoEntries
	}

	if clock == nil {
		return nil, errNoClock
	}

	o := &Once{entries: entries, clock: clock}
	o.since.Store(countEvery) // the first use counts what is there already

	return o, nil
}

// Spend uses up an id of an issuer that could be accepted until a moment (its exp; the allowed skew is added here). Call it after
// everything else about the id's bearer is proven: an id spent is spent, and nobody may spend another's.
//
// Errors: [ErrUsed] and [ErrOnceExpired] are the bearer's fault; [ErrOnceFull] and the directory's are the gate's.
func (o *Once) Spend(ctx context.Context, use Use, issuer, id string, until time.Time) error {
	if use.String() == "none" || issuer == "" || id == "" {
		return errOnce
	}

	now := o.clock()
	if left := until.Add(skew).Sub(now); left <= 0 || left > maxOnceLife {
		return ErrOnceExpired
	}

	name := entryName(use.String(), issuer, id)
	if _, used := o.entries.Entry(classOnce, name); used {
		return ErrUsed // without troubling the directory's log
	}

	if err := o.room(); err != nil {
		return err
	}

	// A second skew, because the clock of another gate may be behind.
	entry := directory.Entry{Class: classOnce, Name: name, Expires: until.Add(skew + skew)}

	_, err := o.entries.PutEntry(ctx, entry, directory.CreateOnly)
	if errors.Is(err, directory.ErrExists) {
		return ErrUsed
	}

	if err != nil {
		return fmt.Errorf("remembering a single-use id: %w", err)
	}

	return nil
}

// room reports whether one more id can be remembered. It counts now and then only, so that the bound is kept within countEvery.
func (o *Once) room() error {
	if o.since.Add(1) < countEvery {
		return nil
	}

	if len(o.entries.Entries(classOnce)) >= maxOnce {
		return ErrOnceFull
	}

	o.since.Store(0)

	return nil
}
