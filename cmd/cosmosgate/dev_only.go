package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/oauth2"

	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// describeStandIn says what there is without a gate: the stand-in, its key, and identities that may sign in to it.
func (w *devWorld) describeStandIn(authority *certs.Authority) {
	binary, err := os.Executable()
	if err != nil {
		binary = "cosmosgate"
	}
	w.ready = ready{
		CA: authority.CAFile, Account: devAccount, Issuer: w.provider.Issuer(), Audience: emulator.CosmosAudience,
		Emulator:     readyEmulator{Endpoint: w.url("https", portCosmos) + "/", Key: emulator.WellKnownKey},
		HostIdentity: &readyHost{Endpoint: os.Getenv("IDENTITY_ENDPOINT"), Header: w.identityHeader},
		TokenCommand: []string{binary, "dev", "token", "--state", w.options.state}, PID: os.Getpid(),
	}
	may := map[string]string{
		roleMetadata: "reads definitions of databases and containers", roleReader: "reads and queries items",
		emulator.BuiltInDataContributor: "data contributor: reads and writes items",
	}
	for _, i := range devIdentities(w.options.managedHost()) {
		w.ready.HostIdentity.Identities = append(w.ready.HostIdentity.Identities,
			readyIdentity{Name: i.name, ClientID: i.clientID, May: may[i.role] + ", in " + i.scope})
	}
}

// prepareStandIn fills the stand-in and says that it answers.
func (w *devWorld) prepareStandIn(announce func(*ready) error) error {
	if err := w.restore(); err != nil {
		return err
	}
	if err := w.writeReady(); err != nil {
		return err
	}
	return announce(&w.ready)
}

// announceWorld announces what runs.
func announceWorld(w io.Writer, r *ready) error {
	if r.HostIdentity == nil {
		return announce(w, r)
	}
	out := &printer{w: w}
	out.table([][]string{
		{"stand-in", r.Emulator.Endpoint, "point a Cosmos SDK here, in gateway mode"},
		{"account key", r.Emulator.Key, "the emulators' well-known one"},
		{"certificate", r.CA, "the authority to trust"},
	})
	out.line("\nManaged identities of this pretended host, by client id:")
	var rows [][]string
	for _, i := range r.HostIdentity.Identities {
		rows = append(rows, []string{i.Name, i.ClientID, i.May})
	}
	out.table(rows)
	out.line("\nThe Azure identity libraries' managed identity credential finds them with:\n")
	out.line("  export IDENTITY_ENDPOINT=%s IDENTITY_HEADER=%s", r.HostIdentity.Endpoint, r.HostIdentity.Header)
	out.line("\nA token for one of them:  %s NAME\nStop with Ctrl-C.", strings.Join(r.TokenCommand, " "))
	return out.done()
}

// hostToken asks for a managed identity's token as the Azure identity libraries do on App Service.
func hostToken(ctx context.Context, client *http.Client, host *readyHost, name string) (*oauth2.Token, error) {
	for _, i := range host.Identities {
		if i.Name != name {
			continue
		}
		query := url.Values{"api-version": {"2019-08-01"}, "resource": {emulator.CosmosAudience}, "client_id": {i.ClientID}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, host.Endpoint+"?"+query.Encode(), nil)
		if err != nil {
			return nil, fmt.Errorf("asking for a token: %w", err)
		}
		req.Header.Set("X-Identity-Header", host.Header)
		resp, err := client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("asking for a token: %w", err)
		}
		defer resp.Body.Close() //nolint:errcheck // it was read
		token := new(oauth2.Token)
		if err := json.NewDecoder(resp.Body).Decode(token); err != nil || token.AccessToken == "" {
			return nil, fmt.Errorf("%w: %s", errSignIn, resp.Status)
		}
		return token, nil
	}
	return nil, fmt.Errorf("%w: %q", errStranger, name)
}
