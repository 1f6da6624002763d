package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/internal/devidp"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
	"github.com/cosmosgate/cosmosgate/policy"
)

// The small company that `cosmosgate dev` pretends to be. Ids are fixed, so that what people wrote down yesterday holds today.
const (
	devAccount    = "dev"
	devConnection = "dev"
	devIssuerName = "dev"
	devAudience   = "api://cosmosgate-dev"
	devCLI        = "cosmosgate-cli"
	devRegion     = "Local"
	devDatabase   = "shop"

	groupReaders   = "7d1f2a60-52a4-4e0e-9a39-0f6c3b9d1a01"
	groupWriters   = "7d1f2a60-52a4-4e0e-9a39-0f6c3b9d1a02" //nolint:gosec // an id of a group, no credential
	groupOperators = "7d1f2a60-52a4-4e0e-9a39-0f6c3b9d1a03"
)

// devPerson is somebody the development identity provider can sign in.
type devPerson struct {
	name, display, id, department, group string
	// joined is whether the directory knows the person from the start, active whether they may sign in.
	joined, active bool
	may            string
}

func devPeople() []devPerson {
	return []devPerson{
		{"ann", "Ann Andersson", "5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c0001", "emea", groupReaders, true, true, "reads orders of her own department, emea"},
		{"bob", "Bob Brown", "5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c0002", "amer", groupWriters, true, true, "reads and writes everything in shop"},
		{"olga", "Olga Orlova", "5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c0003", "it", groupOperators, true, true, "operator: every data action in shop"},
		{"dan", "Dan Dupont", "5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c0004", "emea", groupReaders, true, false, "has left: deactivated, refused everywhere"},
		{"nina", "Nina Novak", "5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c0005", "emea", groupReaders, false, false, "new hire: can sign in, but the directory does not know her yet"},
	}
}

const (
	devApplication    = "checkout"
	devApplicationMay = "application: reads and writes orders and carts"
)

// devIdentity is one managed identity of the pretended host, with what Azure would let it do.
type devIdentity struct{ name, clientID, objectID, role, scope string }

const (
	roleMetadata = "metadata-reader"
	roleReader   = "query-reader"
)

// devHost begins the client ids of the pretended host.
const devHost = "9b1deb4d"

// devIdentities are the identities of a host.
func devIdentities(host string) []devIdentity {
	const shop = "/dbs/" + devDatabase
	return []devIdentity{
		{"gate", host + "-3b7d-4bad-9bdd-2b0d7b3d0001", "e7a0f1c2-0000-4000-8000-000000000001", roleMetadata, "/"},
		{"reader", host + "-3b7d-4bad-9bdd-2b0d7b3d0002", "e7a0f1c2-0000-4000-8000-000000000002", roleReader, shop},
		{"writer", host + "-3b7d-4bad-9bdd-2b0d7b3d0003", "e7a0f1c2-0000-4000-8000-000000000003", emulator.BuiltInDataContributor, shop},
		{"operator", host + "-3b7d-4bad-9bdd-2b0d7b3d0004", "e7a0f1c2-0000-4000-8000-000000000004", emulator.BuiltInDataContributor, shop},
	}
}

// devContainers are the containers of the database, with some documents each.
func devContainers() []devContainer {
	return []devContainer{
		{emulator.ContainerDefinition{ID: "orders", PartitionKey: []string{"/department"}}, []string{
			`{"id":"1001","department":"emea","customer":"Café Kraków","total":120.5,"status":"open"}`,
			`{"id":"1002","department":"emea","customer":"Nordlys AS","total":75,"status":"shipped"}`,
			`{"id":"1003","department":"emea","customer":"Bäckerei Huber","total":310.25,"status":"open"}`,
			`{"id":"2001","department":"amer","customer":"Pine & Co","total":42,"status":"open"}`,
			`{"id":"2002","department":"amer","customer":"Río Grande SA","total":990,"status":"shipped"}`,
			`{"id":"3001","department":"apac","customer":"雪だるま商店","total":58.4,"status":"open"}`,
		}},
		{emulator.ContainerDefinition{ID: "products", PartitionKey: []string{"/category"}}, []string{
			`{"id":"espresso","category":"coffee","name":"Espresso beans","price":14.9}`,
			`{"id":"filter","category":"coffee","name":"Filter roast","price":12.5}`,
			`{"id":"sencha","category":"tea","name":"Sencha","price":9.8}`,
		}},
		{emulator.ContainerDefinition{ID: "carts", PartitionKey: []string{"/tenantId", "/userId"}}, []string{
			`{"id":"c1","tenantId":"t1","userId":"u1","items":[{"product":"espresso","quantity":2}]}`,
			`{"id":"c2","tenantId":"t1","userId":"u2","items":[]}`,
		}},
	}
}

type devContainer struct {
	definition emulator.ContainerDefinition
	documents  []string
}

func devProvider(c devidp.Config, host, checkoutSecret, identityHeader string) (*devidp.Provider, error) {
	c.Audience = devAudience
	for _, p := range devPeople() {
		c.People = append(c.People, devidp.Person{Name: p.name, ID: p.id, DisplayName: p.display})
	}
	c.Clients = []devidp.Client{
		{ID: devCLI, RedirectURIs: []string{"http://127.0.0.1/callback"}},
		{ID: devApplication, Secret: checkoutSecret},
	}
	for _, i := range devIdentities(host) {
		c.Identities = append(c.Identities, devidp.ManagedIdentity{ClientID: i.clientID, ObjectID: i.objectID})
	}
	c.IdentityHeader = identityHeader
	p, err := devidp.New(c)
	if err != nil {
		return nil, fmt.Errorf("preparing the development identity provider: %w", err)
	}
	return p, nil
}

// devCosmos returns the stand-in with its containers, documents and role assignments.
func devCosmos(c emulator.Config, provider *devidp.Provider) (*emulator.Emulator, error) {
	c.Account, c.MasterKey, c.Issuer = devAccount, emulator.WellKnownKey, provider.Issuer()
	c.Keys = func(context.Context, string) (*jose.JSONWebKeySet, error) {
		keys := provider.KeySet()
		return &keys, nil
	}
	e, err := emulator.New(c)
	if err != nil {
		return nil, fmt.Errorf("preparing the Cosmos stand-in: %w", err)
	}
	const prefix = "Microsoft.DocumentDB/databaseAccounts/"
	const container = prefix + "sqlDatabases/containers/"
	faults := []error{
		e.DefineRole(emulator.RoleDefinition{ID: roleMetadata, DataActions: []string{prefix + "readMetadata"}}),
		e.DefineRole(emulator.RoleDefinition{ID: roleReader, DataActions: []string{
			prefix + "readMetadata", container + "items/read", container + "executeQuery", container + "readChangeFeed",
		}}),
	}
	for _, i := range devIdentities(devHost) { // Cosmos knows them by their object ids
		faults = append(faults,
			e.AssignRole(emulator.RoleAssignment{PrincipalID: i.objectID, RoleID: i.role, Scope: i.scope}),
			// Lists of databases are read under a role's identity: policy export gives each this one too.
			e.AssignRole(emulator.RoleAssignment{PrincipalID: i.objectID, RoleID: roleMetadata, Scope: "/"}))
	}
	return e, errors.Join(faults...)
}

// seedDocuments fills an empty stand-in.
func seedDocuments(e *emulator.Emulator) error {
	faults := []error{e.CreateDatabase(devDatabase)}
	for _, c := range devContainers() {
		faults = append(faults, e.CreateContainer(devDatabase, c.definition))
		for _, d := range c.documents {
			faults = append(faults, e.UpsertItem(devDatabase, c.definition.ID, json.RawMessage(d)))
		}
	}
	return errors.Join(faults...)
}

// writePolicy writes the starter policy for the user to edit, unless there is a policy already.
func writePolicy(dir, keyFile string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the policy folder: %w", err)
	}
	starter := policy.Starter{
		Account: devAccount,
		Groups:  map[string]string{"orders-reader": groupReaders, "shop-writer": groupWriters, "shop-operator": groupOperators},
		Checkout: policy.Application{
			Issuer: devIssuerName, Claims: map[string]string{"client_id": devApplication},
		},
	}
	files, err := starter.Files()
	if err != nil {
		return fmt.Errorf("making the starter policy: %w", err)
	}
	agents, err := agentPolicy(keyFile)
	if err != nil {
		return err
	}
	files["agents.yaml"] = []byte(agents)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return fmt.Errorf("writing the starter policy: %w", err)
		}
	}
	return nil
}
