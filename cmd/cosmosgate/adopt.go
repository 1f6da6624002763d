package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/internal/control"
)

const actAdopt = "directory.adopt"

// adoptOrder asks for the records of a connection to become another's.
type adoptOrder struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// adoptAnswer is what changed hands; Owners says whose records there are if nothing did.
type adoptAnswer struct {
	directory.Adopted

	Owners []string `json:"owners,omitempty"`
}

// adopt gives the records of one connection to another.
func (g *gate) adopt(ctx context.Context, c *control.Call, o adoptOrder) (adoptAnswer, error) {
	c.Target("adopting %s=%s", o.From, o.To)
	if o.From == o.To {
		return adoptAnswer{}, control.Invalid("the records of "+o.From+" are its own already", "")
	}
	if err := g.knownConnection(o.To); err != nil {
		return adoptAnswer{}, err
	}
	done, err := g.adoptAll(ctx, o)
	answer := adoptAnswer{Adopted: done}
	if err == nil && done.Users+done.Groups == 0 {
		answer.Owners = g.directory.Connections()
	}
	return answer, err
}

func (g *gate) adoptAll(ctx context.Context, o adoptOrder) (directory.Adopted, error) {
	done, err := g.directory.AdoptConnection(ctx, o.From, o.To)
	_, clash := errors.AsType[*directory.ClashError](err)
	switch {
	case clash:
		return done, control.Conflict(err.Error(),
			"nothing was changed: stop provisioning of "+o.To+", delete there what is in the way, and adopt again")
	case err != nil && done.Users+done.Groups > 0:
		return done, control.Unavailable(
			fmt.Sprintf("%d people and %d groups are adopted, and then it broke off: %v", done.Users, done.Groups, err),
			"run the same command again: it adopts the others")
	default:
		return done, directoryFault(err)
	}
}

func newDirectoryAdopt() *cobra.Command {
	var o operator
	cmd := &cobra.Command{
		Use:   "adopt OLD NEW",
		Short: "Give the people and groups of one connection to another",
		Long: `A record belongs to the connection that made it, and no other can change it. This gives all people and groups of connection OLD to
NEW, in the running gate and all that share its directory: NEW's issuer then names these people, and its provider manages them. Ids, memberships
and locks stay. Tokens stay behind. OLD may be gone from the configuration; NEW must be in it.

Stop provisioning of both meanwhile. It is refused, and nothing changed, if two people or groups would have one name: all such pairs are told, up
to a hundred. Bindings of policy that name a group together with its connection must name the new one.`,
		Example: "  cosmosgate directory adopt corp-okta corp-entra",
		Args:    cobra.ExactArgs(2), //nolint:mnd // OLD and NEW
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := ask[adoptAnswer](cmd.Context(), &o, actAdopt, adoptOrder{From: args[0], To: args[1]})
			if err != nil {
				return err
			}
			if o.output == outputJSON {
				return printJSON(cmd.OutOrStdout(), done)
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s and %s of %s belong to %s now\n",
				counted(done.Users, "person", "people"), counted(done.Groups, "group", "groups"), args[0], args[1]); err != nil {
				return wrapOutput(err)
			}
			if done.Users+done.Groups == 0 {
				return hint(cmd, fmt.Sprintf("%s had none: owners of records are %s", args[0], listed(done.Owners)))
			}
			return nil
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	return cmd
}
