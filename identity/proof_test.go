package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/identity"
)

const itemURL = "https://gate.example/dbs/d/colls/c/docs/a%2fb"

// holder is a client with a key of its own.
type holder struct{ signer }

func newHolder(tb testing.TB) holder { tb.Helper(); return holder{newSigner(tb, "")} }

func (h holder) thumbprint(tb testing.TB) string {
	tb.Helper()

	key := jose.JSONWebKey{Key: h.key.Public()}

	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		tb.Fatal(err)
	}

	return base64.RawURLEncoding.EncodeToString(sum)
}

// prove makes a proof for a request with a token; header and claims are changed as told.
func (h holder) prove(tb testing.TB, token string, header, changes object) string {
	tb.Helper()

	sum := sha256.Sum256([]byte(token))
	claims := object{
		"jti": rand.Text(), "htm": "GET", "htu": itemURL, "iat": time.Now().Unix(),
		"ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	headers := object{"kid": nil, "typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: h.key.Public()}}.with(header)

	return h.sign(tb, headers, claims.with(changes))
}

func selfSigned(tb testing.TB) *x509.Certificate {
	tb.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}

	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}

	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}

	return certificate
}

// binding is a world whose tokens may be bound, and two clients.
type binding struct {
	*world

	owner, thief holder
	token        string
	nonces       *identity.Nonces
}

func newBinding(t *testing.T, withNonce bool) *binding {
	t.Helper()

	b := &binding{world: newWorld(t), owner: newHolder(t), thief: newHolder(t)}
	config := identity.ProofConfig{Spend: identity.NewMemory(time.Now).Spend, Clock: time.Now}

	var err error

	if withNonce {
		if b.nonces, err = identity.NewNonces(rand.Reader, time.Now); err != nil {
			t.Fatal(err)
		}

		config.Nonces = b.nonces
	}

	if b.config.Proofs, err = identity.NewProofVerifier(config); err != nil {
		t.Fatal(err)
	}

	b.start(t)
	b.token = b.signer.sign(t, nil, b.person().with(object{"cnf": object{"jkt": b.owner.thumbprint(t)}}))

	return b
}

func (b *binding) present(t *testing.T, token string, proof identity.Proof) error {
	t.Helper()

	proof.Method, proof.URL = "GET", itemURL
	_, err := b.gate.Authenticate(t.Context(), identity.Credential{Scheme: identity.SchemeToken, Token: token, Proof: proof})

	return err
}

func TestABoundTokenNeedsAProofOfThisRequest(t *testing.T) {
	t.Parallel()

	changed := func(changes object) func(*testing.T, *binding) string {
		return func(t *testing.T, b *binding) string { t.Helper(); return b.owner.prove(t, b.token, nil, changes) }
	}
	aged := func(by time.Duration) func(*testing.T, *binding) string {
		return func(t *testing.T, b *binding) string {
			t.Helper()

			return b.owner.prove(t, b.token, nil, object{"iat": time.Now().Add(by).Unix()})
		}
	}
	header := func(changes object) func(*testing.T, *binding) string {
		return func(t *testing.T, b *binding) string { t.Helper(); return b.owner.prove(t, b.token, changes, nil) }
	}

	for _, row := range []struct {
		name  string
		proof func(*testing.T, *binding) string
		want  any
	}{
		{"as it should be", changed(nil), "accepted"},
		{"htu in another spelling", changed(object{"htu": "HTTPS://Gate.Example:443/dbs/%64/colls/c/docs/a%2Fb?x#y"}), "accepted"},
		{"at the edge of its minute", aged(-59 * time.Second), "accepted"},
		{"none", func(*testing.T, *binding) string { return "" }, 5009},
		{"another's key", func(t *testing.T, b *binding) string { t.Helper(); return b.thief.prove(t, b.token, nil, nil) }, 5009},
		{"another's key in the header", func(t *testing.T, b *binding) string {
			t.Helper()

			return b.thief.prove(t, b.token, object{"jwk": jose.JSONWebKey{Key: b.owner.key.Public()}}, nil)
		}, 5004},
		{"another method", changed(object{"htm": "DELETE"}), 5009},
		{"method in lower case", changed(object{"htm": "get"}), 5009},
		{"another path", changed(object{"htu": "https://gate.example/dbs/d/colls/c/docs/z"}), 5009},
		{"a path with a real slash", changed(object{"htu": "https://gate.example/dbs/d/colls/c/docs/a/b"}), 5009},
		{"another host", changed(object{"htu": strings.Replace(itemURL, "gate", "evil", 1)}), 5009},
		{"user in the host", changed(object{"htu": strings.Replace(itemURL, "gate", "x@gate", 1)}), 5009},
		{"plain http", changed(object{"htu": strings.Replace(itemURL, "https", "http", 1)}), 5009},
		{"no htu", changed(object{"htu": nil}), 5009},
		{"another token", func(t *testing.T, b *binding) string { t.Helper(); return b.owner.prove(t, b.token+"x", nil, nil) }, 5009},
		{"no ath", changed(object{"ath": nil}), 5009},
		{"old", aged(-2 * time.Minute), 5009},
		{"from the future", aged(2 * time.Minute), 5009},
		{"no iat", changed(object{"iat": nil}), 5009},
		{"no jti", changed(object{"jti": nil}), 5009},
		{"a jti of 300 bytes", changed(object{"jti": strings.Repeat("j", 300)}), 5009},
		{"typ of an access token", header(object{"typ": "at+jwt"}), 5009},
		{"no typ", header(object{"typ": nil}), 5009},
		{"no key", header(object{"jwk": nil}), 5009},
		{"a private key", func(t *testing.T, b *binding) string {
			t.Helper()

			return b.owner.prove(t, b.token, object{"jwk": jose.JSONWebKey{Key: b.owner.key}}, nil)
		}, 5009},
		{"a critical extension", header(object{"crit": []string{"x"}, "x": 1}), 5004},
		{"9 KB", changed(object{"padding": strings.Repeat("p", 9<<10)}), 5009},
		{"two tokens in one", func(t *testing.T, b *binding) string {
			t.Helper()

			return b.owner.prove(t, b.token, nil, nil) + "." + b.owner.prove(t, b.token, nil, nil)
		}, 5009},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBinding(t, false)
				err := b.present(t, b.token, identity.Proof{DPoP: row.proof(t, b)})

				if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
			})
		})
	}
}

func TestAProofIsGoodOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBinding(t, false)
		proof := identity.Proof{DPoP: b.owner.prove(t, b.token, nil, nil)}

		if err := b.present(t, b.token, proof); err != nil {
			t.Fatal(err)
		}

		for range 5 { // through every turn of the memory
			if err := b.present(t, b.token, proof); verdictOf(t, err) != 5009 {
				t.Errorf("got %v", err)
			}

			time.Sleep(50 * time.Second)
		}
	})
}

func TestServerNoncesAreDemandedAndTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBinding(t, true)

		err := b.present(t, b.token, identity.Proof{DPoP: b.owner.prove(t, b.token, nil, nil)})

		var refusal *identity.Error
		if !errors.As(err, &refusal) || refusal.Nonce == "" {
			t.Fatalf("got %v, want a nonce", err)
		}

		with := func(nonce string) error {
			return b.present(t, b.token, identity.Proof{DPoP: b.owner.prove(t, b.token, nil, object{"nonce": nonce})})
		}

		if err := with(refusal.Nonce); err != nil {
			t.Errorf("with the nonce: %v", err)
		}

		foreign, err := identity.NewNonces(rand.Reader, time.Now)
		if err != nil {
			t.Fatal(err)
		}

		if with(foreign.Next()) == nil {
			t.Error("accepted the nonce of another process")
		}

		time.Sleep(6 * time.Minute)

		if with(refusal.Nonce) == nil {
			t.Error("accepted a nonce of six minutes ago")
		}

		if err := with(b.nonces.Next()); err != nil {
			t.Errorf("with a new nonce: %v", err)
		}
	})
}

func TestBoundToACertificate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBinding(t, false)
		mine, others := selfSigned(t), selfSigned(t)
		token := b.signer.sign(t, nil, b.person().with(object{"cnf": object{"x5t#S256": identity.CertificateThumbprint(mine)}}))
		both := b.signer.sign(t, nil, b.person().with(object{"cnf": object{
			"x5t#S256": identity.CertificateThumbprint(mine), "jkt": b.owner.thumbprint(t),
		}}))

		for _, row := range []struct {
			name, token string
			proof       identity.Proof
			want        any
		}{
			{"with it", token, identity.Proof{Certificate: mine}, "accepted"},
			{"without one", token, identity.Proof{}, 5009},
			{"with another", token, identity.Proof{Certificate: others}, 5009},
			{"with a DPoP proof instead", token, identity.Proof{DPoP: b.owner.prove(t, token, nil, nil)}, 5009},
			{"bound twice, with both", both, identity.Proof{Certificate: mine, DPoP: b.owner.prove(t, both, nil, nil)}, "accepted"},
			{"bound twice, with one", both, identity.Proof{Certificate: mine}, 5009},
			{"several proofs", b.token, identity.Proof{DPoP: b.owner.prove(t, b.token, nil, nil), Several: true}, 5009},
		} {
			if diff := cmp.Diff(row.want, verdictOf(t, b.present(t, row.token, row.proof))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", row.name, diff)
			}
		}
	})
}

func TestBindingsThatAreNotKnownAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBinding(t, false)
		jkt := b.owner.thumbprint(t)

		for name, cnf := range map[string]any{
			"empty": object{}, "no object": jkt, "null": json.RawMessage("null"), "another method": object{"kid": "k"},
			"one known, one not": object{"jkt": jkt, "kid": "k"}, "number": object{"jkt": 1}, "short": object{"jkt": "AAAA"},
			"padded": object{"jkt": jkt + "="},
		} {
			token := b.signer.sign(t, nil, b.person().with(object{"cnf": cnf}))

			err := b.present(t, token, identity.Proof{DPoP: b.owner.prove(t, token, nil, nil)})
			if verdictOf(t, err) != 5009 {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

func TestProofsAtATokenEndpoint(t *testing.T) {
	t.Parallel()

	h := newHolder(t)

	once, err := identity.NewOnce(newHouse(t), time.Now)
	if err != nil {
		t.Fatal(err)
	}

	v, err := identity.NewProofVerifier(identity.ProofConfig{Spend: once.Spend, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}

	proof := &identity.Proof{Method: "GET", URL: itemURL, DPoP: h.prove(t, "", nil, object{"ath": nil})}

	got, err := v.Thumbprint(t.Context(), "", proof)
	if err != nil || got != h.thumbprint(t) {
		t.Errorf("got %q, %v", got, err)
	}

	if _, err := v.Thumbprint(t.Context(), "", proof); verdictOf(t, err) != 5009 {
		t.Errorf("a replay: %v", err)
	}

	proof.DPoP = h.prove(t, "some token", nil, nil)
	if _, err := v.Thumbprint(t.Context(), "", proof); verdictOf(t, err) != 5009 {
		t.Errorf("with ath of a token that is not there: %v", err)
	}
}

func FuzzProof(f *testing.F) {
	v, err := identity.NewProofVerifier(identity.ProofConfig{Spend: identity.NewMemory(time.Now).Spend, Clock: time.Now})
	if err != nil {
		f.Fatal(err)
	}

	// Fuzzing runs in several processes: all must know the same key.
	h := holder{signer{alg: jose.EdDSA, key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}}
	f.Add(h.prove(f, "token", nil, nil), itemURL)
	f.Add("e30.e30.e30", "https://x/%")
	f.Add("", "")

	f.Fuzz(func(t *testing.T, proof, url string) {
		first, err := v.Thumbprint(t.Context(), "token", &identity.Proof{DPoP: proof, Method: "GET", URL: url})
		if err == nil && first != h.thumbprint(t) {
			t.Fatal("a proof that nobody made")
		}

		var refusal *identity.Error
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("%T", err)
		}
	})
}

func BenchmarkProof(b *testing.B) {
	h := newHolder(b)
	v, err := identity.NewProofVerifier(identity.ProofConfig{
		Spend: identity.NewMemory(time.Now).Spend, Clock: time.Now,
	})

	if err != nil {
		b.Fatal(err)
	}

	proofs := make([]string, 2000)
	for i := range proofs {
		proofs[i] = h.prove(b, "token", nil, nil)
	}

	b.ReportAllocs()

	for i := 0; b.Loop(); i++ {
		// A replay costs as much as a proof: it is found out last.
		_, _ = v.Thumbprint(b.Context(), "token", &identity.Proof{DPoP: proofs[i%len(proofs)], Method: "GET", URL: itemURL})
	}
}
