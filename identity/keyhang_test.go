package identity_test

import (
	"context"
	"sync/atomic"
	"testing"
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

	sealer.hangs.Store(false)
	close(sealer.letGo)

	for range most {
		next("accepted")
	}
}
