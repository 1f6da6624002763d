package journal_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/journal"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

const (
	database  = "gate"
	container = "directory"
	documents = "/dbs/gate/colls/directory/docs"
	corp      = "corp"
)

// stand is a Cosmos account with an empty container for a journal.
type stand struct {
	*emulator.Emulator

	server *httptest.Server
	clock  *clock
}

// clock is the real one, moved on by hand.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}

func newStand(tb testing.TB, properties string, change ...func(*emulator.Config)) *stand {
	tb.Helper()
	moved := &clock{}
	config := emulator.Config{
		Account: "directory", Locations: []emulator.Location{{Name: "West Europe"}}, AllowUnsignedTokens: true,
		Consistency: "Strong", Clock: moved.Now, Random: rand.Reader,
	}
	for _, one := range change {
		one(&config)
	}
	e, err := emulator.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	if err := e.CreateDatabase(database); err != nil {
		tb.Fatal(err)
	}
	definition := emulator.ContainerDefinition{ID: container, PartitionKey: []string{"/pk"}, Properties: []byte(properties)}
	if err := e.CreateContainer(database, definition); err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewTLSServer(e)
	tb.Cleanup(server.Close)
	return &stand{e, server, moved}
}

const proper = `{"defaultTtl":-1}`

func (s *stand) config(tb testing.TB) journal.Config {
	tb.Helper()
	return journal.Config{
		Endpoint: s.server.URL, Database: database, Container: container, Credential: credential{},
		Transport: &http.Client{Transport: s.server.Client().Transport, Timeout: 20 * time.Second},
		Name:      tb.Name(), Spool: tb.TempDir(), Clock: s.clock.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	}
}

func (s *stand) open(tb testing.TB, change ...func(*journal.Config)) *journal.Journal {
	tb.Helper()
	c := s.config(tb)
	for _, one := range change {
		one(&c)
	}
	j, err := journal.Open(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// credential makes tokens that the stand-in takes.
type credential struct{}

func (credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	encode := base64.RawURLEncoding.EncodeToString
	expires := time.Now().AddDate(1, 0, 0) // the stand-in's clock is moved on
	claims := fmt.Sprintf(`{"iss":"x","aud":"y","oid":"gate","exp":%d}`, expires.Unix())
	token := encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
	return azcore.AccessToken{Token: token, ExpiresOn: expires}, nil
}

// batchAfter is some deltas that follow a version.
func batchAfter(version uint64, subjects ...string) []directory.Delta {
	batch := make([]directory.Delta, 0, len(subjects))
	for i, subject := range subjects {
		batch = append(batch, directory.Delta{
			Version: version + 1 + uint64(i), Time: time.UnixMilli(1_700_000_000_000).UTC(), //nolint:gosec // an index
			Kind: directory.KindPutEntry, Subject: "class\x00" + subject, Revision: 1, Payload: make([]byte, 8),
		})
	}
	return batch
}
