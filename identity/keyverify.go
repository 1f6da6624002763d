package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"net/http"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// maxDateBytes bounds x-ms-date: an HTTP date has 29.
	maxDateBytes = 64
	// maxLinks bounds the spellings that one request may have signed.
	maxLinks = 3
)

// keyHint is what users of SDKs know from the service itself. Constant; safe for everybody.
const keyHint = "The wrong key is being used, or what was signed is not this request. " +
	"Use a key of this gateway, never one of the account."

// dateHint names the one thing that a caller can do about a date.
const dateHint = "Check the clock of the client: x-ms-date is too far from now."

// verify finds the key that signed the request. It proves nothing about whether the key may be used.
func (k *Keys) verify(ctx context.Context, s *SignedRequest) (*liveKey, error) {
	if !k.timely(s.Date) {
		return nil, &Error{Substatus: SubstatusExpired, Hint: dateHint, Reason: "x-ms-date is missing, malformed, or too far from now"}
	}

	signature, err := base64.StdEncoding.Strict().DecodeString(s.Signature)
	if err != nil || len(signature) != sha256.Size || len(s.Links) > maxLinks {
		return nil, refuse(SubstatusMalformed, "signature is not base64 of 32 bytes")
	}

	ring, err := k.current(ctx)
	if err != nil {
		return nil, err
	}

	candidates := ring.tried

	if k.cfg.ByHost {
		live := ring.byID[s.KeyID]
		if live == nil && ring.failed[s.KeyID].late {
			return nil, unavailable(errNotOpened)
		}

		if live == nil {
			return nil, &Error{Substatus: SubstatusSignature, Hint: keyHint, Reason: "host name names no key"}
		}

		candidates = []*liveKey{live}
	}

	if found := matching(candidates, s, signature); found != nil {
		return found, nil
	}

	// While a key vault hangs it may be the signature of a key that is not open yet: that is our trouble, not the caller's.
	if !k.cfg.ByHost && ring.undecided() {
		return nil, unavailable(errNotOpened)
	}

	return nil, &Error{Substatus: SubstatusSignature, Hint: keyHint, Reason: "no key made this signature over this request"}
}

// timely reports whether x-ms-date is near enough. Some clients send it as they sign it, in lower case.
func (k *Keys) timely(date string) bool {
	const zone = "GMT"

	if len(date) < len(zone) || len(date) > maxDateBytes {
		return false
	}

	cut := len(date) - len(zone)
	if asciiLower(date[cut:]) == "gmt" {
		date = date[:cut] + zone
	}

	when, err := http.ParseTime(date)

	return err == nil && k.cfg.Clock().Sub(when).Abs() <= k.cfg.DateSkew
}

// matching returns the key that made the signature. Every candidate is tried with every spelling, whatever the outcome so far, and
// compared in constant time, so that time tells nothing about which key, or how much of a signature, was right.
func matching(candidates []*liveKey, s *SignedRequest, signature []byte) *liveKey {
	var texts [maxLinks][]byte
	for i, link := range s.Links {
		texts[i] = stringToSign(s, link)
	}

	found := -1

	var sum [sha256.Size]byte

	for i, live := range candidates {
		mac, ok := live.macs.Get().(hash.Hash)
		if !ok {
			continue
		}

		for _, text := range texts[:len(s.Links)] {
			mac.Reset()
			_, _ = mac.Write(text) // never fails (hash.Hash)

			equal := subtle.ConstantTimeCompare(mac.Sum(sum[:0]), signature)
			found = subtle.ConstantTimeSelect(equal, i, found)
		}

		live.macs.Put(mac)
	}

	if found < 0 {
		return nil
	}

	return candidates[found]
}

// stringToSign is the canonical text of a request (cosmos-wire.md §7): verb, resource type, link, date and nothing, each on a line.
func stringToSign(s *SignedRequest, link string) []byte {
	const lines = 5

	text := make([]byte, 0, len(s.Verb)+len(s.ResourceType)+len(link)+len(s.Date)+lines)
	text = append(appendLower(text, s.Verb), '\n')
	text = append(appendLower(text, s.ResourceType), '\n')
	text = append(append(text, link...), '\n')
	text = append(appendLower(text, s.Date), '\n')

	return append(text, '\n')
}

func appendLower(to []byte, s string) []byte {
	for i := range len(s) {
		to = append(to, lowerLetter(s[i]))
	}

	return to
}

func asciiLower(s string) string { return string(appendLower(nil, s)) }

// authenticateKey returns the application whose key signed a request. What may have changed since the key was made is read on every
// call: the key itself, its lock, its owner, its application, and what was revoked.
func (a *Authenticator) authenticateKey(ctx context.Context, s *SignedRequest) (Principal, error) {
	if a.keys == nil {
		return Principal{}, refuse(SubstatusKeysDisabled, "account keys are not accepted")
	}

	live, err := a.keys.verify(ctx, s)
	if err != nil {
		a.keys.metrics.refused.Inc()

		return Principal{}, err
	}

	p, err := a.keys.admit(live, s)
	if err == nil && a.revocations != nil {
		if reason, revoked := a.revocations.covers(live.traces); revoked {
			err = shutOut(p, reason)
		}
	}

	if err == nil {
		err = a.unlocked(&p)
	}

	if err != nil {
		a.keys.metrics.refused.Inc()

		return Principal{}, err
	}

	a.keys.metrics.accepted.Inc()

	return p, nil
}

// unlocked refuses an application that an administrator locked.
func (a *Authenticator) unlocked(p *Principal) error {
	lock, locked := a.directory.Locked(directory.Subject{Kind: directory.SubjectApplication, Name: p.Application})
	if locked {
		return shutOut(*p, "locked: "+lock.Message)
	}

	return nil
}

// admit says whom a proven key stands for, if it may be used from there now.
func (k *Keys) admit(live *liveKey, s *SignedRequest) (Principal, error) {
	now := k.cfg.Clock()
	p := Principal{
		Kind: KindApplication, Issuer: KeyIssuer, Subject: live.ID, KeyID: live.ID, TokenID: live.ID + ":" + live.Fingerprint,
		Application: live.Application, Method: MethodVirtualKey, IssuedAt: live.Created, Expiry: live.Expires,
	}

	// Its date proves that the key was in use now: a stamp a second is enough, and spares the cache line.
	if stamp := now.Unix(); live.used.Load() != stamp {
		live.used.Store(stamp)
	}

	if !now.Before(live.Expires) {
		return Principal{}, &Error{Substatus: SubstatusExpired, Reason: "key is expired", Refused: &p}
	}

	if err := k.usable(live, &p); err != nil {
		return Principal{}, err
	}

	if !live.permits(s) {
		return Principal{}, &Error{Substatus: SubstatusScope, Reason: "key is bound to other networks", Refused: &p}
	}

	return p, nil
}

// usable says whether a key stands for its application now: it is not locked, and both its application and its owner are there. It
// fills in what p is declared to have.
func (k *Keys) usable(live *liveKey, p *Principal) error {
	if lock, locked := k.cfg.Owners.Locked(directory.Subject{Kind: directory.SubjectKey, Name: live.ID}); locked {
		return shutOut(*p, "locked: "+lock.Message)
	}

	application := k.declared(live.Application)
	if application == nil {
		return shutOut(*p, ErrKeyDeclared.Error())
	}

	if !live.owned.alive(k.cfg.Owners, k.cfg.Clock()) {
		return shutOut(*p, "the key's owner is gone, inactive or locked")
	}

	p.Attributes = application.Attributes

	return nil
}

// permits reports whether the key may be used from where the request came.
func (l *liveKey) permits(s *SignedRequest) bool {
	if len(l.Networks) == 0 {
		return true
	}

	for _, network := range l.Networks {
		if network.Contains(s.Source) {
			return true
		}
	}

	return false
}

// Run warns of keys that end soon, and keeps the opened keys at hand, until ctx ends. It returns nil then.
func (k *Keys) Run(ctx context.Context) error {
	const (
		every  = time.Minute
		remind = 24 * time.Hour
	)

	warned := map[string]time.Time{}
	tick := time.NewTicker(every)

	defer tick.Stop()

	for {
		k.warn(ctx, warned, remind)

		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// warn logs, once a day, each key that ends soon or that nobody answers for any more.
func (k *Keys) warn(ctx context.Context, warned map[string]time.Time, remind time.Duration) {
	now := k.cfg.Clock()
	listed := k.List(ctx)
	known := make(map[string]bool, len(listed))

	for i := range listed {
		key := &listed[i]
		known[key.ID] = true

		endsSoon := key.State == KeyLive && key.Expires.Sub(now) <= k.cfg.WarnBefore
		dead := key.State == KeyOwnerless || key.State == KeyUndeclared || key.State == KeyUnreadable || key.State == KeySuperfluous

		if !endsSoon && !dead {
			continue
		}

		if last, told := warned[key.ID]; told && now.Sub(last) < remind {
			continue
		}

		warned[key.ID] = now

		k.cfg.Logger.WarnContext(ctx, "virtual key needs attention",
			"key", key.ID, "application", key.Application, "owner", key.Owner.Name, "state", string(key.State), "expires", key.Expires)
	}

	for id := range warned {
		if !known[id] {
			delete(warned, id)
		}
	}
}
