package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/doctor"
	"github.com/cosmosgate/cosmosgate/internal/terminal"
)

var (
	errChecks     = errors.New("a check failed")
	errResourceID = errors.New("--resource-id is /subscriptions/…/providers/Microsoft.DocumentDB/databaseAccounts/NAME")

	resourceIDForm = regexp.MustCompile(`(?i)^/subscriptions/[^/?#]+/resourceGroups/[^/?#]+/providers/Microsoft\.DocumentDB/databaseAccounts/[^/?#]+$`)
)

func newDoctor() *cobra.Command {
	var e engineer
	var output, resourceID, exported string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at each step from you to your data, and say what to do where one fails",
		Long: `Checks, in this order: that the gate can be reached, its certificate, what it publishes, this machine's clock, the identity
provider, your sign-in, your directory record, what the policy gives you, and one read that it allows. It changes nothing.

With --resource-id it also looks at the Cosmos DB account itself for ways round the gate: account keys, a network open to
everybody, and, with --exported, role assignments that are wider than the policy needs. That reads Azure Resource Manager
as whoever is signed in to Azure here.`,
		Example: `  cosmosgate doctor
  cosmosgate doctor --gate https://cosmos.corp.example/ -o json
  cosmosgate policy export policy/ --config cosmosgate.yaml > roles.json
  cosmosgate doctor --exported roles.json --resource-id /subscriptions/…/databaseAccounts/corp-prod`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.signedIn(cmd.Context())
			if err != nil {
				return err
			}
			gate, err := credential.GateURL(e.known.URL)
			if err != nil {
				return err //nolint:wrapcheck // says which
			}
			cfg := doctor.Config{Gate: gate, Authorities: []byte(e.known.Authorities), Credential: c, Clock: time.Now, ResourceID: resourceID}
			if err := withAzure(&cfg, exported); err != nil {
				return err
			}
			results := &findings{w: cmd.OutOrStdout(), quiet: output == outputJSON}
			if err := doctor.Run(cmd.Context(), cfg, results.take); err != nil {
				return withHint(err)
			}
			if output == outputJSON {
				results.err = printJSON(cmd.OutOrStdout(), results.all)
			}
			return results.verdict()
		},
	}
	e.flags(cmd)
	cmd.Flags().StringVar(&resourceID, "resource-id", "", "Azure resource id of the Cosmos DB account, to look for ways round the gate")
	cmd.Flags().StringVar(&exported, "exported", "", "output of policy export --format json, to compare role assignments with")
	outputFlag(cmd, &output, outputTable, outputJSON)
	return cmd
}

// withAzure prepares to look at the account.
func withAzure(cfg *doctor.Config, exported string) error {
	if cfg.ResourceID == "" {
		return nil
	}
	if !resourceIDForm.MatchString(cfg.ResourceID) {
		return errResourceID
	}
	var err error
	if exported != "" {
		if cfg.Exported, err = os.ReadFile(exported); err != nil {
			return failed(fmt.Errorf("reading --exported: %w", err), "")
		}
	}
	if cfg.Azure, err = azidentity.NewDefaultAzureCredential(nil); err != nil {
		return failed(fmt.Errorf("signing in to Azure: %w", err), "az login")
	}
	return nil
}

// findings prints results as they come.
type findings struct {
	w      io.Writer
	quiet  bool
	all    []doctor.Result
	failed bool
	err    error
}

func (f *findings) take(r doctor.Result) {
	f.all = append(f.all, r)
	f.failed = f.failed || r.Status == doctor.Failed
	if f.quiet {
		return
	}
	out := &printer{w: f.w}
	out.line("%s  %-20s %s", paintStatus(f.w, r.Status), r.Check, plainCell(r.Found))
	if r.Fix != "" {
		out.line("%9s%-20s fix: %s", "", "", plainCell(r.Fix))
	}
	f.err = errors.Join(f.err, out.done())
}

func paintStatus(w io.Writer, s doctor.Status) string {
	text := fmt.Sprintf("%-7s", s)
	switch s {
	case doctor.OK:
		return terminal.Paint(w, terminal.Green, text)
	case doctor.Failed:
		return terminal.Paint(w, terminal.Red, text)
	case doctor.Warning:
		return terminal.Paint(w, terminal.Yellow, text)
	case doctor.Skipped:
	}
	return text
}

func (f *findings) verdict() error {
	switch {
	case f.err != nil:
		return f.err
	case f.failed:
		return failed(errChecks, "")
	default:
		return nil
	}
}
