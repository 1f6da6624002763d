package identity_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

// hanging is a sealer that, while it hangs, answers when it is let go.
type hanging struct {
	identity.Sealer

	hangs   atomic.Bool
	asked   chan struct{}
	letGo   chan struct{}
	refuses atomic.Bool
}

func newHanging(inner identity.Sealer) *hanging {
	return &hanging{Sealer: inner, asked: make(chan struct{}, 1000), letGo: make(chan struct{})}
}

func (h *hanging) Open(ctx context.Context, sealed, associated []byte) ([]byte, error) {
	if h.hangs.Load() {
		h.asked <- struct{}{}
		<-h.letGo
	}

	if h.refuses.Load() {
		return nil, context.DeadlineExceeded
	}

	return h.Sealer.Open(ctx, sealed, associated) //nolint:wrapcheck // in the place of the other.
}

// A key vault that hangs over one secret holds up whoever asks first, and nobody whose key is open.
func TestASecretThatDoesNotOpenHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()

	var sealer *hanging

	v := newVault(t, func(c *identity.KeysConfig) {
		sealer = newHanging(c.Sealer)
		c.Sealer = sealer
	})
	_, good := v.mint(t, identity.Minting{})

	if _, err := v.present(t, signed(t, good, itemLink, v.clock.read())); err != nil {
		t.Fatal(err)
	}

	sealer.refuses.Store(true)
	v.mint(t, identity.Minting{Application: "second"})

	if _, err := v.present(t, signed(t, good, itemLink, v.clock.read())); err != nil {
		t.Fatal(err)
	}

	v.clock.move(time.Minute) // it is tried again
	sealer.hangs.Store(true)

	first := make(chan error, 1)

	go func() {
		_, err := v.present(t, signed(t, good, itemLink, v.clock.read()))
		first <- err
	}()

	<-sealer.asked

	others := make(chan error, 1)

	go func() {
		_, err := v.present(t, signed(t, good, itemLink, v.clock.read()))
		others <- err
	}()

	select {
	case err := <-others:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("another key's caller is held up")
	}

	close(sealer.letGo)

	if err := <-first; err != nil {
		t.Error(err)
	}
}

// While the keys are opened anew nobody can be told apart from those whose key it is, so that all wait: but not too many.
func TestKeysThatAreOpenedHoldUpNotTooManyAtOnce(t *testing.T) {
	t.Parallel()

	var sealer *hanging

	v := newVault(t, func(c *identity.KeysConfig) {
		sealer = newHanging(c.Sealer)
		c.Sealer = sealer
	})
	_, secret := v.mint(t, identity.Minting{})
	request := signed(t, secret, itemLink, v.clock.read())

	sealer.hangs.Store(true)

	const all, most = 300, 256

	answers := make(chan error, all)

	for range all {
		go func() {
			_, err := v.gate.Authenticate(context.WithoutCancel(t.Context()), identity.Credential{Scheme: identity.SchemeMasterKey, Signed: request})
			answers <- err
		}()
	}

	next := func(want any) {
		t.Helper()

		select {
		case err := <-answers:
			if got := verdictOf(t, err); got != want {
				t.Errorf("%v, want %v: %v", got, want, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no answer")
		}
	}

	for range all - most {
		next("unavailable")
	}

	if got := v.gate.Waiting(); got != most {
		t.Errorf("%d wait, want %d", got, most)
	}

	sealer.hangs.Store(false)
	close(sealer.letGo)

	for range most {
		next("accepted")
	}
}

// stuck is a key vault that does not answer about some secrets.
type stuck struct {
	identity.Sealer

	waited func()
	never  map[string]bool // sealed
	sealed []string        // as they were asked for
	plain  [][]byte
}

func (s *stuck) Open(ctx context.Context, sealed, associated []byte) ([]byte, error) {
	if s.never[string(sealed)] && ctx.Err() == nil {
		<-ctx.Done()
		s.waited()
	}

	if err := ctx.Err(); err != nil {
		return nil, err //nolint:wrapcheck // in the place of the other.
	}

	plain, err := s.Sealer.Open(ctx, sealed, associated)
	s.sealed, s.plain = append(s.sealed, string(sealed)), append(s.plain, plain)

	return plain, err //nolint:wrapcheck // in the place of the other.
}

// Secrets over which a key vault hangs take turns with those that open, also after a start, when no key is open yet.
func TestASecretThatHangsKeepsNoOtherFromBeingOpened(t *testing.T) {
	t.Parallel()

	for _, byHost := range []bool{false, true} {
		t.Run(fmt.Sprintf("by host %t", byHost), func(t *testing.T) {
			t.Parallel()
			aSecretThatHangs(t, byHost)
		})
	}
}

func aSecretThatHangs(t *testing.T, byHost bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sealer := &stuck{}
		v := newVault(t, func(c *identity.KeysConfig) {
			sealer.Sealer = c.Sealer
			c.Sealer, c.ByHost = sealer, byHost
		})
		sealer.waited = func() { v.clock.move(10 * time.Second) }

		ids := map[string]string{} // by secret

		for _, application := range []string{legacy, legacy, "second"} {
			key, secret := v.mint(t, identity.Minting{Application: application})
			ids[secret] = key.ID
		}

		sealer.sealed, sealer.plain = nil, nil

		v.build(t)
		v.keys.List(t.Context())

		if len(sealer.sealed) != 3 {
			t.Fatalf("%d secrets were opened", len(sealer.sealed))
		}

		last := base64.StdEncoding.EncodeToString(sealer.plain[2])
		sealer.never = map[string]bool{sealer.sealed[0]: true, sealer.sealed[1]: true}

		v.build(t)

		var err error

		for range 3 {
			request := signed(t, last, itemLink, v.clock.read())
			request.KeyID = ids[last]

			_, err = v.present(t, request)
			if got := verdictOf(t, err); got != "accepted" && got != "unavailable" {
				t.Errorf("a key that nobody had the time to open is %v", got)
			}
		}

		if err != nil {
			t.Errorf("a key whose secret opens: %v", err)
		}
	})
}

// However many wait for keys that a key vault hangs over, they wait for it once, and not one after the other.
func TestThoseWhoWaitForAKeyVaultWaitTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sealer := &stuck{never: map[string]bool{}}
		v := newVault(t, func(c *identity.KeysConfig) {
			sealer.Sealer = c.Sealer
			c.Sealer = sealer
		})
		sealer.waited = func() { v.clock.move(10 * time.Second) }

		for _, application := range []string{legacy, legacy, "second"} {
			v.mint(t, identity.Minting{Application: application})
		}

		sealer.sealed = nil

		v.build(t)
		v.keys.List(t.Context())

		for _, sealed := range sealer.sealed {
			sealer.never[sealed] = true
		}

		v.build(t)

		request := signed(t, base64.StdEncoding.EncodeToString(make([]byte, 64)), itemLink, v.clock.read())
		began := time.Now()

		var waiting sync.WaitGroup

		for range 20 {
			waiting.Go(func() {
				_, _ = v.gate.Authenticate(t.Context(), identity.Credential{Scheme: identity.SchemeMasterKey, Signed: request})
			})
		}

		waiting.Wait()

		// Whoever comes after the first answer may be the one who tries another secret.
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("they waited %v", took)
		}
	})
}

// A change of other keys is no reason to ask a key vault again about a secret that did not open a moment ago.
func TestASecretThatDidNotOpenIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()

	var sealer *counting

	v := newVault(t, func(c *identity.KeysConfig) {
		sealer = &counting{Sealer: c.Sealer}
		c.Sealer = sealer
	})
	sealer.refuses = true

	_, secret := v.mint(t, identity.Minting{})
	show := func() { _, _ = v.present(t, signed(t, secret, itemLink, v.clock.read())) }

	show()
	sealer.refuses = false
	v.mint(t, identity.Minting{Application: "second"})
	show()

	if sealer.opened != 2 {
		t.Errorf("secrets were asked for %d times, want once each", sealer.opened)
	}

	v.clock.move(10 * time.Second)

	if _, err := v.present(t, signed(t, secret, itemLink, v.clock.read())); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

// counting is a sealer that counts.
type counting struct {
	identity.Sealer

	opened  int
	refuses bool
}

func (c *counting) Open(ctx context.Context, sealed, associated []byte) ([]byte, error) {
	c.opened++

	if c.refuses {
		return nil, context.DeadlineExceeded
	}

	return c.Sealer.Open(ctx, sealed, associated) //nolint:wrapcheck // in the place of the other.
}
