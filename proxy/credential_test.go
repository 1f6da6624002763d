package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// desk keeps the credentials that an authenticator was shown.
type desk struct {
	mu    sync.Mutex
	shown []identity.Credential
}

func (d *desk) authenticate(ctx context.Context, c identity.Credential) (identity.Principal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shown = append(d.shown, c)
	p, err := ann(ctx, c)
	p.KeyID = c.Signed.KeyID
	return p, err
}

func (d *desk) last(t *testing.T) identity.Credential {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.shown) == 0 {
		t.Fatal("nobody was asked")
	}
	return d.shown[len(d.shown)-1]
}

const (
	masterKey = "type%3dmaster%26ver%3d1.0%26sig%3d5mDuQBYA0kb70WDJoTUzSBMTG3owkC0%2fcEN4fqa18%2fs%3d"
	signature = "5mDuQBYA0kb70WDJoTUzSBMTG3owkC0/cEN4fqa18/s="
	sentDate  = "Thu, 27 Apr 2017 00:51:12 GMT"
)

func TestAKeysSignatureIsShownWithTheTupleThatIsForwarded(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, method, path string
		want               identity.SignedRequest
	}{
		{"an item", "GET", "/dbs/shop/colls/orders/docs/a%20b", identity.SignedRequest{
			Verb: "GET", ResourceType: "docs", Links: []string{"dbs/shop/colls/orders/docs/a b", "dbs/shop/colls/orders/docs/a%20b"},
		}},
		{"keywords in capitals, doubled slashes", "GET", "//DBS/shop/colls/orders/DOCS/1/", identity.SignedRequest{
			Verb: "GET", ResourceType: "docs", Links: []string{"dbs/shop/colls/orders/docs/1"},
		}},
		{"a feed", "GET", "/dbs/shop/colls/orders/docs", identity.SignedRequest{
			Verb: "GET", ResourceType: "docs", Links: []string{"dbs/shop/colls/orders"},
		}},
		{"the account", "GET", "/", identity.SignedRequest{Verb: "GET", Links: []string{""}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var d desk
			g := newGate(t, setup{authenticate: d.authenticate})
			g.do(request(t, row.method, row.path, "", "Authorization", masterKey, "X-Ms-Date", sentDate))
			row.want.Signature, row.want.Date = signature, sentDate
			got := d.last(t)
			if diff := cmp.Diff(row.want, got.Signed, cmpopts.IgnoreFields(identity.SignedRequest{}, "Source")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.Scheme != identity.SchemeMasterKey || !got.Signed.Source.IsLoopback() {
				t.Errorf("scheme %v from %v", got.Scheme, got.Signed.Source)
			}
		})
	}
}

func TestSeveralDatesAreNone(t *testing.T) {
	t.Parallel()
	var d desk
	g := newGate(t, setup{authenticate: d.authenticate})
	r := request(t, "GET", "/dbs/shop", "", "Authorization", masterKey)
	r.Header["X-Ms-Date"] = []string{sentDate, sentDate}
	g.do(r)
	if date := d.last(t).Signed.Date; date != "" {
		t.Errorf("got %q", date)
	}
}

func TestAKeysHostNameSaysWhichKeyAndIsPublishedAgain(t *testing.T) {
	t.Parallel()
	var d desk
	g := newGate(t, setup{authenticate: d.authenticate, edit: func(c *proxy.Config) { c.KeyHosts = true }})
	ask := func(host, authorization string) reply {
		r := request(t, "GET", "/", "", "Authorization", authorization, "X-Ms-Date", sentDate)
		r.Host = host
		return g.do(r)
	}

	answer := ask("ABC234.keys."+publicHost, masterKey)
	if id := d.last(t).Signed.KeyID; id != "abc234" {
		t.Errorf("key %q", id)
	}
	if got := locations(t, answer); !cmp.Equal(got, []string{"https://abc234.keys." + publicHost + "/", "https://abc234.keys." + publicHost + "/"}) {
		t.Errorf("locations %v", got)
	}
	if got := locations(t, ask(publicHost, masterKey)); !cmp.Equal(got, []string{publicURL, publicURL}) {
		t.Errorf("without a key's name: %v", got)
	}
	if got := ask("abc234.keys."+publicHost, "Bearer "+callerToken); got.Status != http.StatusUnauthorized || got.Header.Get("X-Ms-Substatus") != "5001" {
		t.Errorf("a token at a key's name: %d %s", got.Status, got.Header.Get("X-Ms-Substatus"))
	}
	for _, host := range []string{"a.b.keys." + publicHost, ".keys." + publicHost, "abc.keys.elsewhere.example", "abc." + publicHost} {
		if got := ask(host, masterKey); got.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", host, got.Status)
		}
	}
}

func TestWithoutKeyHostsSuchNamesBelongToNobody(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	r := request(t, "GET", "/", "")
	r.Host = "abc234.keys." + publicHost
	if got := g.do(r); got.Status != http.StatusBadRequest {
		t.Errorf("got %d", got.Status)
	}
}

func locations(t *testing.T, answer reply) []string {
	t.Helper()
	type location struct {
		Endpoint string `json:"databaseAccountEndpoint"`
	}
	var document struct {
		Writable []location `json:"writableLocations"`
		Readable []location `json:"readableLocations"`
	}
	if err := json.Unmarshal([]byte(answer.Body), &document); err != nil {
		t.Fatalf("%d %s: %v", answer.Status, answer.Body, err)
	}
	var all []string
	for _, l := range append(document.Writable, document.Readable...) {
		all = append(all, l.Endpoint)
	}
	return all
}

func TestProofsAreShownWithTheRequest(t *testing.T) {
	t.Parallel()
	var d desk
	g := newGate(t, setup{authenticate: d.authenticate})
	const path = "/dbs/shop/colls/orders/docs/a%2Fb"
	g.do(request(t, "GET", path, "", "Authorization", "DPoP "+callerToken, "Dpop", "a.b.c", "X-Ms-Documentdb-Partitionkey", `["emea"]`))
	want := identity.Credential{
		Scheme: identity.SchemeToken, Token: callerToken,
		Proof: identity.Proof{DPoP: "a.b.c", Method: "GET", URL: "https://" + publicHost + path},
	}
	if diff := cmp.Diff(want, d.last(t), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, up := range g.service.seen() {
		if up.Header.Get("Dpop") != "" {
			t.Error("the proof went upstream")
		}
	}

	r := request(t, "GET", path, "", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
	r.Header["Dpop"] = []string{"a.b.c", "d.e.f"}
	g.do(r)
	if !d.last(t).Proof.Several {
		t.Error("two proofs passed for one")
	}
}

func TestTheClientsCertificateIsShown(t *testing.T) {
	t.Parallel()
	var d desk
	g := newGate(t, setup{authenticate: d.authenticate})
	certificate := &x509.Certificate{Raw: []byte("der")}
	r := request(t, "GET", "/", "")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate, {}}}
	g.proxy.ServeHTTP(httptest.NewRecorder(), r)
	if d.last(t).Proof.Certificate != certificate {
		t.Error("another certificate, or none")
	}
}

func TestAMissingNonceIsTold(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{authenticate: func(context.Context, identity.Credential) (identity.Principal, error) {
		return identity.Principal{}, &identity.Error{Substatus: identity.SubstatusScope, Reason: "no nonce", Nonce: "n-1"}
	}})
	got := g.get()
	if got.Status != http.StatusUnauthorized || got.Header.Get("Dpop-Nonce") != "n-1" || got.Header.Get("Www-Authenticate") != `DPoP error="use_dpop_nonce"` {
		t.Errorf("%d %v", got.Status, got.Header)
	}
}
