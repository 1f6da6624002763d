package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
)

// RevocationKind says what a [Revocation] is about. The zero kind is none.
type RevocationKind uint8

// The kinds of revocation (identity.md §5.5). All but RevokeToken withdraw whatever was issued until a moment.
const (
	// RevokeSubject withdraws the tokens of iss and subject, whoever acts for it.
	RevokeSubject RevocationKind = iota + 1
	// RevokeAgent withdraws what names an agent as an actor, by its declared name. It has no issuer.
	RevokeAgent
	// RevokeClient withdraws what an issuer issued to a client.
	RevokeClient
	// RevokeSession withdraws the tokens of an issuer's session (sid).
	RevokeSession
	// RevokeKey withdraws what was signed with an issuer's key, by its kid.
	RevokeKey
	// RevokeToken withdraws one token, by its jti, and what was exchanged for it.
	RevokeToken
)

// String returns the kind's word in commands, records and metrics.
func (k RevocationKind) String() string {
	switch k {
	case RevokeSubject:
		return "subject"
	case RevokeAgent:
		return "agent"
	case RevokeClient:
		return "client"
	case RevokeSession:
		return "session"
	case RevokeKey:
		return "key"
	case RevokeToken:
		return "token"
	default:
		return "none"
	}
}

// class is where revocations of the kind are kept: tokens, which callers can revoke by the thousand, apart from marks.
func (k RevocationKind) class() string {
	if k == RevokeToken {
		return classRevokedTokens
	}

	return classRevocations
}

// Revocation withdraws tokens before they expire.
type Revocation struct {
	// Kind says what Name is.
	Kind RevocationKind
	// Issuer is the iss that Name belongs to; empty for an agent.
	Issuer string
	// Name is the subject, agent, client, sid, kid or jti.
	Name string
	// Before is the mark: a token whose iat is not later is refused. Zero means now. A token's revocation ignores it.
	Before time.Time
	// Expires is when the revocation is forgotten. Zero means when the longest accepted lifetime has passed. Where the end of a
	// token is known, it saves space to say so; an earlier end than the token's lets the token live again.
	Expires time.Time
	// Reason and By say why and on whose word, for listings.
	Reason, By string
}

const (
	classRevocations   = "revocation"
	classRevokedTokens = "revoked-token"
	// maxRevocations bounds each of the two classes; maxSessions is how many marks there may be for one more of a session, which
	// providers send by the thousand, so that there is always room to withdraw what a person, an agent or a stolen key has.
	maxRevocations = 100_000
	maxSessions    = 75_000
	// countEvery is how many new ones may pass between two exact counts.
	countEvery = 1024
	// markAttempts bounds the races with other writers of one mark, of whom one wins each round.
	markAttempts = 200
	// maxReasonBytes bounds Reason and By, which may come from outside.
	maxReasonBytes = 256
)

var (
	// ErrRevocationsFull means that no further revocation can be kept: lock who must be kept out.
	ErrRevocationsFull = fmt.Errorf("more than %d revocations are in force", maxRevocations)

	errNoEntries  = errors.New("identity: entries are required")
	errRevocation = errors.New("revoking: kind, issuer and name are required, an agent has no issuer")
	errContended  = errors.New("revoking: the entry keeps changing")
)

// RevocationConfig is everything that [Revocations] need.
type RevocationConfig struct {
	// Entries keep the revocations. Required.
	Entries Entries
	// Longest is the longest lifetime of any accepted token; zero means 25 hours.
	Longest time.Duration
	// Clock tells the time. Required.
	Clock func() time.Time
}

// Revocations is the table of what was withdrawn before its time. It is safe for concurrent use, bounded, durable, and shared by
// the gates of one directory.
type Revocations struct {
	entries Entries
	clock   func() time.Time
	longest time.Duration
	since   [3]atomic.Uint32 // additions since the last count: marks, tokens, sessions
	added   *prometheus.CounterVec
	refused prometheus.Counter
}

// NewRevocations returns the table that cfg.Entries hold.
func NewRevocations(cfg RevocationConfig) (*Revocations, error) {
	if cfg.Entries == nil {
		return nil, errNoEntries
	}

	if cfg.Clock == nil {
		return nil, errNoClock
	}

	if cfg.Longest == 0 {
		cfg.Longest = defaultMaxLifetime
	}

	r := &Revocations{
		entries: cfg.Entries, clock: cfg.Clock, longest: cfg.Longest,
		added: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_revocations_total", Help: "Revocations taken by this gate, by kind.",
		}, []string{"kind"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cosmosgate_revocations_refused_total", Help: "Revocations that could not be kept: the table is full, or the directory does not write.",
		}),
	}
	// The next addition counts what is there already.
	for i := range r.since {
		r.since[i].Store(countEvery)
	}

	return r, nil
}

// mark is what an entry holds.
type mark struct {
	Before int64  `json:"before"` // Unix milliseconds
	Issuer string `json:"issuer,omitempty"`
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// Revoke withdraws tokens from the next request on, at every gate that has read the directory's log so far. A mark never moves
// back: an earlier revocation that reaches further stays. Errors: [ErrRevocationsFull], and the directory's.
func (r *Revocations) Revoke(ctx context.Context, v Revocation) error {
	if err := r.revoke(ctx, v); err != nil {
		r.refused.Inc()

		return err
	}

	r.added.WithLabelValues(v.Kind.String()).Inc()

	return nil
}

func (r *Revocations) revoke(ctx context.Context, v Revocation) error {
	if v.Kind.String() == "none" || v.Name == "" || (v.Issuer == "") != (v.Kind == RevokeAgent) {
		return errRevocation
	}

	v = r.complete(v)
	class, name := v.Kind.class(), entryName(v.Kind.String(), v.Issuer, v.Name)

	for range markAttempts {
		next, condition, err := r.merge(v, class, name)
		if err != nil || next == nil {
			return err
		}

		_, err = r.entries.PutEntry(ctx, *next, condition)
		if errors.Is(err, directory.ErrExists) || errors.Is(err, directory.ErrRevision) {
			continue // another gate was faster: merge with what it wrote
		}

		if err != nil {
			return fmt.Errorf("revoking: %w", err)
		}

		return nil
	}

	return errContended
}

// complete fills in the times and bounds the texts.
func (r *Revocations) complete(v Revocation) Revocation {
	now := r.clock()
	if v.Before.IsZero() || v.Kind == RevokeToken {
		v.Before = now
	}

	if v.Expires.IsZero() {
		// A token that the mark covers was issued by then.
		v.Expires = v.Before.Add(r.longest + skew)
	}

	v.Expires = v.Expires.Add(skew) // tokens are accepted until then, and clocks of gates differ
	v.Reason, v.By = clipText(v.Reason), clipText(v.By)

	return v
}

// merge returns the entry that holds both v and what is there; nil if that is there already.
func (r *Revocations) merge(v Revocation, class, name string) (*directory.Entry, uint64, error) {
	condition := directory.CreateOnly

	if old, found := r.entries.Entry(class, name); found {
		before, err := decodeMark(old.Value)
		if err != nil {
			return nil, 0, err
		}

		reaches := v.Kind == RevokeToken || !time.UnixMilli(before.Before).Before(v.Before.Truncate(time.Millisecond))
		if reaches && !old.Expires.Before(v.Expires.Truncate(time.Millisecond)) {
			return nil, 0, nil
		}

		v.Before, v.Expires = later(v.Before, time.UnixMilli(before.Before)), later(v.Expires, old.Expires)
		condition = old.Revision
	} else if err := r.room(v.Kind); err != nil {
		return nil, 0, err
	}

	value, err := json.Marshal(mark{Before: v.Before.UnixMilli(), Issuer: v.Issuer, Name: clipText(v.Name), Reason: v.Reason, By: v.By})
	if err != nil {
		return nil, 0, fmt.Errorf("encoding a revocation: %w", err)
	}

	return &directory.Entry{Class: class, Name: name, Expires: v.Expires, Value: value}, condition, nil
}

// room reports whether the class may grow. It counts now and then only, so that the bound is kept within countEvery.
func (r *Revocations) room(kind RevocationKind) error {
	since, limit := &r.since[0], maxRevocations

	switch kind { //nolint:exhaustive // the others are marks
	case RevokeToken:
		since = &r.since[1]
	case RevokeSession:
		since, limit = &r.since[2], maxSessions
	}

	if since.Add(1) < countEvery {
		return nil
	}

	if len(r.entries.Entries(kind.class())) >= limit {
		return ErrRevocationsFull // and the next one counts again
	}

	since.Store(0)

	return nil
}

// Check returns an *[Error] if a token of p, or one it descends from, was withdrawn.
func (r *Revocations) Check(p *Principal) error {
	if reason, revoked := r.covers(tracesOf(p)); revoked {
		return shutOut(*p, reason)
	}

	return nil
}

// List returns the revocations in force.
func (r *Revocations) List() []Revocation {
	var list []Revocation

	for _, kind := range []RevocationKind{RevokeSubject, RevokeToken} {
		for _, e := range r.entries.Entries(kind.class()) {
			m, err := decodeMark(e.Value)
			if err != nil {
				continue
			}

			list = append(list, Revocation{
				Kind: kindOf(e.Name), Issuer: m.Issuer, Name: m.Name, Before: time.UnixMilli(m.Before).UTC(), Expires: e.Expires,
				Reason: m.Reason, By: m.By,
			})
		}
	}

	return list
}

// Collectors returns the metrics to register.
func (r *Revocations) Collectors() []prometheus.Collector {
	return []prometheus.Collector{r.added, r.refused}
}

// traces are the entries that would withdraw one token. They are computed once, when the token is checked.
type traces struct {
	marks  []trace
	tokens []string
	// clear is the state of the table in which none of them was there, plus one.
	clear atomic.Uint64
}

// trace is a mark that would withdraw a token, and when what it is about was issued: the token, or the one that it was exchanged for,
// which may have been stolen long before the exchange.
type trace struct {
	entry  string
	issued int64 // Unix milliseconds
}

// covers reports whether an entry withdraws a token, and why. While the table stays as it was when the token was last found clear,
// that is one comparison.
func (r *Revocations) covers(t *traces) (string, bool) {
	// Read before the entries are: a change in between is looked at again. Both numbers only grow, and so does their sum.
	state := 1 + r.entries.EntryGeneration(classRevocations) + r.entries.EntryGeneration(classRevokedTokens)
	if t.clear.Load() == state {
		return "", false
	}

	for _, name := range t.tokens {
		if _, found := r.entries.Entry(classRevokedTokens, name); found {
			return "token was revoked", true
		}
	}

	for _, watched := range t.marks {
		e, found := r.entries.Entry(classRevocations, watched.entry)
		if !found {
			continue
		}

		m, err := decodeMark(e.Value)
		if err != nil || watched.issued <= m.Before {
			return kindOf(watched.entry).String() + " was revoked: " + m.Reason, true
		}
	}

	t.clear.Store(state)

	return "", false
}

// tracesOf names the entries that would withdraw a token of p: by its own issuer's names, and by those of the token that it was
// exchanged for.
func tracesOf(p *Principal) *traces {
	t := &traces{}
	issued := p.IssuedAt

	add := func(kind RevocationKind, issuer, name string) {
		if name == "" || (issuer == "") != (kind == RevokeAgent) {
			return
		}

		if entry := entryName(kind.String(), issuer, name); kind == RevokeToken {
			t.tokens = append(t.tokens, entry)
		} else {
			t.marks = append(t.marks, trace{entry, issued.UnixMilli()})
		}
	}

	add(RevokeSubject, p.Issuer, p.Subject)
	add(RevokeSession, p.Issuer, p.Session)
	add(RevokeClient, p.Issuer, p.Client)
	add(RevokeKey, p.Issuer, p.KeyID)
	add(RevokeToken, p.Issuer, p.TokenID)

	for _, id := range p.Origin.Via {
		add(RevokeToken, p.Issuer, id)
	}

	if p.Kind == KindAgent {
		add(RevokeAgent, "", p.Application)
	}

	for _, actor := range p.Actors {
		add(RevokeSubject, actor.Issuer, actor.Subject)
		add(RevokeAgent, "", actor.Agent)
	}

	issued = p.Origin.IssuedAt

	add(RevokeSubject, p.Origin.Issuer, p.Subject)
	add(RevokeSession, p.Origin.Issuer, p.Session)
	add(RevokeClient, p.Origin.Issuer, p.Origin.Client)
	add(RevokeKey, p.Origin.Issuer, p.Origin.KeyID)
	add(RevokeToken, p.Origin.Issuer, p.Origin.TokenID)

	issued = time.Time{} // whoever has a key writes any iat

	for _, kid := range p.Origin.ViaKeys {
		add(RevokeKey, p.Issuer, kid)
	}

	return t
}

func decodeMark(value []byte) (mark, error) {
	var m mark
	if err := json.Unmarshal(value, &m); err != nil {
		return mark{}, fmt.Errorf("decoding a revocation: %w", err)
	}

	return m, nil
}

// kindOf reads the kind back from the name of an entry.
func kindOf(name string) RevocationKind {
	for k := RevokeSubject; k <= RevokeToken; k++ {
		if prefix := k.String(); len(name) > len(prefix) && name[:len(prefix)] == prefix && name[len(prefix)] == '.' {
			return k
		}
	}

	return 0
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}

	return a
}

// clipText bounds a text that others chose.
func clipText(s string) string {
	if len(s) <= maxReasonBytes {
		return s
	}

	return strings.ToValidUTF8(s[:maxReasonBytes], "") + "…"
}
