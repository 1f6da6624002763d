package cosmos_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

const upstreamAccount = `{"_self":"","id":"acc","_rid":"acc.documents.azure.com","media":"//media/","addresses":"//addresses/","_dbs":"//dbs/",
"writableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://acc-westeurope.documents.azure.com:443/"}],
"readableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://acc-westeurope.documents.azure.com:443/"},
{"name":"North Europe","databaseAccountEndpoint":"https://acc-northeurope.documents.azure.com:443/"}],
"thinClientWritableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://acc-westeurope.documents.azure.com:10250/"}],
"thinClientReadableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://acc-westeurope.documents.azure.com:10250/"}],
"enableMultipleWriteLocations":true,"enablePerPartitionFailoverBehavior":true,"continuousBackupEnabled":true,"enableNRegionSynchronousCommit":true,
"userReplicationPolicy":{"asyncReplication":false,"minReplicaSetSize":3,"maxReplicasetSize":4},
"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},
"systemReplicationPolicy":{"minReplicaSetSize":3,"maxReplicasetSize":4},"readPolicy":{"primaryReadCoefficient":1,"secondaryReadCoefficient":1},
"queryEngineConfiguration":"{\"maxSqlQueryInputLength\":262144}"}`

func published() cosmos.Publication {
	return cosmos.Publication{ID: "prod", Endpoint: "https://gate.example:8443", Region: "Gate", UpstreamHost: "acc.documents.azure.com"}
}

func TestTheAccountDocumentIsBuiltFromItsAllowList(t *testing.T) {
	t.Parallel()

	document, err := cosmos.AccountDocument([]byte(upstreamAccount), published())
	if err != nil {
		t.Fatal(err)
	}

	const want = `{"_self":"","id":"prod","_rid":"prod","media":"//media/","addresses":"//addresses/","_dbs":"//dbs/",` +
		`"writableLocations":[{"name":"Gate","databaseAccountEndpoint":"https://gate.example:8443/"}],` +
		`"readableLocations":[{"name":"Gate","databaseAccountEndpoint":"https://gate.example:8443/"}],` +
		`"enableMultipleWriteLocations":false,"enablePerPartitionFailoverBehavior":false,` +
		`"userReplicationPolicy":{"asyncReplication":false,"minReplicaSetSize":3,"maxReplicasetSize":4},` +
		`"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},` +
		`"systemReplicationPolicy":{"minReplicaSetSize":3,"maxReplicasetSize":4},"readPolicy":{"primaryReadCoefficient":1,"secondaryReadCoefficient":1},` +
		`"queryEngineConfiguration":"{\"maxSqlQueryInputLength\":262144}","continuousBackupEnabled":true}`

	if diff := cmp.Diff(want, string(document)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnAccountDocumentThatWouldLeakIsNotServed(t *testing.T) {
	t.Parallel()

	withQuery := func(text string) string {
		quoted, _ := json.Marshal(text)

		return `{"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},"queryEngineConfiguration":` + string(quoted) + `}`
	}

	for _, row := range []struct {
		name     string
		upstream string
		change   func(*cosmos.Publication)
	}{
		{"no JSON", "<html>", nil},
		{"nothing", "", nil},
		{"no consistency", "{}", nil},
		{"the upstream's name in the query engine", withQuery(`{"a":"ACC.documents.azure.com"}`), nil},
		{
			"a location's name in the query engine",
			strings.Replace(upstreamAccount, "maxSqlQueryInputLength", "acc-northeurope.documents.azure.com", 1), nil,
		},
		{"no alias", upstreamAccount, func(p *cosmos.Publication) { p.ID = "" }},
		{"no region", upstreamAccount, func(p *cosmos.Publication) { p.Region = "" }},
		{"no upstream host to look for", upstreamAccount, func(p *cosmos.Publication) { p.UpstreamHost = "" }},
		{"no endpoint", upstreamAccount, func(p *cosmos.Publication) { p.Endpoint = "" }},
		{"an endpoint with a path, which Go would lose", upstreamAccount, func(p *cosmos.Publication) { p.Endpoint = "https://gate.example/prod" }},
		{"an endpoint with a password", upstreamAccount, func(p *cosmos.Publication) { p.Endpoint = "https://u:p@gate.example" }},
		{"an endpoint of another scheme", upstreamAccount, func(p *cosmos.Publication) { p.Endpoint = "ftp://gate.example" }},
		{"an endpoint at the upstream", upstreamAccount, func(p *cosmos.Publication) { p.Endpoint = "https://x.acc.documents.azure.com" }},
		{"an alias that is the upstream's name", upstreamAccount, func(p *cosmos.Publication) { p.ID = "acc.documents.azure.com" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			p := published()
			if row.change != nil {
				row.change(&p)
			}

			document, err := cosmos.AccountDocument([]byte(row.upstream), p)
			if !errors.Is(err, cosmos.ErrUnpublishable) || document != nil {
				t.Errorf("got %s, %v", document, err)
			}
		})
	}
}

func TestAStandInOnAnotherPortOfTheSameMachineCanBePublished(t *testing.T) {
	t.Parallel()

	document, err := cosmos.AccountDocument(
		[]byte(`{"writableLocations":[{"name":"x","databaseAccountEndpoint":"https://127.0.0.1:8081/"}],"userConsistencyPolicy":{"defaultConsistencyLevel":"Strong"},"queryEngineConfiguration":"broken"}`),
		cosmos.Publication{ID: "dev", Endpoint: "https://127.0.0.1:9443/", Region: "Local", UpstreamHost: "127.0.0.1:8081"},
	)
	if err != nil {
		t.Fatal(err)
	}

	if !strings.Contains(string(document), `"queryEngineConfiguration":"{}"`) {
		t.Errorf("a broken query engine configuration was published: %s", document)
	}
}
