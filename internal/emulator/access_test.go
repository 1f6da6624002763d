package emulator_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

const issuer = "https://login.example/tenant"

// tokens signs tokens as an issuer does.
type tokens struct {
	key *ecdsa.PrivateKey
	id  string
}

func newTokens(t *testing.T, id string) tokens {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return tokens{key, id}
}

func (k tokens) set() *jose.JSONWebKeySet {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &k.key.PublicKey, KeyID: k.id, Algorithm: "ES256", Use: "sig"}}}
}

func (k tokens) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.key, KeyID: k.id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withIssuer is a stand that believes one issuer, and a function that signs tokens for principals.
func withIssuer(t *testing.T) (*stand, func(oid string, change ...any) string) {
	t.Helper()
	keys := newTokens(t, "k1")
	s := newStand(t, func(c *emulator.Config) {
		c.Issuer = issuer
		c.Keys = func(context.Context, string) (*jose.JSONWebKeySet, error) { return keys.set(), nil }
	})
	return s, func(oid string, change ...any) string {
		now := s.clock.Now().Unix()
		claims := map[string]any{"iss": issuer, "aud": emulator.CosmosAudience, "oid": oid, "exp": now + 3600, "nbf": now, "iat": now}
		for i := 0; i+1 < len(change); i += 2 {
			name, _ := change[i].(string)
			claims[name] = change[i+1]
		}
		return keys.sign(t, claims)
	}
}

func assign(t *testing.T, s *stand, principal, role, scope string) {
	t.Helper()
	if err := s.AssignRole(emulator.RoleAssignment{PrincipalID: principal, RoleID: role, Scope: scope}); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyGoodTokensAreBelieved(t *testing.T) {
	t.Parallel()
	s, token := withIssuer(t)
	assign(t, s, "ann", emulator.BuiltInDataContributor, "/")
	other := newTokens(t, "k1")
	now := s.clock.Now().Unix()
	for name, row := range map[string]struct {
		header    string
		status    int
		substatus string
	}{
		"a good one":                {"type=aad&ver=1.0&sig=" + token("ann"), 200, ""},
		"a good one, encoded":       {url.QueryEscape("type=aad&ver=1.0&sig=" + token("ann")), 200, ""},
		"audience in a list":        {"type=aad&ver=1.0&sig=" + token("ann", "aud", []string{"x", emulator.CosmosAudience + "/"}), 200, ""},
		"expired":                   {"type=aad&ver=1.0&sig=" + token("ann", "exp", now), 401, "5006"},
		"not yet valid":             {"type=aad&ver=1.0&sig=" + token("ann", "nbf", now+3600), 401, "5006"},
		"without expiry":            {"type=aad&ver=1.0&sig=" + token("ann", "exp", nil), 401, "5006"},
		"of another issuer":         {"type=aad&ver=1.0&sig=" + token("ann", "iss", "https://evil.example"), 401, "5007"},
		"for another audience":      {"type=aad&ver=1.0&sig=" + token("ann", "aud", "https://graph.microsoft.com"), 401, "5008"},
		"without an audience":       {"type=aad&ver=1.0&sig=" + token("ann", "aud", nil), 401, "5008"},
		"without an object id":      {"type=aad&ver=1.0&sig=" + token("", "sub", "ann"), 401, "5001"},
		"signed by somebody else":   {"type=aad&ver=1.0&sig=" + other.sign(t, map[string]any{"iss": issuer, "aud": emulator.CosmosAudience, "oid": "ann", "exp": now + 60}), 401, "5004"},
		"unsigned":                  {"type=aad&ver=1.0&sig=" + unsignedToken(now+60), 401, "5001"},
		"no token":                  {"type=aad&ver=1.0&sig=", 401, "5001"},
		"nothing at all":            {"", 401, "5000"},
		"another scheme":            {"Bearer " + token("ann"), 401, "5001"},
		"a resource token":          {"type=resource&ver=1.0&sig=x", 401, "5001"},
		"another version":           {"type=aad&ver=2.0&sig=" + token("ann"), 401, "5001"},
		"a key that is not the one": {"type=master&ver=1.0&sig=" + base64.StdEncoding.EncodeToString([]byte("x")), 401, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := map[string]string{"X-Ms-Date": s.clock.Now().Format(http.TimeFormat)}
			if row.header != "" {
				header["Authorization"] = row.header
			}
			answer := s.do(t, call{method: "GET", path: "/dbs/shop", header: header, unsigned: true})
			if answer.Status != row.status || answer.Header.Get("X-Ms-Substatus") != row.substatus {
				t.Errorf("%d/%s, want %d/%s: %s", answer.Status, answer.Header.Get("X-Ms-Substatus"), row.status, row.substatus, answer.Body)
			}
		})
	}
}

func unsignedToken(expiry int64) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(`{"oid":"forger","exp":`+strconv.FormatInt(expiry, 10)+`}`)) + "."
}

func TestUnsignedTokensAreBelievedOnlyByOption(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *emulator.Config) { c.AllowUnsignedTokens = true })
	good := unsignedToken(s.clock.Now().Unix() + 60)
	if answer := s.do(t, call{method: "POST", path: orders, body: `{"id":"1","dep":"e"}`, header: keyed(`["e"]`), token: good}); answer.Status != http.StatusCreated {
		t.Errorf("an item: %d %s", answer.Status, answer.Body)
	}
	if answer := s.do(t, call{method: "POST", path: "/dbs", body: `{"id":"x"}`, token: good}); answer.Status != http.StatusForbidden {
		t.Errorf("a database: %d", answer.Status)
	}
	if answer := s.do(t, call{method: "GET", path: "/dbs", token: unsignedToken(s.clock.Now().Unix())}); answer.Status != http.StatusUnauthorized {
		t.Errorf("expired: %d", answer.Status)
	}
}

func TestKeySignaturesCoverVerbLinkAndDate(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.create(t, "e", "a b/c", "")
	for name, row := range map[string]struct {
		path, signed string
		late         time.Duration
		want         int
	}{
		"its own link":              {"/dbs/shop", "/dbs/shop", 0, 200},
		"an id with odd characters": {orders + "/a%20b%2Fc", orders + "/a b", 0, 401},
		"another link":              {"/dbs/shop/colls/orders", "/dbs/shop/colls/carts", 0, 401},
		"another kind":              {"/dbs/shop/colls", "/dbs/shop", 0, 401},
		"14 minutes late":           {"/dbs/shop", "/dbs/shop", -14 * time.Minute, 200},
		"16 minutes late":           {"/dbs/shop", "/dbs/shop", -16 * time.Minute, 403},
		"16 minutes early":          {"/dbs/shop", "/dbs/shop", 16 * time.Minute, 403},
	} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.URL.Path = row.signed
		sign(request, s.clock.Now().Add(row.late))
		header := map[string]string{"Authorization": request.Header.Get("Authorization"), "X-Ms-Date": request.Header.Get("X-Ms-Date"), "X-Ms-Documentdb-Partitionkey": `["e"]`}
		if answer := s.do(t, call{method: "GET", path: row.path, header: header, unsigned: true}); answer.Status != row.want {
			t.Errorf("%s: %d, want %d: %s", name, answer.Status, row.want, answer.Body)
		}
	}
	without := newStand(t, func(c *emulator.Config) { c.MasterKey = "" })
	if answer := without.do(t, call{method: "GET", path: "/"}); answer.Status != http.StatusUnauthorized || answer.Header.Get("X-Ms-Substatus") != "5202" {
		t.Errorf("without a key: %d/%s", answer.Status, answer.Header.Get("X-Ms-Substatus"))
	}
}

func TestRolesReachAsFarAsTheirScope(t *testing.T) {
	t.Parallel()
	s, token := withIssuer(t)
	for _, role := range []emulator.RoleDefinition{
		{ID: "writer", DataActions: []string{"Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create"}},
		{ID: "items", DataActions: []string{"Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/*"}},
		{ID: "querier", DataActions: []string{"Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery"}},
	} {
		if err := s.DefineRole(role); err != nil {
			t.Fatal(err)
		}
	}
	assign(t, s, "account-reader", emulator.BuiltInDataReader, "/")
	assign(t, s, "shop-contributor", emulator.BuiltInDataContributor, "/dbs/shop")
	assign(t, s, "orders-contributor", emulator.BuiltInDataContributor, "/dbs/shop/colls/orders")
	assign(t, s, "writer", "writer", "/dbs/shop/colls/orders")
	assign(t, s, "items", "items", "/dbs/shop/colls/orders")
	assign(t, s, "querier", "querier", "/dbs/shop/colls/orders")
	read := call{method: "GET", path: orders + "/none", header: keyed(`["e"]`)}
	create := func(path, id string) call {
		return call{method: "POST", path: path, body: `{"id":"` + id + `","dep":"e","tenant":"e","user":"u"}`, header: keyed(`["e"]`)}
	}
	inCarts := create(carts, "x")
	inCarts.header = keyed(`["e","u"]`)
	for name, row := range map[string]struct {
		who       string
		call      call
		status    int
		substatus string
	}{
		"reader reads":                               {"account-reader", read, 404, "0"},
		"reader lists databases":                     {"account-reader", call{method: "GET", path: "/dbs"}, 200, ""},
		"reader can't write":                         {"account-reader", create(orders, "1"), 403, "5302"},
		"database contributor writes":                {"shop-contributor", inCarts, 201, ""},
		"database contributor can't list databases":  {"shop-contributor", call{method: "GET", path: "/dbs"}, 403, "5301"},
		"database contributor reads the database":    {"shop-contributor", call{method: "GET", path: "/dbs/shop"}, 200, ""},
		"container contributor writes":               {"orders-contributor", create(orders, "2"), 201, ""},
		"container contributor not elsewhere":        {"orders-contributor", inCarts, 403, "5302"},
		"container contributor reads its container":  {"orders-contributor", call{method: "GET", path: "/dbs/shop/colls/orders"}, 200, ""},
		"container contributor not the database":     {"orders-contributor", call{method: "GET", path: "/dbs/shop"}, 403, "5301"},
		"container contributor reads its ranges":     {"orders-contributor", call{method: "GET", path: "/dbs/shop/colls/orders/pkranges"}, 200, ""},
		"creator creates":                            {"writer", create(orders, "3"), 201, ""},
		"creator can't read":                         {"writer", read, 403, "5302"},
		"creator can't upsert":                       {"writer", call{method: "POST", path: orders, body: `{"id":"4","dep":"e"}`, header: keyed(`["e"]`, "X-Ms-Documentdb-Is-Upsert", "true")}, 403, "5302"},
		"creator can't hide a delete in a batch":     {"writer", call{method: "POST", path: orders, body: `[{"operationType":"Create","resourceBody":{"id":"5","dep":"e"}},{"operationType":"Delete","id":"5"}]`, header: transactional(`["e"]`)}, 403, "5302"},
		"items wildcard deletes":                     {"items", call{method: "DELETE", path: orders + "/none", header: keyed(`["e"]`)}, 404, "0"},
		"items wildcard can't query":                 {"items", question(orders, "SELECT * FROM c", keyed(`["e"]`)), 403, "5302"},
		"query needs the change feed action as well": {"querier", question(orders, "SELECT * FROM c", keyed(`["e"]`)), 403, "5302"},
		"reader reads the change feed":               {"account-reader", call{method: "GET", path: orders, header: keyed(`["e"]`, "A-IM", "Incremental Feed")}, 200, ""},
		"nobody reads nothing":                       {"stranger", read, 403, "5302"},
		"nobody reads the account document":          {"stranger", call{method: "GET", path: "/"}, 200, ""},
		"no token creates databases":                 {"shop-contributor", call{method: "POST", path: "/dbs", body: `{"id":"x"}`}, 403, "5300"},
		"no token creates containers":                {"shop-contributor", call{method: "POST", path: "/dbs/shop/colls", body: `{"id":"x","partitionKey":{"paths":["/x"]}}`}, 403, "5300"},
		"no token deletes containers":                {"shop-contributor", call{method: "DELETE", path: "/dbs/shop/colls/orders"}, 403, "5300"},
		"no token reads offers":                      {"account-reader", call{method: "GET", path: "/offers"}, 403, "5300"},
		"no token reads scripts":                     {"shop-contributor", call{method: "GET", path: "/dbs/shop/colls/orders/sprocs"}, 403, "5300"},
		"no token makes users":                       {"shop-contributor", call{method: "POST", path: "/dbs/shop/users", body: `{"id":"u"}`}, 403, "5300"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(name, "change feed") && row.status == http.StatusOK {
				row.call.header = keyed(`["seeded"]`, "A-IM", "Incremental Feed")
				if err := s.UpsertItem("shop", "orders", []byte(`{"id":"s","dep":"seeded"}`)); err != nil {
					t.Fatal(err)
				}
			}
			row.call.token = token(row.who)
			answer := s.do(t, row.call)
			if answer.Status != row.status || answer.Header.Get("X-Ms-Substatus") != row.substatus {
				t.Errorf("%d/%s, want %d/%s: %s", answer.Status, answer.Header.Get("X-Ms-Substatus"), row.status, row.substatus, answer.Body)
			}
			if answer.Status == http.StatusForbidden && row.substatus != "5300" && !strings.Contains(answer.Body, "principal ["+row.who+"] does not have required RBAC permissions") {
				t.Errorf("text: %s", answer.Body)
			}
		})
	}
}

func TestRolesTakeEffectOnTheNextRequest(t *testing.T) {
	t.Parallel()
	s, token := withIssuer(t)
	ask := func() int { return s.do(t, call{method: "GET", path: "/dbs/shop", token: token("ann")}).Status }
	if got := ask(); got != http.StatusForbidden {
		t.Errorf("before: %d", got)
	}
	assign(t, s, "ann", emulator.BuiltInDataReader, "/")
	if got := ask(); got != http.StatusOK {
		t.Errorf("assigned: %d", got)
	}
	s.RevokeRoles("ann")
	if got := ask(); got != http.StatusForbidden {
		t.Errorf("revoked: %d", got)
	}
}

func TestRolesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, role := range []emulator.RoleDefinition{{}, {ID: "x"}, {ID: "x", DataActions: []string{"items/read"}}} {
		if err := s.DefineRole(role); err == nil {
			t.Errorf("%+v is accepted", role)
		}
	}
	for _, one := range []emulator.RoleAssignment{
		{}, {PrincipalID: "a", RoleID: "none", Scope: "/"}, {PrincipalID: "a", RoleID: emulator.BuiltInDataReader, Scope: ""},
		{PrincipalID: "a", RoleID: emulator.BuiltInDataReader, Scope: "/dbs"}, {PrincipalID: "a", RoleID: emulator.BuiltInDataReader, Scope: "/colls/x"},
		{RoleID: emulator.BuiltInDataReader, Scope: "/"},
	} {
		if err := s.AssignRole(one); err == nil {
			t.Errorf("%+v is accepted", one)
		}
	}
}

func TestKeySetsAreFetchedAgainForANewKey(t *testing.T) {
	t.Parallel()
	first, second := newTokens(t, "k1"), newTokens(t, "k2")
	var current atomic.Pointer[tokens]
	var fetched atomic.Int32
	current.Store(&first)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		if err := json.NewEncoder(w).Encode(current.Load().set()); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(keys.Close)
	s := newStand(t, func(c *emulator.Config) { c.Issuer, c.Keys = issuer, emulator.JWKS(keys.Client(), keys.URL) })
	claims := map[string]any{"iss": issuer, "aud": emulator.CosmosAudience, "oid": "ann", "exp": s.clock.Now().Unix() + 60}
	for range 3 {
		if answer := s.do(t, call{method: "GET", path: "/", token: first.sign(t, claims)}); answer.Status != http.StatusOK {
			t.Fatalf("first key: %d %s", answer.Status, answer.Body)
		}
	}
	current.Store(&second)
	if answer := s.do(t, call{method: "GET", path: "/", token: second.sign(t, claims)}); answer.Status != http.StatusOK {
		t.Errorf("second key: %d %s", answer.Status, answer.Body)
	}
	if got := fetched.Load(); got != 2 {
		t.Errorf("fetched %d times, want 2", got)
	}
	keys.Close()
	if answer := s.do(t, call{method: "GET", path: "/", token: first.sign(t, claims)}); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("issuer away: %d", answer.Status)
	}
}

func TestConfigurationsThatRefuseNothingAreRefused(t *testing.T) {
	t.Parallel()
	_, err := emulator.New(emulator.Config{MasterKey: "not base64!", Issuer: "x", Locations: []emulator.Location{{Endpoint: "::"}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, fault := range []string{"account:", "locations[0].name:", "locations[0].endpoint:", "master key:", "keys:", "clock:", "random:"} {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is not among the faults:\n%v", fault, err)
		}
	}
}
