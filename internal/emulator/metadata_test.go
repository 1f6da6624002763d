package emulator_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

func TestTheAccountDocumentPublishesWhereTheRequestArrived(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *emulator.Config) {
		c.Locations = append(c.Locations, emulator.Location{Name: "North Europe", Endpoint: "https://north.example/"})
	})
	answer := s.do(t, call{method: "GET", path: "/"})
	got := []any{
		answer.get(t, "id"), answer.get(t, "writableLocations", 0, "databaseAccountEndpoint"), answer.get(t, "writableLocations", 1),
		answer.get(t, "readableLocations", 1, "databaseAccountEndpoint"), answer.get(t, "userConsistencyPolicy", "defaultConsistencyLevel"),
	}
	if diff := cmp.Diff([]any{"shop", s.server.URL + "/", nil, "https://north.example/", "Session"}, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if configuration, _ := answer.get(t, "queryEngineConfiguration").(string); !strings.HasPrefix(configuration, "{") {
		t.Errorf("the query engine configuration is no JSON text: %v", answer.get(t, "queryEngineConfiguration"))
	}
}

func TestDatabasesAndContainersComeAndGo(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	const definition = `{"id":"c","partitionKey":{"paths":["/a","/b"]},"defaultTtl":-1,"vectorEmbeddingPolicy":{"vectorEmbeddings":[]}}`
	for _, step := range []struct {
		name string
		call call
		want int
	}{
		{"create a database", call{method: "POST", path: "/dbs", body: `{"id":"d"}`}, 201},
		{"create it again", call{method: "POST", path: "/dbs", body: `{"id":"d"}`}, 409},
		{"read it", call{method: "GET", path: "/dbs/d"}, 200},
		{"create a container", call{method: "POST", path: "/dbs/d/colls", body: definition}, 201},
		{"create it again", call{method: "POST", path: "/dbs/d/colls", body: definition}, 409},
		{"without a key", call{method: "POST", path: "/dbs/d/colls", body: `{"id":"e"}`}, 400},
		{"with four parts of a key", call{method: "POST", path: "/dbs/d/colls", body: `{"id":"e","partitionKey":{"paths":["/a","/b","/c","/d"]}}`}, 400},
		{"with a key that is no path", call{method: "POST", path: "/dbs/d/colls", body: `{"id":"e","partitionKey":{"paths":["a"]}}`}, 400},
		{"with a name that has a slash", call{method: "POST", path: "/dbs", body: `{"id":"a/b"}`}, 400},
		{"without a name", call{method: "POST", path: "/dbs", body: `{}`}, 400},
		{"with too little throughput", call{method: "POST", path: "/dbs", body: `{"id":"x"}`, header: map[string]string{"X-Ms-Offer-Throughput": "100"}}, 400},
		{"in a database that is not there", call{method: "POST", path: "/dbs/none/colls", body: definition}, 404},
		{"replace policies", call{method: "PUT", path: "/dbs/d/colls/c", body: strings.Replace(definition, "-1", "60", 1)}, 200},
		{"replace the key", call{method: "PUT", path: "/dbs/d/colls/c", body: strings.Replace(definition, "/a", "/z", 1)}, 400},
		{"replace the name", call{method: "PUT", path: "/dbs/d/colls/c", body: strings.Replace(definition, `"c"`, `"z"`, 1)}, 400},
		{"a verb that is not there", call{method: "PATCH", path: "/dbs/d/colls/c"}, 405},
		{"delete the container", call{method: "DELETE", path: "/dbs/d/colls/c"}, 204},
		{"read it then", call{method: "GET", path: "/dbs/d/colls/c"}, 404},
		{"delete the database", call{method: "DELETE", path: "/dbs/d"}, 204},
		{"delete it again", call{method: "DELETE", path: "/dbs/d"}, 404},
	} {
		if answer := s.do(t, step.call); answer.Status != step.want {
			t.Errorf("%s: %d, want %d: %s", step.name, answer.Status, step.want, answer.Body)
		}
	}
}

func TestContainersKeepTheirPolicies(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.do(t, call{method: "POST", path: "/dbs/shop/colls", body: `{"id":"c","partitionKey":{"paths":["/a","/b"]},"fullTextPolicy":{"defaultLanguage":"en-US"}}`})
	answer := s.do(t, call{method: "GET", path: "/dbs/shop/colls/c"})
	got := []any{
		answer.get(t, "partitionKey", "kind"), answer.get(t, "partitionKey", "version"), answer.get(t, "fullTextPolicy", "defaultLanguage"),
		answer.get(t, "indexingPolicy", "indexingMode"), answer.get(t, "_docs"),
	}
	if diff := cmp.Diff([]any{"MultiHash", 2.0, "en-US", "consistent", "docs/"}, got); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
}

func TestMetadataCanBeQueried(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	databases := s.do(t, question("/dbs", "SELECT * FROM root r WHERE r.id = 'shop'", nil))
	containers := s.do(t, question("/dbs/shop/colls", "SELECT VALUE r.id FROM root r ORDER BY r.id", nil))
	if databases.get(t, "Databases", 0, "id") != "shop" {
		t.Errorf("databases: %s", databases.Body)
	}
	if diff := cmp.Diff([]any{"carts", "orders"}, containers.get(t, "DocumentCollections")); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func TestResourceIDsAddressWhatTheyName(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.create(t, "e", "1", "")
	answer := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`)})
	self, _ := answer.get(t, "_self").(string)
	item := strings.Split(strings.Trim(self, "/"), "/")
	database, container := item[1], item[3]
	other := s.do(t, call{method: "GET", path: "/dbs/shop/colls/carts"})
	otherRID, _ := other.get(t, "_rid").(string)
	// A resource id is signed alone, in lower case.
	signed := func(method, path, kind, rid string, header map[string]string) reply {
		full := signLink(method, kind, strings.ToLower(rid), s.clock.Now())
		maps.Copy(full, header)
		return s.do(t, call{method: method, path: path, header: full, unsigned: true})
	}
	for name, row := range map[string]struct {
		got  reply
		want any
		at   []any
	}{
		"a database":            {signed("GET", "/dbs/"+database, "dbs", database, nil), "shop", []any{"id"}},
		"a container":           {signed("GET", "/dbs/"+database+"/colls/"+container, "colls", container, nil), "orders", []any{"id"}},
		"an item":               {signed("GET", "/"+self, "docs", item[5], keyed(`["e"]`)), "1", []any{"id"}},
		"the leaf alone counts": {signed("GET", "/dbs/"+database+"/colls/"+otherRID+"/docs/"+item[5], "docs", item[5], keyed(`["e"]`)), "1", []any{"id"}},
		"ranges":                {signed("GET", "/dbs/"+database+"/colls/"+container+"/pkranges", "pkranges", container, nil), "0", []any{"PartitionKeyRanges", 0, "id"}},
	} {
		if got := row.got.get(t, row.at...); got != row.want {
			t.Errorf("%s: %v, want %v: %s", name, got, row.want, row.got.Body)
		}
	}
	stale := s.do(t, call{method: "GET", path: orders + "/1", header: keyed(`["e"]`, "X-Ms-Cosmos-Intended-Collection-Rid", otherRID)})
	if stale.Status != http.StatusBadRequest || stale.Header.Get("X-Ms-Substatus") != "1024" {
		t.Errorf("meant for another container: %d/%s", stale.Status, stale.Header.Get("X-Ms-Substatus"))
	}
}

func TestPathsAreReadByPosition(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	if err := s.CreateDatabase("colls"); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateContainer("colls", emulator.ContainerDefinition{ID: "docs", PartitionKey: []string{"/id"}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/dbs/colls/colls/docs": 200, "/dbs/shop/": 200, "/dbs/nope": 404, "/nope": 404, "/dbs/shop/docs": 404, "/dbs/shop/colls/orders/colls": 404,
		"/dbs/shop/colls/orders/docs/1/attachments": 404, "/addresses": 403,
	} {
		if answer := s.do(t, call{method: "GET", path: path}); answer.Status != want {
			t.Errorf("%s: %d, want %d: %s", path, answer.Status, want, answer.Body)
		}
	}
}

func TestOffersAreKeptPerResource(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.do(t, call{method: "POST", path: "/dbs", body: `{"id":"auto"}`, header: map[string]string{"X-Ms-Cosmos-Offer-Autopilot-Settings": `{"maxThroughput":4000}`}})
	shared := s.do(t, call{method: "POST", path: "/dbs/auto/colls", body: `{"id":"c","partitionKey":{"paths":["/a"]}}`})
	rid, _ := shared.get(t, "_rid").(string)
	find := func(rid string) reply {
		return s.do(t, question("/offers", "SELECT * FROM root r WHERE r.offerResourceId = '"+rid+"'", nil))
	}
	if got := find(rid).get(t, "_count"); got != 0.0 {
		t.Errorf("a container of a database with throughput has %v offers of its own", got)
	}
	own, _ := s.do(t, call{method: "GET", path: "/dbs/shop/colls/orders"}).get(t, "_rid").(string)
	if got := find(own).get(t, "Offers", 0, "content", "offerThroughput"); got != 400.0 {
		t.Errorf("throughput %v, want 400", got)
	}
}

func TestScriptsAndPermissionsAreKeptAndOpenNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	const sprocs, permissions = "/dbs/shop/colls/orders/sprocs", "/dbs/shop/users/u/permissions"
	for _, step := range []struct {
		name string
		call call
		want int
		says string
	}{
		{"create", call{method: "POST", path: sprocs, body: `{"id":"p","body":"function(){}"}`}, 201, `"body":"function(){}"`},
		{"create again", call{method: "POST", path: sprocs, body: `{"id":"p","body":""}`}, 409, ""},
		{"read", call{method: "GET", path: sprocs + "/p"}, 200, `"id":"p"`},
		{"list", call{method: "GET", path: sprocs}, 200, `"StoredProcedures":[{`},
		{"query", question(sprocs, "SELECT * FROM c WHERE c.id = 'p'", nil), 200, `"id":"p"`},
		{"replace", call{method: "PUT", path: sprocs + "/p", body: `{"id":"p","body":"2"}`}, 200, `"body":"2"`},
		{"run", call{method: "POST", path: sprocs + "/p", body: `[]`, header: keyed(`["e"]`)}, 400, "does not run stored procedures"},
		{"delete", call{method: "DELETE", path: sprocs + "/p"}, 204, ""},
		{"read then", call{method: "GET", path: sprocs + "/p"}, 404, ""},
		{"a user", call{method: "POST", path: "/dbs/shop/users", body: `{"id":"u"}`}, 201, `"id":"u"`},
		{"a permission", call{method: "POST", path: permissions, body: `{"id":"m","permissionMode":"Read","resource":"dbs/shop/colls/orders"}`}, 201, `"_token":"type=resource&ver=1&sig=`},
		{"the permission again", call{method: "POST", path: permissions, body: `{"id":"m"}`}, 409, ""},
		{"the user's permissions", call{method: "GET", path: permissions}, 200, `"Permissions":[{"id":"m"`},
		{"the permission", call{method: "GET", path: permissions + "/m"}, 200, `"permissionMode":"Read"`},
		{"the permission for more", call{method: "PUT", path: permissions + "/m", body: `{"id":"m","permissionMode":"All"}`}, 200, `"_token"`},
		{"permissions of nobody", call{method: "GET", path: "/dbs/shop/users/x/permissions"}, 404, ""},
		{"the permission deleted", call{method: "DELETE", path: permissions + "/m"}, 204, ""},
		{"what a resource token opens", call{
			method: "GET", path: orders, unsigned: true,
			header: map[string]string{"Authorization": "type%3Dresource%26ver%3D1%26sig%3DbM90IHN1cHBvcnRlZA%3D%3D%3B"},
		}, 401, ""},
		{"a trigger", call{method: "POST", path: "/dbs/shop/colls/orders/triggers", body: `{"id":"t"}`}, 201, ""},
	} {
		if answer := s.do(t, step.call); answer.Status != step.want || !strings.Contains(answer.Body, step.says) {
			t.Errorf("%s: %d %s, want %d with %s", step.name, answer.Status, answer.Body, step.want, step.says)
		}
	}
}
