package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

// running starts w's authenticator outside a bubble and waits for its keys.
func (w *world) running(tb testing.TB) *world {
	tb.Helper()

	gate, err := identity.New(w.config)
	if err != nil {
		tb.Fatal(err)
	}

	w.gate = gate

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})

	go func() {
		defer close(done)

		_ = gate.Run(ctx)
	}()

	tb.Cleanup(func() {
		cancel()
		<-done
	})

	for gate.Ready() != nil {
		time.Sleep(time.Millisecond)
	}

	return w
}

// checkRefusal wants an error that the edge can translate.
func checkRefusal(t *testing.T, err error) {
	t.Helper()

	var refusal *identity.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("%v (%T) is not an identity.Error", err, err)
	}

	switch refusal.Substatus {
	case 5001, 5004, 5006, 5008, 5009, 5013:
	default:
		t.Fatalf("substatus %d for %v", refusal.Substatus, err)
	}

	if refusal.Unavailable || refusal.Reason == "" {
		t.Fatalf("refusal without a reason, or unavailable: %+v", refusal)
	}
}

// FuzzToken feeds whole tokens: nothing that was not signed by the issuer is ever accepted.
func FuzzToken(f *testing.F) {
	w := newWorld(f).running(f)
	honest := w.signer.sign(f, nil, w.person())

	for _, seed := range []string{
		honest, "", ".", "..", "a.b.c", honest + "=", strings.ReplaceAll(honest, "-", "+"),
		encode(`{"alg":"none","kid":"k1","typ":"at+jwt"}`) + "." + encode(`{"iss":"`+corpURL+`"}`) + ".AA",
		encode(`{"alg":"ES256","kid":"k1","jwk":{"kty":"oct","k":"AA"}}`) + "." + encode(`{}`) + ".AA",
		encode(`{"alg":"ES256","kid":"k1","x5c":["AA"],"crit":["b64"],"b64":false}`) + "." + encode(`[]`) + ".AA",
	} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, raw string) {
		_, err := w.gate.Authenticate(t.Context(), credential(raw))
		if err == nil {
			if raw != honest {
				t.Fatal("a token that nobody signed was accepted")
			}

			return
		}

		checkRefusal(t, err)
	})
}

// FuzzClaims signs arbitrary payloads with the issuer's key: what is accepted satisfies every rule.
func FuzzClaims(f *testing.F) {
	w := newWorld(f).running(f)

	for _, claims := range []object{
		w.person(), w.application(), {}, w.person().with(object{"exp": 1e300}), w.person().with(object{"aud": []any{1, nil}}),
		w.person().with(object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "x"}}}),
	} {
		payload, err := json.Marshal(claims)
		if err != nil {
			f.Fatal(err)
		}

		f.Add(payload)
	}

	f.Fuzz(func(t *testing.T, payload []byte) {
		before := time.Now()

		p, err := w.gate.Authenticate(t.Context(), credential(w.signer.signBytes(t, nil, payload)))
		if err != nil {
			checkRefusal(t, err)

			return
		}

		if !json.Valid(payload) {
			t.Fatalf("accepted what is not JSON: %q", payload)
		}

		fresh := p.Expiry.After(before.Add(-time.Minute)) && p.Expiry.Sub(p.IssuedAt) <= 25*time.Hour
		person := p.Kind == identity.KindPerson && p.Client == corpClient && p.Record == ann().ID && p.Subject == annSubject
		application := p.Kind == identity.KindApplication && p.Client == "checkout" && p.Subject == "checkout"

		if p.Issuer != corpURL || !fresh || person == application {
			t.Fatalf("accepted %s as %+v", payload, p)
		}
	})
}

// FuzzKeyDocument feeds key documents: whatever comes, few keys.
func FuzzKeyDocument(f *testing.F) {
	honest, err := json.Marshal(object{"keys": []any{newSigner(f, "k1").public(), newRSASigner("k2").public()}})
	if err != nil {
		f.Fatal(err)
	}

	for _, seed := range []string{
		string(honest), "", "null", "{}", `{"keys":{}}`, `{"keys":[null,1,{}]}`, `{"keys":[{"kty":"oct","k":"AA","kid":"a"}]}`,
		`{"keys":[{"kty":"RSA","n":"","e":"AQAB","kid":"a"}]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"a"}]}`,
	} {
		f.Add([]byte(seed))
	}

	f.Fuzz(func(t *testing.T, document []byte) {
		total, most, err := identity.CountKeys(document)
		if total > 100 || most > 4 || (err != nil && total > 0) {
			t.Fatalf("%d keys, %d under one kid, error %v", total, most, err)
		}
	})
}
