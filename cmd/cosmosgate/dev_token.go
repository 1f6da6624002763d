package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func newDevToken() *cobra.Command {
	var state, agent, scope string
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Sign in as one of the seeded people or applications and print the access token",
		Long: `Runs the flow that a real client would: authorization code with PKCE for a person, client credentials for an
application. The token goes to standard output, alone.

With --agent, the agent exchanges the person's token for one by which it acts for that person.`,
		Example: "  cosmosgate dev token ann\n  cosmosgate dev token ann --agent order-helper --scope cosmos.read\n  curl -H \"Authorization: Bearer $(cosmosgate dev token checkout)\" …",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := readyFile(state)
			if err != nil {
				return failed(err, "")
			}
			r, err := readReady(path)
			if err != nil {
				return failed(err, "start it with cosmosgate dev, or name its --state folder")
			}
			client, err := trustingClient(r.CA)
			if err != nil {
				return failed(err, "start it with cosmosgate dev, or name its --state folder")
			}
			token, err := devToken(cmd.Context(), client, r, args[0])
			if err == nil && agent != "" {
				token, err = actingFor(cmd.Context(), client, r, agent, token.AccessToken, scope)
			}
			if errors.Is(err, errStranger) {
				return failed(err, "cosmosgate dev prints who there is")
			}
			if err != nil {
				return failed(err, "cosmosgate dev must be running; cosmosgate locks lists who is locked out")
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token.AccessToken)
			return wrapOutput(err)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "state folder of the development gate (default: the one started last)")
	cmd.Flags().StringVar(&agent, "agent", "", "have this agent exchange the person's token for one of its own")
	cmd.Flags().StringVar(&scope, "scope", "", "with --agent: narrow the token to these scopes")
	return cmd
}

// actingFor has the agent exchange a person's token.
func actingFor(ctx context.Context, client *http.Client, r *ready, agent, subject, scope string) (*oauth2.Token, error) {
	if r.Agent == nil || r.Agent.Name != agent {
		return nil, fmt.Errorf("%w: agent %q", errStranger, agent)
	}
	return delegate(ctx, client, r, subject, scope)
}

var (
	errStranger = errors.New("nobody of that name")
	errSignIn   = errors.New("sign-in was refused")
)

// devToken signs in through the provider's own protocol.
func devToken(ctx context.Context, client *http.Client, r *ready, name string) (*oauth2.Token, error) {
	if r.HostIdentity != nil {
		return hostToken(ctx, client, r.HostIdentity, name)
	}
	ctx = oidc.ClientContext(ctx, client)
	provider, err := oidc.NewProvider(ctx, r.Issuer)
	if err != nil {
		return nil, fmt.Errorf("asking the development provider: %w", err)
	}
	for _, a := range r.Applications {
		if a.Name == name {
			c := clientcredentials.Config{ClientID: a.ClientID, ClientSecret: a.Secret, TokenURL: provider.Endpoint().TokenURL}
			token, err := c.Token(ctx)
			if err != nil {
				return nil, fmt.Errorf("signing in as %s: %w", name, err)
			}
			return token, nil
		}
	}
	for _, p := range r.People {
		if p.Name == name {
			return signIn(ctx, client, r, provider.Endpoint(), name)
		}
	}
	return nil, fmt.Errorf("%w: %q", errStranger, name)
}

// signIn is the authorization code flow with PKCE, without a browser: the provider picks the person named by login_hint.
func signIn(ctx context.Context, client *http.Client, r *ready, endpoint oauth2.Endpoint, name string) (*oauth2.Token, error) {
	state, err := newSecret()
	if err != nil {
		return nil, err
	}
	verifier := oauth2.GenerateVerifier()
	c := oauth2.Config{
		ClientID: r.ClientID, Endpoint: endpoint, RedirectURL: "http://127.0.0.1/callback", Scopes: []string{oidc.ScopeOpenID},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		c.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("login_hint", name)), nil)
	if err != nil {
		return nil, fmt.Errorf("asking for a code: %w", err)
	}
	here := *client
	here.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := here.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for a code: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the Location matters
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil, fmt.Errorf("reading the code: %w", err)
	}
	q := back.Query()
	switch {
	case q.Get("error") != "":
		return nil, fmt.Errorf("%w: %s: %s", errSignIn, q.Get("error"), q.Get("error_description"))
	case q.Get("state") != state || q.Get("iss") != r.Issuer || q.Get("code") == "":
		return nil, fmt.Errorf("%w: %s without our state, issuer and a code", errSignIn, resp.Status)
	}
	token, err := c.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, fmt.Errorf("exchanging the code: %w", err)
	}
	return token, nil
}
