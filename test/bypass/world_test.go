package bypass_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/server"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

const (
	gateHost = "gate.example"
	// patience bounds the wait for records that may never come.
	patience = 300 * time.Millisecond
)

// upstreamCredential is one identity of the gate.
type upstreamCredential string

// GetToken implements azcore.TokenCredential.
func (c upstreamCredential) GetToken(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "upstream-token-of-" + string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// world is a gate as it is delivered, between TLS listeners, and what surrounds it.
type world struct {
	address  string
	pool     *x509.CertPool
	upstream *upstream
	tokens   map[string]string
	file     string       // the audit log
	jump     atomic.Int64 // how far the gate's clock is ahead

	mu      sync.Mutex
	records []audit.Record
	arrived chan struct{}
	log     bytes.Buffer
}

// now is the gate's time.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.jump.Load())) }

// Write takes the operations log.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

// witness is a place in the audit log that also shows the record to the test.
type witness struct {
	*audit.Reservation

	world *world
}

// Commit implements proxy.Reservation.
func (r witness) Commit(record audit.Record) {
	r.Reservation.Commit(record)
	r.world.mu.Lock()
	r.world.records = append(r.world.records, record)
	r.world.mu.Unlock()
	select {
	case r.world.arrived <- struct{}{}:
	default:
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{upstream: newUpstream(t), arrived: make(chan struct{}, 1), pool: x509.NewCertPool()}
	w.pool.AddCert(w.upstream.server.Certificate())
	is := newIssuer(t)
	w.tokens = is.forged(t)
	for _, name := range []string{"ann", "bob", "olga", "eve", "una"} {
		w.tokens[name] = is.person(t, name)
	}
	w.tokens["checkout"] = is.application(t, "checkout")
	w.tokens["rogue"] = is.application(t, "rogue")

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	run := func(what func(context.Context) error) {
		running.Go(func() {
			if err := what(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("a part of the gate ended: %v", err)
			}
		})
	}
	logger := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	engine := policy.NewEngine(starter(t))
	people := employ(t, run, ctx, logger)
	authenticator := authenticatorOf(t, is, people, engine, logger, w.now)
	w.file = filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(audit.Config{Path: w.file, SyncEvery: time.Minute, Clock: w.now, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := proxy.New(proxy.Config{
		Accounts:      []proxy.Account{w.account("prod", gateHost, secretHost), w.account("second", "second.example", otherSecret)},
		Authenticator: authenticator, Authorizer: engine,
		PolicyHash: func() string { return engine.Set().Hash() },
		Reserve: func() (proxy.Reservation, error) {
			reserved, err := log.Reserve()
			if err != nil {
				return nil, err
			}
			return witness{reserved, w}, nil
		},
		Logger: logger, Now: w.now, NewID: uuid.NewString,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := w.listen(t, gate, logger)
	run(log.Run)
	run(authenticator.Run)
	run(gate.Run)
	run(listener.Run)
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := people.Close(); err != nil {
			t.Errorf("closing directory: %v", err)
		}
	})
	for gate.Ready() != nil || authenticator.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	return w
}

// listen opens the gate's listener with the limits it is delivered with, but for the drain.
func (w *world) listen(t testing.TB, gate *proxy.Proxy, logger *slog.Logger) *server.Server {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = listener.Addr().String()
	s, err := server.New(server.Config{
		Name: "data", Listener: listener, Handler: gate, Logger: logger, DrainTimeout: time.Second,
		Refuse: func(out http.ResponseWriter, u server.Unreadable) { gate.RefuseUnreadable(out, proxy.Unreadable(u)) },
		TLS:    &tls.Config{Certificates: w.upstream.server.TLS.Certificates, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) account(name, public, secret string) proxy.Account {
	transport := proxy.NewTransport(proxy.TransportOptions{
		TLS: &tls.Config{RootCAs: w.pool, ServerName: "example.com", MinVersion: tls.VersionTLS12},
	})
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.upstream.server.Listener.Addr().String())
	}
	identities := map[string]azcore.TokenCredential{}
	for _, identity := range []string{"gate", "reader", "writer", "operator"} {
		identities[identity] = upstreamCredential(identity)
	}
	return proxy.Account{
		Name: name, PublicURL: "https://" + public + "/", Region: "Gate",
		Upstream: &url.URL{Scheme: "https", Host: secret}, Transport: transport,
		Identities: identities, Reader: "gate",
	}
}

func starter(t testing.TB) *policy.Set {
	t.Helper()
	files, err := policy.Starter{
		Account:  "prod",
		Checkout: policy.Application{Issuer: "corp", Claims: map[string]string{"client_id": "checkout"}},
	}.Files()
	if err != nil {
		t.Fatal(err)
	}
	var sources []policy.Source
	for name, text := range files {
		sources = append(sources, policy.Source{Name: name, Text: text})
	}
	set, err := policy.ParseAll(sources, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// employ fills a directory: ann, bob, olga, eve without any group, and dan who has left. Una is not in it.
func employ(t testing.TB, run func(func(context.Context) error), ctx context.Context, logger *slog.Logger) *directory.Directory {
	t.Helper()
	people, err := directory.Open(directory.Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Clock: time.Now, Random: rand.Reader, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	run(people.Run)
	groups := map[string]directory.ID{}
	for _, name := range []string{"orders-reader", "shop-writer", "shop-operator"} {
		made, err := people.Apply(ctx, "corp", directory.CreateGroup{Group: directory.GroupRecord{ExternalID: name, DisplayName: name}})
		if err != nil {
			t.Fatal(err)
		}
		groups[name] = made[0].ID
	}
	for _, p := range []struct {
		name, department, group string
		left                    bool
	}{
		{"ann", "emea", "orders-reader", false},
		{"bob", "amer", "shop-writer", false},
		{"olga", "it", "shop-operator", false},
		{"eve", "emea", "", false},
		{"dan", "emea", "shop-operator", true},
	} {
		made, err := people.Apply(ctx, "corp", directory.CreateUser{User: directory.User{
			ExternalID: "oid-" + p.name, UserName: p.name, Active: !p.left, Attributes: map[string]string{"department": p.department},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if p.group == "" {
			continue
		}
		if _, err := people.Apply(ctx, "corp", directory.AddMembers{Group: groups[p.group], Members: []directory.ID{made[0].ID}}); err != nil {
			t.Fatal(err)
		}
	}
	return people
}

func authenticatorOf(t testing.TB, is *issuer, people *directory.Directory, engine *policy.Engine, logger *slog.Logger, clock func() time.Time) *identity.Authenticator {
	t.Helper()
	var declared []identity.Application
	for _, a := range engine.Set().Applications() {
		declared = append(declared, identity.Application{Name: a.Name, Issuer: a.Issuer, Claims: a.Claims, Attributes: a.Attributes})
	}
	a, err := identity.New(identity.Config{
		Issuers: []identity.Issuer{{
			Name: "corp", URL: issuerURL, Audiences: []string{audience}, TokenType: identity.TokenTypeRFC9068,
			Connection: "corp", Claim: "oid", FrontEndClients: []string{frontEnd}, HTTPClient: &http.Client{Transport: is},
		}},
		Directory: people, Applications: func() []identity.Application { return declared },
		Clock: clock, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// dial opens a TLS connection to the gate.
func (w *world) dial(t testing.TB, protocol string) *tls.Conn {
	t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{
		RootCAs: w.pool, ServerName: "example.com", NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12,
	}}).DialContext(context.Background(), "tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	secured, ok := conn.(*tls.Conn)
	if !ok {
		t.Fatal("not a TLS connection")
	}
	if err := secured.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return secured
}

// recorded waits for n records and returns all that were written since the last call,
// without those of the sentinel.
func (w *world) recorded(n int) []audit.Record {
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		found := slices.DeleteFunc(slices.Clone(w.records), func(r audit.Record) bool { return r.UserAgent == sentinelAgent })
		if len(found) >= n {
			w.records = nil
			w.mu.Unlock()
			return found
		}
		w.mu.Unlock()
		select {
		case <-w.arrived:
		case <-deadline:
			w.mu.Lock()
			w.records = nil
			w.mu.Unlock()
			return found
		}
	}
}

// secrets must be in nothing that the gate writes or answers.
func (w *world) leaks(text string) error {
	lower := strings.ToLower(text)
	for _, secret := range []string{"secret-account", "second-account", "upstream-token"} {
		if strings.Contains(lower, secret) {
			return fmt.Errorf("it holds %q", secret)
		}
	}
	return nil
}

// written is the operations log and the audit log.
func (w *world) written(t testing.TB) string {
	t.Helper()
	lines, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String() + string(lines)
}
