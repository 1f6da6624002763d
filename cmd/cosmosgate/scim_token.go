package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/control"
	"github.com/cosmosgate/cosmosgate/scim"
)

// The acts of this family.
const (
	actSCIMIssue  = "scim.token.create"
	actSCIMRotate = "scim.token.rotate"
	actSCIMRevoke = "scim.token.revoke"
	actSCIMList   = "scim.tokens"
)

// The kinds of credential that a connection has.
const (
	kindBearer = "bearer"        // presented with every request
	kindSecret = "client_secret" // exchanged for access tokens at /scim/oauth/token
	kindAccess = "access_token"  // issued there, for an hour
)

// mostTokens is how many tokens of a kind a connection should have: one, and one that replaces it. The directory keeps no more;
// what the configuration file adds is warned of.
const mostTokens = 2

// oauthOwner is what the directory files a connection's client secrets under: no connection's name has a dot, so neither kind
// can be taken for the other.
func oauthOwner(connection string) string { return "oauth." + connection }

// tokenOrder asks for a new token.
type tokenOrder struct {
	Connection string        `json:"connection"`
	Kind       string        `json:"kind"`
	TTL        time.Duration `json:"ttl"`
	Overlap    time.Duration `json:"overlap,omitempty"`
}

// tokenEntry is one token, as commands print it.
type tokenEntry struct {
	Connection string `json:"connection"`
	Kind       string `json:"kind"`
	// ID names the token for revoking; empty for those of the configuration file.
	ID string `json:"id,omitempty"`
	// Secret is there once, in the answer to the command that made it.
	Secret string `json:"secret,omitempty"`
	// Beside it, there with the secret, live others of its kind, such as the one that it replaces.
	Beside []tokenEntry `json:"beside,omitempty"`
	// URL is there with the secret: where the provider pushes to, or exchanges it.
	URL      string    `json:"url,omitempty"`
	Source   string    `json:"source"`
	Created  time.Time `json:"created,omitzero"`
	Expires  time.Time `json:"expires"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Live     bool      `json:"live"`
}

func (g *gate) tokenActs(m *control.Mux) {
	control.Handle(m, actSCIMIssue, func(ctx context.Context, c *control.Call, o tokenOrder) (tokenEntry, error) {
		return g.makeToken(c, o, func(owner string) (directory.Token, string, error) { return g.directory.CreateToken(ctx, owner, o.TTL) })
	})
	control.Handle(m, actSCIMRotate, func(ctx context.Context, c *control.Call, o tokenOrder) (tokenEntry, error) {
		return g.makeToken(c, o, func(owner string) (directory.Token, string, error) {
			return g.directory.RotateToken(ctx, owner, o.TTL, o.Overlap)
		})
	})
	control.Handle(m, actSCIMRevoke, g.revokeToken)
	control.Handle(m, actSCIMList, func(_ context.Context, _ *control.Call, only string) ([]tokenEntry, error) {
		entries := []tokenEntry{}
		if only != "" {
			if err := g.knownConnection(only); err != nil {
				return nil, err
			}
		}
		for i := range g.cfg.Connections {
			if c := g.cfg.Connections[i].Name; only == "" || only == c {
				entries = append(entries, g.tokens.list(c)...)
			}
		}
		return entries, nil
	})
}

func (g *gate) makeToken(c *control.Call, o tokenOrder, create func(owner string) (directory.Token, string, error)) (tokenEntry, error) {
	c.Target("connection %s", o.Connection)
	if err := g.knownConnection(o.Connection); err != nil {
		return tokenEntry{}, err
	}
	owner := o.Connection
	switch {
	case o.TTL <= 0:
		return tokenEntry{}, control.Invalid("a token needs a lifetime", "give --ttl")
	case o.Kind == kindSecret:
		owner = oauthOwner(o.Connection)
	case o.Kind != kindBearer:
		return tokenEntry{}, control.Invalid("unknown kind of token "+o.Kind, "")
	}
	if live := g.liveTokens(o.Connection, o.Kind); len(live) >= mostTokens {
		return tokenEntry{}, control.Conflict(fmt.Sprintf("%s has %d live %ss, and %d are the most: %s", o.Connection, len(live), spoken(o.Kind), mostTokens, strings.Join(live, ", ")),
			"revoke one with cosmosgate scim token revoke ID, or take it out of the configuration file; cosmosgate scim token ls tells when each was last used")
	}
	t, secret, err := create(owner)
	if err != nil {
		return tokenEntry{}, directoryFault(err)
	}
	c.Target("connection %s, token %s", o.Connection, t.ID)
	e := g.tokens.entry(o.Connection, o.Kind, t)
	e.Secret, e.URL = secret, g.whereToPush(o)
	for _, other := range g.tokens.list(o.Connection) {
		if other.Live && other.Kind == o.Kind && other.ID != e.ID {
			e.Beside = append(e.Beside, other)
		}
	}
	return e, nil
}

// whereToPush is the URL that a provider is given together with the secret.
func (g *gate) whereToPush(o tokenOrder) string {
	if o.Kind == kindSecret {
		return strings.TrimSuffix(g.cfg.SCIM.PublicURL, "/") + scim.OAuthPath
	}
	return pushURL(&g.cfg, o.Connection)
}

// pushURL is the base URL of a connection, as its provider is given it.
func pushURL(cfg *config.Config, connection string) string {
	return strings.TrimSuffix(cfg.SCIM.PublicURL, "/") + "/scim/v2/" + connection
}

func (g *gate) revokeToken(ctx context.Context, c *control.Call, id string) (tokenEntry, error) {
	c.Target("token %s", id)
	for i := range g.cfg.Connections {
		for _, e := range g.tokens.list(g.cfg.Connections[i].Name) {
			if e.ID != id || id == "" {
				continue
			}
			c.Target("connection %s, token %s", e.Connection, id)
			var err error
			if e.Kind == kindAccess {
				_, err = g.tokens.oauth.Revoke(ctx, id)
			} else {
				err = g.directory.RevokeToken(ctx, id)
			}
			if err != nil {
				return tokenEntry{}, directoryFault(err)
			}
			e.Live = false
			return e, nil
		}
	}
	return tokenEntry{}, control.NotFound(fmt.Sprintf("there is no token %q", id), "cosmosgate scim token ls names them; those of the configuration file end there")
}

func (g *gate) knownConnection(name string) error {
	var names []string
	for i := range g.cfg.Connections {
		names = append(names, g.cfg.Connections[i].Name)
	}
	if !slices.Contains(names, name) {
		return control.NotFound(fmt.Sprintf("there is no connection %q", name), "the configuration names "+listed(names))
	}
	return nil
}

// spoken is a kind as people call it.
func spoken(kind string) string {
	if kind == kindBearer {
		return "bearer token"
	}
	return strings.ReplaceAll(kind, "_", " ")
}

// liveTokens names a connection's live tokens of a kind.
func (g *gate) liveTokens(connection, kind string) []string {
	var names []string
	for _, e := range g.tokens.list(connection) {
		switch {
		case !e.Live || e.Kind != kind:
		case e.ID == "":
			names = append(names, "one of the configuration file")
		default:
			names = append(names, e.ID)
		}
	}
	return names
}

func newSCIMToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Tokens that identity providers present",
		Long: `Makes, rotates, revokes and lists what a connection's identity provider presents: bearer tokens, and with
--client-secret the secrets that it exchanges for short access tokens at /scim/oauth/token. At most two of each may live, so that one
can replace the other without a gap. A secret is shown once; the gate keeps its hash.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTokenCreate(), newTokenRotate(), newTokenRevoke(), newTokenList())
	return cmd
}

const defaultTokenLife = span(180 * 24 * time.Hour)

// tokenFlags are those of commands that make tokens.
func tokenFlags(cmd *cobra.Command, ttl *span, secret *bool) {
	*ttl = defaultTokenLife
	cmd.Flags().Var(ttl, "ttl", "how long it lives, such as 90d or 12h")
	cmd.Flags().BoolVar(secret, "client-secret", false, "a secret for /scim/oauth/token instead of a bearer token")
}

func newTokenCreate() *cobra.Command {
	var o operator
	var ttl span
	var secret bool
	cmd := &cobra.Command{
		Use:     "create CONNECTION",
		Short:   "Make a token and show it once",
		Example: "  cosmosgate scim token create corp-entra\n  cosmosgate scim token create corp-entra --ttl 90d --client-secret",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return makeTokenCommand(cmd, &o, actSCIMIssue, tokenOrder{Connection: args[0], Kind: tokenKind(secret), TTL: time.Duration(ttl)})
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.ValidArgsFunction = o.completeConnections
	tokenFlags(cmd, &ttl, &secret)
	return cmd
}

func newTokenRotate() *cobra.Command {
	const threeDays = lifetime(3 * 24 * time.Hour)
	var o operator
	var ttl span
	var secret bool
	overlap := threeDays
	cmd := &cobra.Command{
		Use:   "rotate CONNECTION",
		Short: "Make a token that replaces the live one",
		Long: `Makes a new token and has the one that is live end after --overlap: put the new one into the identity provider by then.
"cosmosgate scim token ls" tells when each was last used.`,
		Example: "  cosmosgate scim token rotate corp-entra --overlap 24h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return makeTokenCommand(cmd, &o, actSCIMRotate, tokenOrder{
				Connection: args[0], Kind: tokenKind(secret), TTL: time.Duration(ttl), Overlap: time.Duration(overlap),
			})
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.ValidArgsFunction = o.completeConnections
	tokenFlags(cmd, &ttl, &secret)
	cmd.Flags().Var(&overlap, "overlap", "how long the old one still works; 0s ends it at once")
	return cmd
}

func tokenKind(secret bool) string {
	if secret {
		return kindSecret
	}
	return kindBearer
}

// makeTokenCommand prints the secret alone on standard output, and everything about it beside.
func makeTokenCommand(cmd *cobra.Command, o *operator, act string, order tokenOrder) error {
	e, err := ask[tokenEntry](cmd.Context(), o, act, order)
	if err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), e)
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), e.Secret); err != nil {
		return wrapOutput(err)
	}
	use := "the bearer token of " + e.Connection + ", for the provider's base URL (tenant URL) " + e.URL
	if e.Kind == kindSecret {
		use = "the client secret of client id " + e.Connection + ", for the token endpoint " + e.URL
	}
	if err := hint(cmd, fmt.Sprintf("this is shown once: it is %s; it works until %s, and is revoked with cosmosgate scim token revoke %s",
		use, when(e.Expires), e.ID)); err != nil {
		return err
	}
	for i := range e.Beside {
		other := fmt.Sprintf("%s works as well, until %s", e.Beside[i].ID, when(e.Beside[i].Expires))
		if e.Beside[i].ID == "" {
			other = "the token of the configuration file works as well, until it is taken out of it or " + when(e.Beside[i].Expires)
		}
		if err := hint(cmd, other); err != nil {
			return err
		}
	}
	return nil
}

func newTokenRevoke() *cobra.Command {
	var o operator
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a token at once",
		Long:    "Ends a token at once. Access tokens that were issued for a client secret end with it.",
		Example: "  cosmosgate scim token revoke 5f0079236e68",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := ask[tokenEntry](cmd.Context(), &o, actSCIMRevoke, args[0])
			if err != nil {
				return err
			}
			return showTokens(cmd, &o, e, []tokenEntry{e})
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	return cmd
}

func newTokenList() *cobra.Command {
	var o operator
	cmd := &cobra.Command{
		Use:   "ls [CONNECTION]",
		Short: "List the tokens of all connections, or of one",
		Long: `Lists tokens without their secrets. The last use is known to within an hour if another gate saw it, or this one before its
start; that of a token in the configuration file is what this gate saw since.`,
		Example: "  cosmosgate scim token ls\n  cosmosgate scim token ls corp-entra -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := ask[[]tokenEntry](cmd.Context(), &o, actSCIMList, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return showTokens(cmd, &o, all, all)
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.ValidArgsFunction = o.completeConnections
	return cmd
}

func showTokens(cmd *cobra.Command, o *operator, v any, entries []tokenEntry) error {
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), v)
	}
	t := table{titles: []string{"CONNECTION", "KIND", "ID", "SOURCE", "CREATED", "EXPIRES", "LAST USED", "STATE"}}
	for i := range entries {
		e := &entries[i]
		state := "ended"
		if e.Live {
			state = "live"
		}
		t.add(e.Connection, e.Kind, e.ID, e.Source, when(e.Created), when(e.Expires), when(e.LastUsed), state)
	}
	return t.write(cmd.OutOrStdout())
}
