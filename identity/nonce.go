package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// nonceLife is how long a server nonce is good.
	nonceLife = 5 * time.Minute
	// nonceKeyBytes keys the nonces of one process; nonceMACBytes of the MAC are sent.
	nonceKeyBytes = 32
	nonceMACBytes = 16
	nonceTime     = 8
)

// Nonces are server nonces of one process (RFC 9449 section 8), without memory: a time and a MAC. Another process refuses them, so
// that a proof with one can be replayed at this process only, whose own memory knows it.
type Nonces struct {
	key   []byte
	clock func() time.Time
}

var errNoRandom = errors.New("identity: a source of randomness is required")

// NewNonces draws the key.
func NewNonces(random io.Reader, clock func() time.Time) (*Nonces, error) {
	if random == nil {
		return nil, errNoRandom
	}

	if clock == nil {
		return nil, errNoClock
	}

	key := make([]byte, nonceKeyBytes)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("drawing the key of nonces: %w", err)
	}

	return &Nonces{key: key, clock: clock}, nil
}

// Next returns a nonce for the next minutes.
func (n *Nonces) Next() string { return n.at(n.clock()) }

func (n *Nonces) at(when time.Time) string {
	stamp := binary.BigEndian.AppendUint64(make([]byte, 0, nonceTime+nonceMACBytes), uint64(when.Unix())) //nolint:gosec // G115: after 1970.

	return base64.RawURLEncoding.EncodeToString(append(stamp, n.mac(stamp)...))
}

func (n *Nonces) mac(stamp []byte) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(stamp)

	return mac.Sum(nil)[:nonceMACBytes]
}

// fresh reports whether nonce is one of ours and not too old.
func (n *Nonces) fresh(nonce string, now time.Time) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(raw) != nonceTime+nonceMACBytes || !hmac.Equal(raw[nonceTime:], n.mac(raw[:nonceTime])) {
		return false
	}

	made := time.Unix(int64(binary.BigEndian.Uint64(raw[:nonceTime])), 0) //nolint:gosec // G115: our own number.

	return now.Sub(made) < nonceLife
}

// maxMemory bounds each half of a [Memory]; half its time span is twice the longest that a proof can be good.
const (
	maxMemory  = 250_000
	memorySpan = 2 * (proofAge + skew)
)

// Memory lets an id be used once in this process, where writing each to the directory would cost more than the request: DPoP proofs
// of the data plane, which are good for a minute and, with [Nonces], at one process only. It is safe for concurrent use.
type Memory struct {
	clock func() time.Time

	mu               sync.Mutex
	turned           time.Time
	current, earlier map[digest]struct{}
}

// NewMemory returns an empty memory.
func NewMemory(clock func() time.Time) *Memory {
	return &Memory{clock: clock, current: map[digest]struct{}{}}
}

// Spend is [Once.Spend] for this process; ids that can be used for more than minutes are refused with [ErrOnceExpired].
func (m *Memory) Spend(_ context.Context, use Use, issuer, id string, until time.Time) error {
	now := m.clock()
	if left := until.Add(skew).Sub(now); left <= 0 || left > memorySpan {
		return ErrOnceExpired
	}

	key := digest(sha256.Sum256([]byte(use.String() + "\x00" + issuer + "\x00" + id)))

	m.mu.Lock()
	defer m.mu.Unlock()

	if now.Sub(m.turned) >= memorySpan {
		// What was used before the last turn can't be used any more, unless the last turn is long ago: then nothing can.
		m.earlier = m.current
		if now.Sub(m.turned) >= 2*memorySpan {
			m.earlier = nil
		}

		m.current, m.turned = map[digest]struct{}{}, now
	}

	if _, used := m.current[key]; used {
		return ErrUsed
	}

	if _, used := m.earlier[key]; used {
		return ErrUsed
	}

	if len(m.current) >= maxMemory {
		return ErrOnceFull
	}

	m.current[key] = struct{}{}

	return nil
}
