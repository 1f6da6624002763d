package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/control"
)

// The acts of this family.
const (
	actRevoke      = "revoke"
	actRevocations = "revocations"
)

// kindPerson is a person whom the directory knows; the other kinds are those of [identity.RevocationKind].
const kindPerson = "person"

// revokeOrder says which tokens end.
type revokeOrder struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Issuer is a configured issuer, by name or URL; for a person it narrows, for an agent there is none.
	Issuer     string `json:"issuer,omitempty"`
	Connection string `json:"connection,omitempty"` // of a person
	Reason     string `json:"reason,omitempty"`
}

// revocationEntry is one revocation, as commands print it.
type revocationEntry struct {
	Kind   string `json:"kind"`
	Issuer string `json:"issuer,omitempty"`
	Name   string `json:"name"`
	// Before is when what it withdraws was issued at the latest; a token is withdrawn whenever it was issued.
	Before  time.Time `json:"before"`
	Expires time.Time `json:"expires"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
}

func (g *gate) revocationActs(m *control.Mux) {
	control.Handle(m, actRevoke, g.revoke)
	control.Handle(m, actRevocations, func(context.Context, *control.Call, struct{}) ([]revocationEntry, error) {
		return entriesOf(g.revoked.List()), nil
	})
}

func (g *gate) revoke(ctx context.Context, c *control.Call, order revokeOrder) ([]revocationEntry, error) {
	all, err := g.revocable(order)
	if err != nil {
		return nil, err
	}
	c.Target("%s %s", order.Kind, order.Name)
	if err := messageFits(order.Reason); err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Reason, all[i].By = order.Reason, c.Peer.User()
		if err := g.revoked.Revoke(ctx, all[i]); errors.Is(err, identity.ErrRevocationsFull) {
			return nil, control.Conflict(err.Error(), "lock who must be kept out: cosmosgate lock")
		} else if err != nil {
			return nil, directoryFault(err)
		}
	}
	return entriesOf(slices.DeleteFunc(g.revoked.List(), func(v identity.Revocation) bool {
		return !slices.ContainsFunc(all, func(made identity.Revocation) bool {
			return made.Kind == v.Kind && made.Issuer == v.Issuer && made.Name == v.Name
		})
	})), nil
}

// revocable finds what an order withdraws. A name or an issuer that means nothing is refused: a typing mistake revokes nothing.
// Clients, sessions, keys and tokens are the issuer's to name: the gate need not have seen them yet.
func (g *gate) revocable(order revokeOrder) ([]identity.Revocation, error) {
	switch order.Kind {
	case kindPerson:
		return g.revocablePerson(order)
	case identity.RevokeAgent.String():
		names, from := g.lockableNames(directory.SubjectAgent)
		if !slices.Contains(names, order.Name) {
			return nil, control.NotFound(fmt.Sprintf("there is no agent %q", order.Name), from+" "+listed(names))
		}
		return []identity.Revocation{{Kind: identity.RevokeAgent, Name: order.Name}}, nil
	}
	for _, kind := range []identity.RevocationKind{
		identity.RevokeClient, identity.RevokeSession, identity.RevokeKey, identity.RevokeToken,
	} {
		if kind.String() != order.Kind || order.Name == "" {
			continue
		}
		if order.Issuer == "" {
			return nil, control.Invalid(fmt.Sprintf("a %s is of an issuer: name it with --issuer", kind), "configured are "+listed(g.issuerNames()))
		}
		url, err := g.issuerURL(order.Issuer)
		return []identity.Revocation{{Kind: kind, Issuer: url, Name: order.Name}}, err
	}
	return nil, control.Invalid(fmt.Sprintf("cannot revoke a %q of that name", order.Kind), "revoke a person, an agent, a client, a session, a key or a token")
}

// revocablePerson are a person's subjects at every issuer that signs them in. What an agent got for them at the token service ends
// with it: it descends from such a token.
func (g *gate) revocablePerson(order revokeOrder) ([]identity.Revocation, error) {
	u, err := g.findUser(order.Name, order.Connection)
	if err != nil {
		return nil, err
	}
	only := ""
	if order.Issuer != "" {
		if only, err = g.issuerURL(order.Issuer); err != nil {
			return nil, err
		}
	}
	var all []identity.Revocation
	for i := range g.cfg.Issuers {
		x := &g.cfg.Issuers[i]
		if x.Connection == u.Connection && u.ExternalID != "" && (only == "" || only == x.URL) {
			all = append(all, identity.Revocation{Kind: identity.RevokeSubject, Issuer: x.URL, Name: u.ExternalID})
		}
	}
	if len(all) == 0 {
		return nil, control.Conflict(fmt.Sprintf("no such issuer signs %q in: there is no token to revoke", order.Name),
			"issuers are tied to connections, people to issuers by externalId")
	}
	return all, nil
}

// issuerURL finds a configured issuer by its name or URL; the token service is called gate, as in records.
func (g *gate) issuerURL(issuer string) (string, error) {
	if own := g.cfg.TokenService.Issuer; g.signing != nil && (issuer == config.OwnIssuer || issuer == own) {
		return own, nil
	}
	for i := range g.cfg.Issuers {
		x := &g.cfg.Issuers[i]
		if issuer == x.Name || issuer == x.URL {
			return x.URL, nil
		}
	}
	return "", control.NotFound(fmt.Sprintf("there is no issuer %q", issuer), "configured are "+listed(g.issuerNames()))
}

func (g *gate) issuerNames() (names []string) {
	if g.signing != nil {
		names = append(names, config.OwnIssuer)
	}
	for i := range g.cfg.Issuers {
		names = append(names, g.cfg.Issuers[i].Name)
	}
	return names
}

func entriesOf(list []identity.Revocation) []revocationEntry {
	entries := []revocationEntry{}
	for _, v := range list {
		entries = append(entries, revocationEntry{
			Kind: v.Kind.String(), Issuer: v.Issuer, Name: v.Name, Before: v.Before, Expires: v.Expires, Reason: v.Reason, By: v.By,
		})
	}
	slices.SortFunc(entries, func(a, b revocationEntry) int {
		return cmp.Or(a.Before.Compare(b.Before), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return entries
}

func newRevoke() *cobra.Command {
	var o operator
	order := revokeOrder{}
	names := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "End tokens before they expire",
		Long: `Withdraws in the running gate, and in all that share its directory, what was issued until now: the next request with such a
token is refused, also by an agent with a token that was exchanged for one. Whoever may sign in again gets a new token, which is good; to keep
somebody out use "cosmosgate lock".

--token ends one token whenever it was issued. A person is named by id, userName or externalId.`,
		Example: "  cosmosgate revoke --person ann@corp.example -m 'laptop stolen'\n  cosmosgate revoke --agent order-helper\n" +
			"  cosmosgate revoke --token 6f1c… --issuer gate\n  cosmosgate revoke --session 8d2e… --issuer corp",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for kind, name := range names {
				if cmd.Flags().Changed(kind) {
					order.Kind, order.Name = kind, *name
				}
			}
			entries, err := ask[[]revocationEntry](cmd.Context(), &o, actRevoke, order)
			if err != nil {
				return err
			}
			return showRevocations(cmd, &o, entries)
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	kinds := []string{kindPerson, "agent", "client", "session", "key", "token"}
	for i, usage := range []string{
		"all tokens of a person, by id, userName or externalId", "all tokens that name an agent, by the name that policy declares",
		"all that --issuer issued to a client (client_id)", "all of a session (sid) at --issuer", "all that a key (kid) of --issuer signed",
		"one token (jti) of --issuer, and what was exchanged for it",
	} {
		names[kinds[i]] = cmd.Flags().String(kinds[i], "", usage)
	}
	cmd.MarkFlagsOneRequired(kinds...)
	cmd.MarkFlagsMutuallyExclusive(kinds...)
	cmd.Flags().StringVar(&order.Issuer, "issuer", "", "issuer, by its name in the configuration or its URL; the token service is gate")
	cmd.Flags().StringVar(&order.Connection, "connection", "", "look for the person in this SCIM connection only")
	cmd.Flags().StringVarP(&order.Reason, "message", "m", "", "why, for whoever finds the revocation")
	return cmd
}

func newRevocations() *cobra.Command {
	return listing(&cobra.Command{
		Use:   "revocations",
		Short: "List the revocations in force",
		Long: `Lists what was withdrawn before its time, oldest first: by operators, by agents and people at the token service, and by feeds of
identity providers. A revocation is forgotten when no token that it covers can live any more.`,
		Example: "  cosmosgate revocations\n  cosmosgate revocations -o json",
	}, actRevocations, showRevocations)
}

// showRevocations prints revocations as a table, or as JSON.
func showRevocations(cmd *cobra.Command, o *operator, entries []revocationEntry) error {
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), entries)
	}
	t := table{titles: []string{"KIND", "NAME", "ISSUER", "ISSUED UNTIL", "FORGOTTEN", "BY", "REASON"}}
	for i := range entries {
		e := &entries[i]
		t.add(e.Kind, e.Name, e.Issuer, when(e.Before), when(e.Expires), e.By, e.Reason)
	}
	return t.write(cmd.OutOrStdout())
}
