package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/sts"
	"github.com/cosmosgate/cosmosgate/internal/control"
	"github.com/cosmosgate/cosmosgate/scim"
)

// The acts of this family.
const (
	actExport = "directory.export"
	actImport = "directory.import"
)

// importSummary is what an import brought.
type importSummary struct {
	Users  int `json:"users"`
	Groups int `json:"groups"`
	Locks  int `json:"locks"`
	// Strangers are owners of records that the configuration does not name: nobody signs in as these people, and nobody changes them.
	Strangers []string `json:"unknown_connections,omitempty"`
	// Left counts the credentials that were in the file and left out.
	Left int `json:"credentials_left_out,omitempty"`
}

// paramCredentials asks an export or import for credentials too.
const paramCredentials = "credentials"

// credentials are whatever lets somebody in. An export and an import leave them unless they are asked for: an old file would bring back
// what was withdrawn since, such as a signing key that got out.
func credentials(params url.Values) (leave, take []string) {
	all := []string{directory.Tokens, scim.AccessEntries, identity.KeyEntries, sts.KeyEntries}
	if params.Has(paramCredentials) {
		return nil, all
	}
	return all, nil
}

func (g *gate) directoryActs(m *control.Mux) {
	control.HandleStream(m, actExport, func(_ context.Context, c *control.Call, _ io.Reader, w io.Writer) error {
		leave, take := credentials(c.Params)
		if len(take) > 0 {
			c.Target("with credentials")
		}
		return directoryFault(g.directory.Export(w, leave...))
	})
	control.HandleStream(m, actImport, g.importDirectory)
	control.Handle(m, actAdopt, g.adopt)
}

// importDirectory keeps what it is sent beside the directory until all of it has been checked: a faulty import changes nothing.
func (g *gate) importDirectory(ctx context.Context, c *control.Call, r io.Reader, w io.Writer) error {
	owners, err := g.newOwners(c)
	if err != nil {
		return err
	}
	spool, err := os.CreateTemp(filepath.Dir(g.cfg.ControlSocket()), ".import-") // mode 0600
	if err != nil {
		return fmt.Errorf("keeping the import: %w", err)
	}
	defer func() { _ = errors.Join(spool.Close(), os.Remove(spool.Name())) }() // it has served
	leave, take := credentials(c.Params)
	sifted, err := directory.Adopt(spool, r, owners, leave...)
	if err != nil {
		return control.Invalid("reading the import: "+err.Error(), "nothing was changed; send it again")
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the import: %w", err)
	}
	if err := directory.CheckImport(spool); err != nil {
		return control.Invalid(err.Error(), "nothing was changed: correct these lines and import all of them again")
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the import: %w", err)
	}
	switch err := g.directory.Import(ctx, spool, take...); {
	case errors.Is(err, directory.ErrNotEmpty):
		return control.Conflict("the directory has records, so nothing was imported", "import into an empty one: stop the gate, move directory.path and every .journal-… beside it away, start it again")
	case err != nil:
		return g.brokenOff(err)
	}
	s := g.imported()
	s.Left = sifted.Left
	if err := json.NewEncoder(w).Encode(s); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}

// imported counts what there is, whoever owns it.
func (g *gate) imported() importSummary {
	s := importSummary{Locks: len(g.directory.Locks())}
	for _, owner := range g.directory.Connections() {
		counts := g.directory.Counts(owner)
		s.Users, s.Groups = s.Users+counts.Users, s.Groups+counts.Groups
		if g.knownConnection(owner) != nil {
			s.Strangers = append(s.Strangers, owner)
		}
	}
	return s
}

// brokenOff says what an import has left that ended early: it is made of many commits.
func (g *gate) brokenOff(err error) error {
	s := g.imported()
	if s.Users+s.Groups == 0 {
		return directoryFault(err)
	}
	return control.Unavailable(fmt.Sprintf("the import broke off, and %d people and %d groups of it are in the directory: %v", s.Users, s.Groups, err),
		"empty the directory and import again: an import is only taken by an empty one")
}

// newOwners reads which connections' records are given to others: an act of its own, so that it is in the record.
func (g *gate) newOwners(c *control.Call) (map[string]string, error) {
	owners, err := adoptions(c.Params["adopt"])
	if err != nil {
		return nil, control.Invalid(err.Error(), "")
	}
	for _, to := range slices.Sorted(maps.Values(owners)) {
		if err := g.knownConnection(to); err != nil {
			return nil, err
		}
	}
	var target []string
	if len(owners) > 0 {
		target = append(target, "adopting "+strings.Join(c.Params["adopt"], ", "))
	}
	if c.Params.Has(paramCredentials) {
		target = append(target, "with credentials")
	}
	c.Target("%s", strings.Join(target, ", "))
	return owners, nil
}

var errAdopt = errors.New("is not OLD=NEW, two names of connections")

// adoptions reads the values of --adopt.
func adoptions(pairs []string) (map[string]string, error) {
	owners := map[string]string{}
	var faults []error
	for _, pair := range pairs {
		from, to, ok := strings.Cut(pair, "=")
		switch _, twice := owners[from]; {
		case !ok || from == "" || to == "" || from == to:
			faults = append(faults, fmt.Errorf("--adopt %q %w", pair, errAdopt))
		case twice:
			faults = append(faults, fmt.Errorf("--adopt %q: %w", pair, errAdoptTwice))
		default:
			owners[from] = to
		}
	}
	return owners, errors.Join(faults...)
}

var errAdoptTwice = errors.New("its records go to one connection only")

func newDirectory() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "directory",
		Short: "Take the directory out of a gate, or into one; give records to another connection",
		Long:  "Exports and imports people, groups, memberships, locks and revocations, as JSON lines, in the running gate.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDirectoryExport(), newDirectoryImport(), newDirectoryAdopt())
	return cmd
}

func newDirectoryExport() *cobra.Command {
	var o operator
	var all bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the directory to standard output, as JSON lines",
		Long: `Writes what the running gate's directory holds: it goes on serving meanwhile, and what changes meanwhile may
or may not be in it. It holds personal data: treat it as you treat the directory. "cosmosgate policy who --people"
and "policy replay --people" read it.

Credentials are left out: tokens of connections, virtual keys, and the token service's signing keys. --credentials writes them too, as hashes and
sealed, to move a gate with all that it has. Do not keep such a file: whoever imports it later brings back what was withdrawn meanwhile.`,
		Example: "  cosmosgate directory export > people.jsonl\n  cosmosgate directory export --credentials > move.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := bufio.NewWriter(cmd.OutOrStdout())
			if err := askStream(cmd.Context(), &o, actExport, credentialParams(all, nil), nil, out); err != nil {
				return err
			}
			return wrapOutput(out.Flush())
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&all, paramCredentials, false, "also hashes of tokens, virtual keys and sealed signing keys")
	return cmd
}

// credentialParams asks for credentials too if all are wanted.
func credentialParams(all bool, adopt []string) url.Values {
	params := url.Values{}
	if all {
		params.Set(paramCredentials, "true")
	}
	if len(adopt) > 0 {
		params["adopt"] = adopt
	}
	return params
}

func newDirectoryImport() *cobra.Command {
	var o operator
	var all bool
	var adopt []string
	cmd := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Read an export into an empty directory",
		Long: `Reads an export (or standard input) into the running gate, whose directory must hold no people and groups yet. All lines are
checked first, and every fault is reported with its line; a faulty file changes nothing. Ids, versions and locks are kept, so that policies
and the identity provider go on as before. Locks and revocations that this gate has already stay.

Credentials in the file are left out and counted: make new ones with "cosmosgate scim token create" and "cosmosgate key mint". With
--credentials they are taken as they are in the file, in place of the gate's own, also those that were withdrawn since: only to move a gate.

A record belongs to the connection that made it, and no other can change it. With --adopt OLD=NEW the people and groups of one connection are given
to another: its issuer then names these people. Tokens stay behind. It is refused if two people or groups would have one name.`,
		Example: "  cosmosgate directory import people.jsonl\n  cosmosgate directory import people.jsonl --adopt corp-okta=corp-entra",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := adoptions(adopt); err != nil {
				return err
			}
			in := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return failed(fmt.Errorf("reading the export: %w", err), "name the file that cosmosgate directory export wrote")
				}
				defer file.Close() //nolint:errcheck // it was only read
				in = file
			}
			var answer bytes.Buffer
			if err := askStream(cmd.Context(), &o, actImport, credentialParams(all, adopt), in, &answer); err != nil {
				return err
			}
			return showImport(cmd, &o, answer.Bytes())
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.Flags().BoolVar(&all, paramCredentials, false, "also take the credentials that the file holds, though some may have been withdrawn since")
	cmd.Flags().StringArrayVar(&adopt, "adopt", nil, "OLD=NEW: give the records of connection OLD to NEW (repeatable)")
	return cmd
}

// showImport prints what an import brought, and what is left to do.
func showImport(cmd *cobra.Command, o *operator, answer []byte) error {
	var s importSummary
	if err := json.Unmarshal(answer, &s); err != nil {
		return fmt.Errorf("reading the gate's answer: %w", err)
	}
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), s)
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "the directory holds %s, %s and %s now\n",
		counted(s.Users, "person", "people"), counted(s.Groups, "group", "groups"), counted(s.Locks, "lock", "locks")); err != nil {
		return wrapOutput(err)
	}
	if s.Left > 0 {
		if err := hint(cmd, counted(s.Left, "credential", "credentials")+
			" of the file left out: make new ones with cosmosgate scim token create and cosmosgate key mint"); err != nil {
			return err
		}
	}
	for _, owner := range s.Strangers {
		if err := hint(cmd, fmt.Sprintf(
			"the configuration names no connection %s, so nobody can sign in as its people: give them to one with cosmosgate directory adopt %s NEW", owner, owner)); err != nil {
			return err
		}
	}
	return nil
}

// counted says how many there are of something.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
