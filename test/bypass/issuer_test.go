package bypass_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	issuerURL = "https://login.corp.example/dev"
	audience  = "api://cosmosgate"
	frontEnd  = "cosmosgate-cli"
)

// issuer signs whatever a row asks for: a token provider with manners could not.
type issuer struct {
	key, stranger *ecdsa.PrivateKey
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	is := new(issuer)
	for _, key := range []**ecdsa.PrivateKey{&is.key, &is.stranger} {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		*key = made
	}
	return is
}

// RoundTrip serves discovery and keys, so that the authenticator needs no network.
func (is *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	var document any = map[string]any{"issuer": issuerURL, "jwks_uri": issuerURL + "/keys"}
	if strings.HasSuffix(r.URL.Path, "/keys") {
		document = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: is.key.Public(), KeyID: "k1", Use: "sig"}}}
	}
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(text)), Request: r,
	}, nil
}

type object map[string]any

// person is a token of somebody, application one of a program.
func (is *issuer) person(t testing.TB, name string) string { return is.sign(t, nil, claimsOf(name)) }

func (is *issuer) application(t testing.TB, name string) string {
	return is.sign(t, nil, object{"sub": name, "oid": nil, "azp": nil, "client_id": name})
}

func claimsOf(name string) object { return object{"sub": "oid-" + name, "oid": "oid-" + name} }

// sign makes a good token of nobody and applies the changes; nil removes a member.
func (is *issuer) sign(t testing.TB, header, claims object) string {
	t.Helper()
	return is.signBy(t, is.key, header, claims)
}

func (is *issuer) signBy(t testing.TB, key *ecdsa.PrivateKey, header, claims object) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options(header))
	if err != nil {
		t.Fatal(err)
	}
	return compact(t, signer, claims)
}

func options(header object) *jose.SignerOptions {
	o := new(jose.SignerOptions)
	for name, value := range changed(object{"kid": "k1", "typ": "at+jwt"}, header) {
		o.WithHeader(jose.HeaderKey(name), value)
	}
	return o
}

func payload(t testing.TB, claims object) []byte {
	t.Helper()
	now := time.Now()
	text, err := json.Marshal(changed(object{
		"iss": issuerURL, "aud": audience, "sub": "oid-nobody", "oid": "oid-nobody", "azp": frontEnd,
		"client_id": frontEnd, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "t1",
	}, claims))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func compact(t testing.TB, signer jose.Signer, claims object) string {
	t.Helper()
	signed, err := signer.Sign(payload(t, claims))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func changed(o, changes object) object {
	made := maps.Clone(o)
	for name, value := range changes {
		if value == nil {
			delete(made, name)
		} else {
			made[name] = value
		}
	}
	return made
}

// forged are the tokens that no gate may take, all in the name of bob, who may write.
func (is *issuer) forged(t testing.TB) map[string]string {
	t.Helper()
	bob := claimsOf("bob")
	with := func(changes object) object {
		merged := maps.Clone(bob)
		maps.Copy(merged, changes)
		return merged
	}
	now := time.Now()
	public, err := is.key.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	symmetric, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: public.Bytes()}, options(nil))
	if err != nil {
		t.Fatal(err)
	}
	good := is.sign(t, nil, bob)
	parts := strings.Split(good, ".")
	embedded := jose.JSONWebKey{Key: is.stranger.Public(), KeyID: "k1"}
	encoded := base64.RawURLEncoding.EncodeToString
	return map[string]string{
		"bob":             good,
		"none":            encoded([]byte(`{"alg":"none","kid":"k1","typ":"at+jwt"}`)) + "." + encoded(payload(t, bob)) + ".",
		"none-signed":     encoded([]byte(`{"alg":"none","kid":"k1","typ":"at+jwt"}`)) + "." + encoded(payload(t, bob)) + "." + parts[2],
		"hs256":           compact(t, symmetric, bob),
		"stranger":        is.signBy(t, is.stranger, nil, bob),
		"embedded-key":    is.signBy(t, is.stranger, object{"jwk": embedded}, bob),
		"key-url":         is.signBy(t, is.stranger, object{"jku": "https://evil.example/keys"}, bob),
		"unknown-kid":     is.signBy(t, is.stranger, object{"kid": "k2"}, bob),
		"no-kid":          is.sign(t, object{"kid": nil}, bob),
		"critical":        is.sign(t, object{"crit": []string{"exp"}, "exp": 1}, bob),
		"other-issuer":    is.sign(t, nil, with(object{"iss": "https://login.evil.example"})),
		"issuer-slash":    is.sign(t, nil, with(object{"iss": issuerURL + "/"})),
		"other-audience":  is.sign(t, nil, with(object{"aud": "api://elsewhere"})),
		"audience-case":   is.sign(t, nil, with(object{"aud": "API://COSMOSGATE"})),
		"cosmos-audience": is.sign(t, nil, with(object{"aud": "https://cosmos.azure.com"})),
		"account-aud":     is.sign(t, nil, with(object{"aud": "https://secret-account.documents.azure.test"})),
		"no-audience":     is.sign(t, nil, with(object{"aud": nil})),
		"expired":         is.sign(t, nil, with(object{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-time.Hour).Unix()})),
		"no-expiry":       is.sign(t, nil, with(object{"exp": nil})),
		"ten-years":       is.sign(t, nil, with(object{"exp": now.AddDate(10, 0, 0).Unix()})),
		"not-yet":         is.sign(t, nil, with(object{"nbf": now.Add(time.Hour).Unix()})),
		"id-token":        is.sign(t, object{"typ": "JWT"}, with(object{"aud": frontEnd, "nonce": "n"})),
		"id-token-ours":   is.sign(t, object{"typ": "JWT"}, with(object{"nonce": "n", "at_hash": "h"})),
		"logout-token":    is.sign(t, object{"typ": "logout+jwt"}, with(object{"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}})),
		"other-client":    is.sign(t, nil, with(object{"azp": "stranger", "client_id": "stranger"})),
		"no-subject":      is.sign(t, nil, object{"oid": nil, "sub": "x"}),
		"name-not-id":     is.sign(t, nil, object{"oid": "bob", "preferred_username": "bob"}),
		"bound":           is.sign(t, nil, with(object{"cnf": object{"jkt": "thumb"}})),
		"tampered":        parts[0] + "." + encoded(payload(t, claimsOf("olga"))) + "." + parts[2],
		"two-parts":       parts[0] + "." + parts[1],
		"five-parts":      good + ".x.y",
		"padded":          good + "=",
		"unused-bits":     parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + lastBitFlipped(parts[2]),
		"huge":            is.sign(t, nil, with(object{"filler": strings.Repeat("x", 17<<10)})),
		"dan":             is.person(t, "dan"),
		"actor":           is.sign(t, nil, with(object{"act": object{"sub": "agent"}})),
		"details":         is.sign(t, nil, with(object{"authorization_details": []object{{"type": "cosmos"}}})),
	}
}

// lastBitFlipped spells the same signature differently.
func lastBitFlipped(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	at := strings.IndexByte(alphabet, signature[len(signature)-1])
	return string(alphabet[at^1])
}
