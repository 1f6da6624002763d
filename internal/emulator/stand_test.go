package emulator_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// clock is a hand-turned clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// stand is a stand-in behind a real HTTP server, with the database "shop" and the containers
// "orders" (/dep), "carts" (/tenant, /user).
type stand struct {
	*emulator.Emulator
	clock  *clock
	server *httptest.Server
}

func newStand(t *testing.T, change ...func(*emulator.Config)) *stand {
	t.Helper()
	turned := &clock{now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)}
	config := emulator.Config{
		Account: "shop", Locations: []emulator.Location{{Name: "West Europe"}}, MasterKey: emulator.WellKnownKey,
		Clock: turned.Now, Random: rand.NewChaCha8([32]byte{}),
	}
	for _, one := range change {
		one(&config)
	}
	made, err := emulator.New(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		made.CreateDatabase("shop"),
		made.CreateContainer("shop", emulator.ContainerDefinition{ID: "orders", PartitionKey: []string{"/dep"}}),
		made.CreateContainer("shop", emulator.ContainerDefinition{ID: "carts", PartitionKey: []string{"/tenant", "/user"}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(made)
	t.Cleanup(server.Close)
	return &stand{made, turned, server}
}

// call is one request to a stand.
type call struct {
	method, path, body string
	header             map[string]string
	// token, when not "", signs in with type=aad instead of the account key.
	token string
	// unsigned leaves the Authorization header to header.
	unsigned bool
}

// reply is what came back.
type reply struct {
	Status int
	Header http.Header
	Body   string
}

// get reads a member of the body by its path.
func (r reply) get(t *testing.T, path ...any) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(r.Body), &value); err != nil {
		t.Fatalf("reading %q: %v", r.Body, err)
	}
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[step]
		case int:
			array, _ := value.([]any)
			if step >= len(array) {
				return nil
			}
			value = array[step]
		}
	}
	return value
}

// do sends a call and fails the test when it cannot be sent.
func (s *stand) do(t *testing.T, c call) reply {
	t.Helper()
	answer, err := s.try(t, c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	return answer
}

func (s *stand) try(t *testing.T, c call) (reply, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), c.method, s.server.URL+c.path, bytes.NewReader([]byte(c.body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range c.header {
		request.Header.Set(name, value)
	}
	switch {
	case c.unsigned:
	case c.token != "":
		request.Header.Set("Authorization", url.QueryEscape("type=aad&ver=1.0&sig="+c.token))
	default:
		sign(request, s.clock.Now())
	}
	answer, err := s.server.Client().Do(request)
	if err != nil {
		return reply{}, err //nolint:wrapcheck // the tests look at it
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written
	body, err := io.ReadAll(answer.Body)
	return reply{answer.StatusCode, answer.Header, string(body)}, err //nolint:wrapcheck // the tests look at it
}

// sign adds the account key's signature as SDKs do.
func sign(request *http.Request, now time.Time) {
	segments := strings.FieldsFunc(request.URL.Path, func(r rune) bool { return r == '/' })
	kind, link := "", strings.Join(segments, "/")
	if n := len(segments); n%2 == 1 {
		kind, link = segments[n-1], strings.Join(segments[:n-1], "/")
	} else if n > 0 {
		kind = segments[n-2]
	}
	for name, value := range signLink(request.Method, kind, link, now) {
		request.Header.Set(name, value)
	}
}

const (
	orders = "/dbs/shop/colls/orders/docs"
	carts  = "/dbs/shop/colls/carts/docs"
)

func keyed(key string, more ...string) map[string]string {
	header := map[string]string{"X-Ms-Documentdb-Partitionkey": key}
	for i := 0; i+1 < len(more); i += 2 {
		header[more[i]] = more[i+1]
	}
	return header
}

// create stores an order and returns the reply, which must be 201.
func (s *stand) create(t *testing.T, department, id, rest string) reply {
	t.Helper()
	answer := s.do(t, call{method: "POST", path: orders, body: `{"id":"` + id + `","dep":"` + department + `"` + rest + `}`, header: keyed(`["` + department + `"]`)})
	if answer.Status != http.StatusCreated {
		t.Fatalf("creating %s/%s: %d %s", department, id, answer.Status, answer.Body)
	}
	return answer
}

// question makes the call of a query.
func question(path, text string, header map[string]string) call {
	body, _ := json.Marshal(map[string]any{"query": text}) //nolint:errchkjson // cannot fail
	full := map[string]string{"Content-Type": "application/query+json", "X-Ms-Documentdb-Isquery": "True"}
	maps.Copy(full, header)
	return call{method: "POST", path: path, body: string(body), header: full}
}

// signLink returns the headers of the account key's signature over a resource link.
func signLink(method, kind, link string, now time.Time) map[string]string {
	date := strings.ToLower(now.UTC().Format(http.TimeFormat))
	key, _ := base64.StdEncoding.DecodeString(emulator.WellKnownKey) //nolint:errcheck // a constant
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, strings.ToLower(method)+"\n"+kind+"\n"+link+"\n"+date+"\n\n")
	return map[string]string{
		"X-Ms-Date":     date,
		"Authorization": url.QueryEscape("type=master&ver=1.0&sig=" + base64.StdEncoding.EncodeToString(mac.Sum(nil))),
	}
}
