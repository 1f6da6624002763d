package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/credential"
)

func newWhoAmI() *cobra.Command {
	var e engineer
	var output string
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show who the gate takes you for and what you may do",
		Long: `Asks the gate who you are: your groups and roles, the containers you may reach with which actions, how long your token
lives, and, if the directory does not let you in, why. A * stands for every container that the policy does not mention.`,
		Example: "  cosmosgate whoami\n  cosmosgate whoami -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.signedIn(cmd.Context())
			if err != nil {
				return err
			}
			who, err := c.WhoAmI(cmd.Context())
			if err != nil {
				return withHint(err)
			}
			if output == outputJSON {
				err = printJSON(cmd.OutOrStdout(), who)
			} else {
				err = printWhoAmI(cmd.OutOrStdout(), e.known.URL, who)
			}
			if err != nil {
				return err
			}
			return notLetIn(who)
		},
	}
	e.flags(cmd)
	outputFlag(cmd, &output, outputTable, outputJSON)
	return cmd
}

var errNotLetIn = errors.New("the gate does not let you in")

// notLetIn is the failure of somebody who signed in and is refused by the directory.
func notLetIn(who *credential.WhoAmI) error {
	if who.Known || who.Refused == nil {
		return nil
	}
	f := &failure{
		code: exitDenied, err: fmt.Errorf("%w: %s", errNotLetIn, plainCell(who.Refused.Message)), hint: plainCell(who.Refused.Hint),
	}
	if who.Refused.Code == "revoked" {
		f.code, f.hint = exitSignIn, "run cosmosgate login"
	}
	return f
}

func printWhoAmI(w io.Writer, gate string, who *credential.WhoAmI) error {
	out := &printer{w: w}
	groups := make([]string, len(who.Groups))
	for i := range who.Groups {
		groups[i] = plainCell(who.Groups[i].Name)
	}
	left := time.Duration(who.Token.RemainingSeconds) * time.Second
	out.table([][]string{
		{"gate", gate},
		{"you", plainCell(dash(who.Name)) + " (" + plainCell(who.Kind) + ")"},
		{"issuer", plainCell(who.Issuer)},
		{"subject", plainCell(who.Subject)},
		{"record", dash(plainCell(who.Record))},
		{"acting", dash(plainCell(strings.Join(who.Actors, ", ")))},
		{"groups", dash(strings.Join(groups, ", "))},
		{"roles", dash(plainCell(strings.Join(who.Roles, ", ")))},
		{"token", "ends in " + left.String()},
	})
	if len(who.Access) == 0 {
		return out.done()
	}
	out.line("")
	if err := out.done(); err != nil {
		return err
	}
	if err := accessTable(who.Access).write(w); err != nil {
		return err
	}
	if who.Truncated {
		out.line("… and more")
	}
	return out.done()
}

func accessTable(access []credential.Reach) *table {
	t := &table{titles: []string{"RESOURCE", "ACTIONS", "PARTITION KEY", "ROLE", "CONDITIONS"}}
	for i := range access {
		r := &access[i]
		conditions := ""
		if r.Conditional {
			conditions = "depends on time, network or sign-in"
		}
		if !r.Expires.IsZero() {
			conditions = strings.TrimPrefix(conditions+"; until "+r.Expires.Format(time.RFC3339), "; ")
		}
		t.add(r.Account+"/"+r.Database+"/"+r.Container, strings.Join(r.Actions, " "), keyCell(r.PartitionKey), r.Role, conditions)
	}
	return t
}

func keyCell(key []json.RawMessage) string {
	if len(key) == 0 {
		return "any"
	}
	parts := make([]string, len(key))
	for i := range key {
		parts[i] = string(key[i])
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// printedToken is a token with its end, in the two forms that languages like.
type printedToken struct {
	Token     string    `json:"access_token"`
	Type      string    `json:"token_type"`
	ExpiresOn time.Time `json:"expires_on"`
	ExpiresAt int64     `json:"expires_at"` // seconds since 1970
}

func newToken() *cobra.Command {
	var e engineer
	var output string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print an access token for scripts and other languages",
		Long: `Prints the access token of your session, renewed if it is past half its life, alone on standard output. With -o json it
comes with its end, for credentials of a few lines in any language: see docs/sdk.md.

A token is you, until it ends. Do not put it into files, environment variables or command lines that others can read.`,
		Example: "  curl --oauth2-bearer \"$(cosmosgate token)\" …\n  cosmosgate token -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.signedIn(cmd.Context())
			if err != nil {
				return err
			}
			token, err := c.GetToken(cmd.Context(), policy.TokenRequestOptions{})
			if err != nil {
				return withHint(err)
			}
			if output == outputJSON {
				return printJSON(cmd.OutOrStdout(), &printedToken{
					Token: token.Token, Type: "Bearer", ExpiresOn: token.ExpiresOn.UTC().Truncate(time.Second), ExpiresAt: token.ExpiresOn.Unix(),
				})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Token)
			return wrapOutput(err)
		},
	}
	e.flags(cmd)
	outputFlag(cmd, &output, "text", outputJSON)
	return cmd
}
