package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// target is a running `cosmosgate dev`, as its ready file describes it.
type target struct {
	Gate struct {
		Endpoint string `json:"endpoint"`
	} `json:"gate"`
	Emulator struct {
		Endpoint string `json:"endpoint"`
		Key      string `json:"key"`
	} `json:"emulator"`
	Config       string   `json:"config"`
	CA           string   `json:"ca"`
	Policy       string   `json:"policy"`
	TokenCommand []string `json:"token_command"`

	key string // a virtual key of the gate
}

// place is a container's address; own ones are made for one run.
type place struct {
	Database  string `json:"database"`
	Container string `json:"container"`
	own       bool
}

// plan is what a runner reads from its standard input.
type plan struct {
	Endpoint   string           `json:"endpoint"`
	CA         string           `json:"ca"`
	Key        string           `json:"key,omitempty"`
	Tokens     map[string]any   `json:"tokens,omitempty"`
	Containers map[string]place `json:"containers"`
	CaseURL    string           `json:"case_url,omitempty"`
	Cases      []map[string]any `json:"cases"`
}

const (
	database     = "shop"
	startTimeout = 30 * time.Second
	pollInterval = 50 * time.Millisecond
)

// open starts the gate with its stand-in, or takes the one that runs already.
func open(ctx context.Context, o options) (*target, func(), error) {
	if o.ready != "" {
		t, err := readTarget(o.ready)
		return t, func() {}, err
	}
	state, err := os.MkdirTemp("", "cosmosgate-conformance-")
	if err != nil {
		return nil, nil, fmt.Errorf("making the state folder: %w", err)
	}
	t, stop, err := start(ctx, o.binary, state)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(state))
	}
	return t, func() {
		stop()
		if err := os.RemoveAll(state); err != nil {
			fmt.Fprintln(os.Stderr, "conformance: removing the state folder:", err)
		}
	}, nil
}

func start(ctx context.Context, binary, state string, more ...string) (*target, func(), error) {
	if binary == "" {
		binary = filepath.Join(state, "cosmosgate")
		if err := tool(ctx, filepath.Join("..", ".."), "go", "build", "-o", binary, "./cmd/cosmosgate"); err != nil {
			return nil, nil, err
		}
	}
	ready, log := filepath.Join(state, "ready.json"), filepath.Join(state, "dev.log")
	out, err := os.Create(log)
	if err != nil {
		return nil, nil, fmt.Errorf("making the log file: %w", err)
	}
	command := exec.CommandContext(ctx, binary, append([]string{"dev", "--port", "0", "--state", filepath.Join(state, "dev"), "--ready-file", ready}, more...)...)
	command.Stdout, command.Stderr = out, out
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = startTimeout
	if err := command.Start(); err != nil {
		return nil, nil, fmt.Errorf("starting the gate: %w", errors.Join(err, out.Close()))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // how it ended is told by its log
	}()
	stop := func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		<-ended
		_ = out.Close()
	}
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		if t, err := readTarget(ready); err == nil {
			return t, stop, nil
		}
		select {
		case <-ended:
			deadline = time.Now()
		default:
		}
	}
	stop()
	text, err := os.ReadFile(log)
	return nil, nil, fmt.Errorf("the gate did not become ready: %w\n%s", err, text)
}

func readTarget(file string) (*target, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the ready file: %w", err)
	}
	var t target
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("reading the ready file: %w", err)
	}
	return &t, nil
}

// containers makes the containers of one run, through the stand-in with its
// key, and names the seeded ones.
func (t *target) containers(ctx context.Context, run string) (map[string]place, error) {
	places := map[string]place{
		"orders":    {Database: database, Container: "orders"},
		"products":  {Database: database, Container: "products"},
		"nowhere":   {Database: database, Container: "no-such-container"},
		"elsewhere": {Database: "no-such-database", Container: "secret"},
	}
	key, err := azcosmos.NewKeyCredential(t.Emulator.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the stand-in's key: %w", err)
	}
	transport, err := t.transport()
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	client, err := azcosmos.NewClientWithKey(t.Emulator.Endpoint, key, &azcosmos.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: transport},
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the stand-in: %w", err)
	}
	shop, err := client.NewDatabase(database)
	if err != nil {
		return nil, fmt.Errorf("connecting to the stand-in: %w", err)
	}
	for name, paths := range map[string][]string{
		"items": {"/pk"}, "feed": {"/pk"}, "changes": {"/pk"}, "versions": {"/pk"}, "nested": {"/tenantId", "/userId"},
	} {
		definition := azcosmos.PartitionKeyDefinition{Paths: paths, Version: 2}
		if len(paths) > 1 {
			definition.Kind = azcosmos.PartitionKeyKindMultiHash
		}
		p := place{Database: database, Container: run + "-" + name, own: true}
		_, err := shop.CreateContainer(ctx, azcosmos.ContainerProperties{ID: p.Container, PartitionKeyDefinition: definition}, nil)
		var native *azcore.ResponseError
		if err != nil && (!errors.As(err, &native) || native.StatusCode != http.StatusConflict) {
			return nil, fmt.Errorf("making %s: %w", p.Container, err)
		}
		places[name] = p
	}
	return places, nil
}

// transport trusts the target's authority.
func (t *target) transport() (*http.Client, error) {
	text, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}, nil
}

// tokens says how each principal gets its token: a command, or the token
// itself for the ones that are no principals.
func (t *target) tokens(ctx context.Context, cases []testCase) (map[string]any, error) {
	tokens := map[string]any{"empty": "", "garbage": "this-is-no-token"}
	for _, c := range cases {
		names := []string{c.As}
		for _, step := range c.Steps {
			if name, ok := step["as"].(string); ok {
				names = append(names, name)
			}
		}
		for _, name := range names {
			if _, known := tokens[name]; !known {
				tokens[name] = append(t.TokenCommand[:len(t.TokenCommand):len(t.TokenCommand)], name)
			}
		}
	}
	forged, err := t.forge(ctx)
	tokens["forged"] = forged
	return tokens, err
}

// forge takes a good token and breaks its signature.
func (t *target) forge(ctx context.Context) (string, error) {
	token, err := t.token(ctx, operator)
	if err != nil {
		return "", err
	}
	head, signature, _ := cutLast(token, ".")
	letters := []byte(signature)
	if len(letters) > 0 {
		letters[0] = 'A' + (letters[0]-'A'+1)%26
	}
	return head + "." + string(letters), nil
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// token signs in as a principal.
func (t *target) token(ctx context.Context, principal string) (string, error) {
	command := append(t.TokenCommand[:len(t.TokenCommand):len(t.TokenCommand)], principal)
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	if err != nil {
		return "", fmt.Errorf("getting a token: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// ask reads a path through the gate and returns the status.
func (t *target) ask(ctx context.Context, token, path string) (int, error) {
	client, err := t.transport()
	if err != nil {
		return 0, err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Gate.Endpoint+path, nil)
	if err != nil {
		return 0, fmt.Errorf("asking the gate: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("X-Ms-Version", "2020-07-15")
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("asking the gate: %w", err)
	}
	return response.StatusCode, response.Body.Close()
}
