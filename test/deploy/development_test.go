package deploy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// development is a running `cosmosgate dev`.
type development struct {
	client *http.Client
	ready  struct {
		Gate         struct{ Endpoint, Admin string } `json:"gate"`
		CA           string                           `json:"ca"`
		Issuer       string                           `json:"issuer"`
		TokenCommand []string                         `json:"token_command"`
		Config       string                           `json:"config"`
		Policy       string                           `json:"policy"`
	}
}

func startDevelopment(t *testing.T, binary string) *development {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "ready.json")
	cmd := exec.CommandContext(context.Background(), binary, "dev", "--port", "0", "--state", filepath.Join(dir, "state"), "--ready-file", file)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	})
	for _, err := os.Stat(file); err != nil; _, err = os.Stat(file) {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("cosmosgate dev: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	d := new(development)
	decodeFile(t, file, &d.ready)
	ca, err := os.ReadFile(d.ready.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	d.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	return d
}

// traffic makes one request of each kind: allowed, denied, of somebody who has left, and without a credential.
func (d *development) traffic(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		person, partition string
		want              int
	}{
		{"ann", "emea", http.StatusOK}, {"ann", "emea", http.StatusOK}, {"ann", "apac", http.StatusForbidden},
		{"dan", "emea", http.StatusUnauthorized}, {"", "emea", http.StatusUnauthorized},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.ready.Gate.Endpoint+"dbs/shop/colls/orders/docs/1001", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Ms-Version", "2020-07-15")
		r.Header.Set("X-Ms-Documentdb-Partitionkey", `["`+c.partition+`"]`)
		if c.person != "" {
			token, err := exec.CommandContext(t.Context(), d.ready.TokenCommand[0], append(d.ready.TokenCommand[1:], c.person)...).Output()
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		}
		answer, err := d.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close() // only the status matters
		if answer.StatusCode != c.want {
			t.Errorf("%q for %s: %d, want %d", c.person, c.partition, answer.StatusCode, c.want)
		}
	}
}

// administer makes a virtual key and withdraws an agent's tokens, so that their metrics have something to show.
func (d *development) administer(t *testing.T, binary string) {
	t.Helper()
	const declared = "kind: Application\nname: nightly\nvirtualKeys: true\n"
	if err := os.WriteFile(filepath.Join(d.ready.Policy, "nightly.yaml"), []byte(declared), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{{"key", "mint", "nightly", "--owner", "ann@shop.example"}, {"revoke", "--agent", "order-helper"}} {
		var out []byte
		err := os.ErrInvalid
		for tries := 0; err != nil && tries < 100; tries++ { // the policy is read in a moment
			if out, err = exec.CommandContext(t.Context(), binary, append(line, "--config", d.ready.Config)...).CombinedOutput(); err != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// signIn runs deploy/compose/token.sh against the development identity provider, whose client has the same name.
func (d *development) signIn(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(root, "deploy", "compose", "token.sh"), d.ready.CA, d.ready.Issuer)
	var token bytes.Buffer
	cmd.Stdout = &token
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var page *url.URL
	lines := bufio.NewScanner(said)
	for page == nil && lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "open "); ok {
			if page, err = url.Parse(address); err != nil {
				t.Fatal(err)
			}
		}
	}
	if page == nil {
		t.Fatalf("token.sh named no page: %v", cmd.Wait())
	}
	form := url.Values{"user_code": {page.Query().Get("user_code")}, "person": {"ann"}}
	page.RawQuery = ""
	answer, err := d.client.PostForm(page.String(), form)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // only the status matters
	if answer.StatusCode != http.StatusOK {
		t.Errorf("signing in: %s", answer.Status)
	}
	for lines.Scan() { // what else it says
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil || strings.Count(strings.TrimSpace(token.String()), ".") != 2 {
		t.Errorf("token.sh: %v, printed %q", err, token.String())
	}
}
