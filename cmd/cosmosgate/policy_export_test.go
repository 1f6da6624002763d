package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"go.yaml.in/yaml/v3"

	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
	"github.com/cosmosgate/cosmosgate/policy"
)

// upstreamStand is a stand-in account that knows the exported roles only.
type upstreamStand struct {
	*emulator.Emulator

	sign func(oid string) string
}

func newUpstreamStand(t *testing.T, account *exportedAccount) upstreamStand {
	t.Helper()
	const issuer = "https://login.example/tenant"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stand, err := emulator.New(emulator.Config{
		Account: account.Account, Locations: []emulator.Location{{Name: "West Europe"}}, Clock: time.Now, Random: rand.Reader, Issuer: issuer,
		Keys: func(context.Context, string) (*jose.JSONWebKeySet, error) {
			return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for database, containers := range map[string][]string{"shop": {"orders", "products", "carts"}, "payroll": {"salaries"}} {
		if err := stand.CreateDatabase(database); err != nil {
			t.Fatal(err)
		}
		for _, name := range containers {
			if err := stand.CreateContainer(database, emulator.ContainerDefinition{ID: name, PartitionKey: []string{"/pk"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, d := range account.Definitions {
		if err := stand.DefineRole(emulator.RoleDefinition{ID: d.ID, DataActions: d.DataActions}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range account.Assignments {
		if err := stand.AssignRole(emulator.RoleAssignment{PrincipalID: a.Identity, RoleID: a.Definition, Scope: a.Scope}); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return upstreamStand{stand, func(oid string) string {
		now := time.Now().Unix()
		claims := map[string]any{"iss": issuer, "aud": emulator.CosmosAudience, "oid": oid, "exp": now + 3600, "nbf": now - 5, "iat": now - 5}
		text, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}}
}

// refuses sends the request that needs just the one action, and reports whether the account refuses the identity.
func (s upstreamStand) refuses(t *testing.T, identity string, action policy.Actions, r policy.Resource) bool {
	t.Helper()
	method, path, body := http.MethodGet, "/dbs/"+r.Database+"/colls/"+r.Container, ""
	header := map[string]string{"X-Ms-Documentdb-Partitionkey": `["a"]`}
	documents, item := path+"/docs", `{"id":"1","pk":"a"}`
	switch action {
	case policy.ReadMetadata:
	case policy.ReadItem:
		path = documents + "/1"
	case policy.CreateItem:
		method, path, body = http.MethodPost, documents, item
	case policy.UpsertItem:
		method, path, body = http.MethodPost, documents, item
		header["X-Ms-Documentdb-Is-Upsert"] = "True"
	case policy.ReplaceItem:
		method, path, body = http.MethodPut, documents+"/1", item
	case policy.DeleteItem:
		method, path = http.MethodDelete, documents+"/1"
	case policy.ExecuteQuery:
		method, path, body = http.MethodPost, documents, `{"query":"SELECT * FROM c"}`
		header["X-Ms-Documentdb-Isquery"], header["Content-Type"] = "True", "application/query+json"
	case policy.ReadChangeFeed:
		path = documents
		header["A-IM"] = "Incremental feed"
	case policy.ExecuteStoredProcedure:
		method, path, body = http.MethodPost, path+"/sprocs/x", "[]"
	case policy.ManageConflicts:
		path += "/conflicts"
	default:
		t.Fatalf("no request needs just %s", action)
	}
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	for name, value := range header {
		request.Header.Set(name, value)
	}
	request.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
	request.Header.Set("X-Ms-Version", "2020-07-15")
	request.Header.Set("Authorization", url.QueryEscape("type=aad&ver=1.0&sig="+s.sign(identity)))
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	if answer.Code == http.StatusUnauthorized {
		t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	return answer.Code == http.StatusForbidden
}

// morePolicy queries without reading the change feed, and denies something to everybody.
const morePolicy = `
kind: Role
name: auditor
identity: auditor
rules:
- {dataActions: [executeQuery], resources: [prod/shop/products]}
- {dataActions: [executeStoredProcedure], resources: [prod/shop/products]}
---
{kind: RoleBinding, name: auditors, role: auditor, subjects: [{group: auditor}]}
---
{kind: Guardrail, name: no-conflicts, effect: deny, dataActions: [manageConflicts], resources: ["prod/*/*"], reason: nobody}
---
kind: Role
name: own-container
identity: own
rules:
- {dataActions: [items/read, items/delete], resources: [prod/shop/*]}
---
kind: PolicyTest
name: cedar
cases:
- {user: {id: kit, department: carts}, action: items/read, resource: prod/shop/carts, expect: allow}
- {user: {id: kit, department: carts}, action: items/create, resource: prod/shop/carts, expect: deny, because: noRole}
`

// moreCedar binds a role that no YAML binds.
const moreCedar = `
@id("own-container")
@role("own-container")
permit(principal is User, action in [Action::"items/read", Action::"readMetadata"], resource in Database::"prod/shop")
when { principal has department && resource.container == principal.department };
`

// exportStarter is the starter policy and more, an account with its identities, and what is exported for them.
func exportStarter(t *testing.T) (*policy.Set, map[string][]byte, *exportedAccount) {
	t.Helper()
	files, err := policy.Starter{
		Account: "prod", Checkout: policy.Application{Issuer: "corp", Claims: map[string]string{"azp": "x"}},
		Agent: policy.Agent{Issuer: "corp", Claims: map[string]string{"azp": "y"}},
	}.Files()
	if err != nil {
		t.Fatal(err)
	}
	var sources []policy.Source
	for name, text := range files {
		sources = append(sources, policy.Source{Name: name, Text: text})
	}
	files["more.yaml"] = []byte(morePolicy)
	sources = append(sources, policy.Source{Name: "more.yaml", Text: files["more.yaml"]}, policy.Source{Name: "more.cedar", Text: []byte(moreCedar)})
	set, err := policy.ParseAll(sources, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	account := exportAccount(&config.Account{Name: "prod", Reader: "gate", Identities: map[string]config.Identity{
		"gate": {}, "reader": {}, "writer": {}, "operator": {}, "auditor": {}, "own": {},
	}}, set, time.Now())
	return set, files, &account
}

func TestExportedRolesLetPassWhatThePolicyAllowsAndNoMore(t *testing.T) {
	t.Parallel()
	set, _, account := exportStarter(t)
	stand := newUpstreamStand(t, account)
	people := []policy.Principal{{ID: "checkout", Kind: policy.KindApplication}}
	for _, department := range []string{"orders", "products", "carts"} { // whom Cedar gives something, each in one container
		people = append(people, policy.Principal{ID: department, Kind: policy.KindPerson, Attributes: map[string]string{"department": department}})
	}
	for _, group := range []string{"orders-reader", "shop-writer", "shop-operator", "auditor"} {
		people = append(people, policy.Principal{
			ID: "one of " + group, Kind: policy.KindPerson, Groups: []policy.Group{{ExternalID: group}}, Attributes: map[string]string{"department": "emea"},
		})
	}
	survey := policy.NewSurvey(set, people, policy.AllActions, time.Now())
	queries := policy.ExecuteQuery | policy.ReadChangeFeed // Cosmos DB asks for both
	for _, r := range []policy.Resource{
		{Account: "prod", Database: "shop", Container: "orders"}, {Account: "prod", Database: "shop", Container: "products"},
		{Account: "prod", Database: "shop", Container: "carts"}, {Account: "prod", Database: "payroll", Container: "salaries"},
	} {
		allowed := map[string]policy.Actions{}
		container := survey.Container(r)
		for i := range people {
			for _, way := range container(i) {
				allowed[way.Identity] |= way.Actions
				if way.Actions.Has(policy.ExecuteQuery) {
					allowed[way.Identity] |= queries
				}
			}
		}
		for _, identity := range []string{"gate", "reader", "writer", "operator", "auditor", "own"} {
			for n := range len(policy.AllActions.Names()) {
				action := policy.Actions(1) << n
				want := !allowed[identity].Has(action) && action != policy.ReadMetadata // which every identity has on the account
				if got := stand.refuses(t, identity, action, r); got != want {
					t.Errorf("%s as %s on %s: refused %v, want %v", action, identity, r, got, want)
				}
			}
		}
	}
}

// starterCase is what this test needs of a case of a PolicyTest.
type starterCase struct {
	User        map[string]any `yaml:"user"`
	Application string         `yaml:"application"`
	Agent       string         `yaml:"agent"`
	Action      string         `yaml:"action"`
	Actions     []string       `yaml:"actions"`
	Resource    string         `yaml:"resource"`
	Keys        []string       `yaml:"partitionKey"`
	Expect      string         `yaml:"expect"`
	Because     string         `yaml:"because"`
}

func TestOperationsOfThePolicysTestsMeetTheSameFateUpstream(t *testing.T) {
	t.Parallel()
	set, files, account := exportStarter(t)
	stand, engine := newUpstreamStand(t, account), policy.NewEngine(set)
	passed, refused, byAgents := 0, 0, 0
	for _, c := range starterCases(t, files) {
		q := c.request(t)
		if q.Resource.Container == "" {
			continue
		}
		for _, name := range q.Actions.Names() {
			action, err := policy.ParseActions(name)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.Expect == "allow":
				passed++
				byAgents += len(q.Actors)
				if identity := engine.Decide(q).Identity; stand.refuses(t, identity, action, q.Resource) {
					t.Errorf("%+v: refused upstream", c)
				}
			case c.Because == "noRole" && action != policy.ReadMetadata && c.Application == "":
				// No role: then no identity that this caller could get may do it. The application shares its identity with a wider role.
				for _, identity := range identitiesOf(set, q.Principal) {
					refused++
					if !stand.refuses(t, identity, action, q.Resource) {
						t.Errorf("%+v: %s passes upstream as %s", c, action, identity)
					}
				}
			}
		}
	}
	if passed < 5 || refused < 3 || byAgents == 0 {
		t.Errorf("only %d passed, %d of them by agents, and %d refused requests", passed, byAgents, refused)
	}
}

// identitiesOf returns the identities under which a principal gets anywhere.
func identitiesOf(set *policy.Set, p policy.Principal) []string {
	found := map[string]bool{}
	survey := policy.NewSurvey(set, []policy.Principal{p}, policy.AllActions, time.Now())
	cells, _ := policy.Cells(set)
	var names []string
	for _, r := range cells {
		for _, way := range survey.Container(r)(0) {
			if !found[way.Identity] {
				found[way.Identity] = true
				names = append(names, way.Identity)
			}
		}
	}
	return names
}

func starterCases(t *testing.T, files map[string][]byte) []starterCase {
	t.Helper()
	var all []starterCase
	for name, text := range files {
		decoder := yaml.NewDecoder(strings.NewReader(string(text)))
		for {
			var document struct {
				Cases []starterCase `yaml:"cases"`
			}
			if decoder.Decode(&document) != nil {
				break
			}
			all = append(all, document.Cases...)
		}
		if len(text) == 0 {
			t.Fatalf("%s is empty", name)
		}
	}
	return all
}

func (c *starterCase) request(t *testing.T) policy.Request {
	t.Helper()
	q := policy.Request{Context: policy.Context{Time: time.Now()}}
	var err error
	if q.Actions, err = policy.ParseActions(append(c.Actions, c.Action)[:max(len(c.Actions), 1)]...); err != nil {
		t.Fatal(err)
	}
	if q.Resource, err = policy.ParseResource(c.Resource); err != nil {
		t.Fatal(err)
	}
	for i, part := range c.Keys {
		c.Keys[i] = `"` + part + `"`
	}
	if len(c.Keys) > 0 {
		q.PartitionKeys = [][]string{c.Keys}
	}
	if c.Application != "" {
		q.Principal = policy.Principal{ID: c.Application, Kind: policy.KindApplication}
		return q
	}
	if c.Agent != "" && c.User == nil {
		q.Principal = policy.Principal{ID: c.Agent, Kind: policy.KindAgent}
		return q
	}
	if c.Agent != "" {
		q.Actors = []policy.Principal{{ID: c.Agent, Kind: policy.KindAgent}}
	}
	q.Principal = policy.Principal{Kind: policy.KindPerson, Attributes: map[string]string{}}
	q.Principal.ID, _ = c.User["id"].(string)
	q.Principal.Attributes["department"], _ = c.User["department"].(string)
	groups, _ := c.User["groups"].([]any)
	for _, g := range groups {
		q.Principal.Groups = append(q.Principal.Groups, policy.Group{ExternalID: g.(string)})
	}
	return q
}
