package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/policy"
)

// The forms of policy export.
const (
	exportJSON      = "json"
	exportAz        = "az"
	exportBicep     = "bicep"
	exportTerraform = "terraform"
)

// exportedAccount is the role-based access control of one account: what its upstream identities need, and no more.
type exportedAccount struct {
	Account     string               `json:"account"`
	Endpoint    string               `json:"endpoint"`
	Identities  []exportedIdentity   `json:"identities"`
	Definitions []exportedDefinition `json:"roleDefinitions"`
	Assignments []exportedAssignment `json:"roleAssignments"`
}

// exportedIdentity is an identity of the configuration. Assignments need its object id, which the configuration does not hold.
type exportedIdentity struct {
	Name     string `json:"name"`
	ClientID string `json:"clientId,omitempty"`
}

type exportedDefinition struct {
	ID          string   `json:"id"`
	RoleName    string   `json:"roleName"`
	DataActions []string `json:"dataActions"`
}

type exportedAssignment struct {
	ID         string `json:"id"`
	Identity   string `json:"identity"`
	Definition string `json:"roleDefinitionId"`
	Scope      string `json:"scope"`
	Widened    bool   `json:"widerThanPolicy,omitempty"`
}

func newPolicyExport() *cobra.Command {
	var source policySource
	var format, account string
	cmd := &cobra.Command{
		Use:   "export PATH...",
		Short: "Write the Cosmos DB role definitions and assignments that a policy needs",
		Long: `Writes, for every account of the configuration, custom role definitions and assignments that let each upstream identity do
what the policy can allow under it, and no more. Then Cosmos DB itself refuses what no role allows (defence in depth).

Assignments need the object id (principal id) of each identity, a parameter of every form. Cosmos DB knows scopes, not
partition keys and conditions: those only the gate enforces. A rule such as prod/*/orders becomes the whole account, with
a note. Lists of databases and containers are read under a role's identity, so that each has readMetadata on the account.`,
		Example: `  cosmosgate policy export policy/ --config cosmosgate.yaml --format bicep > roles.bicep
  cosmosgate policy export policy/ --config cosmosgate.yaml --format terraform --account prod > roles.tf`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			cfg, err := config.Load(source.config)
			if err != nil {
				return badConfig(err, configHint(err))
			}
			set, err := source.load(cmd, paths...)
			if err != nil {
				return err
			}
			accounts, err := exportAccounts(&cfg, set, account, time.Now())
			if err != nil {
				return err
			}
			if err := warnAboutExport(cmd, accounts); err != nil {
				return err
			}
			return writeExport(cmd.OutOrStdout(), format, accounts)
		},
	}
	configFlag(cmd, &source.config)
	choiceFlag(cmd, &format, "format", "f", exportJSON, exportAz, exportBicep, exportTerraform)
	cmd.Flags().StringVar(&account, "account", "", "only this account (bicep and terraform files are about one account each)")
	return cmd
}

var (
	errNoAccount   = errors.New("the configuration has no such account")
	errManyAcounts = errors.New("bicep and terraform files are about one account each")
)

// exportAccounts returns what each account of the configuration needs; only one account if it is named.
func exportAccounts(cfg *config.Config, set *policy.Set, only string, now time.Time) ([]exportedAccount, error) {
	accounts := []exportedAccount{}
	for i := range cfg.Accounts {
		if a := &cfg.Accounts[i]; only == "" || only == a.Name {
			accounts = append(accounts, exportAccount(a, set, now))
		}
	}
	if len(accounts) == 0 {
		return nil, failed(fmt.Errorf("%w: %s", errNoAccount, only), "")
	}
	return accounts, nil
}

// exportNamespace makes ids stable: the same policy exports the same ids, so that applying it again changes nothing.
var exportNamespace = uuid.MustParse("8f2f2a53-7a3f-5d0e-9b43-5b7f5c1f6a10")

func exportAccount(a *config.Account, set *policy.Set, now time.Time) exportedAccount {
	out := exportedAccount{Account: a.Name, Endpoint: a.Upstream}
	needs := set.Needs([]string{a.Name}, now)
	if !slices.ContainsFunc(needs, func(n policy.Need) bool { return n.Identity == a.Reader }) {
		needs = append(needs, policy.Need{Identity: a.Reader, Account: a.Name, Actions: policy.ReadMetadata})
	}
	defined := map[policy.Actions]string{}
	for _, n := range needs {
		client, known := clientID(a, n.Identity)
		if !known {
			continue // a role of another account's identity
		}
		if !slices.ContainsFunc(out.Identities, func(x exportedIdentity) bool { return x.Name == n.Identity }) {
			out.Identities = append(out.Identities, exportedIdentity{n.Identity, client})
		}
		id, ok := defined[n.Actions]
		if !ok {
			id = stableID(a.Name, n.Actions.String())
			defined[n.Actions] = id
			out.Definitions = append(out.Definitions, exportedDefinition{id, definitionName(n.Actions), dataActions(n.Actions)})
		}
		scope := scopePath(n.Database, n.Container)
		out.Assignments = append(out.Assignments, exportedAssignment{
			stableID(a.Name, n.Identity, scope, id), n.Identity, id, scope, n.Widened,
		})
	}
	return out
}

func stableID(parts ...string) string {
	return uuid.NewSHA1(exportNamespace, []byte(strings.Join(parts, "\x00"))).String()
}

// clientID returns the client id of an identity, as far as the configuration knows it.
func clientID(a *config.Account, name string) (string, bool) {
	i, ok := a.Identities[name]
	switch {
	case i.ManagedIdentity != nil:
		return i.ManagedIdentity.ClientID, ok
	case i.WorkloadIdentity != nil:
		return i.WorkloadIdentity.ClientID, ok
	case i.ClientCertificate != nil:
		return i.ClientCertificate.ClientID, ok
	default:
		return "", ok
	}
}

// definitionName is unique to the actions in an account.
func definitionName(actions policy.Actions) string {
	if actions == policy.ReadMetadata {
		return "cosmosgate metadata"
	}
	return "cosmosgate data " + fmt.Sprintf("%04x", uint16(actions))
}

// dataActions returns the full names. Names are listed one by one: a wildcard would grow with the service.
func dataActions(actions policy.Actions) []string {
	const prefix, container = "Microsoft.DocumentDB/databaseAccounts/", "sqlDatabases/containers/"
	names := actions.Names()
	for i, name := range names {
		if name == policy.ReadMetadata.String() {
			names[i] = prefix + name
		} else {
			names[i] = prefix + container + name
		}
	}
	return names
}

// scopePath is the scope of an assignment below the account.
func scopePath(database, container string) string {
	switch {
	case database == "":
		return "/"
	case container == "":
		return "/dbs/" + database
	default:
		return "/dbs/" + database + "/colls/" + container
	}
}

func warnAboutExport(cmd *cobra.Command, accounts []exportedAccount) error {
	const mostDefinitions, mostAssignments = 100, 2000
	out := &printer{w: cmd.ErrOrStderr()}
	for i := range accounts {
		a := &accounts[i]
		for _, x := range a.Assignments {
			if x.Widened {
				out.line("warning: account %s: identity %s gets the whole account, because Cosmos DB has no scope for one container name in every database",
					a.Account, x.Identity)
			}
		}
		if len(a.Definitions) > mostDefinitions || len(a.Assignments) > mostAssignments {
			out.line("warning: account %s: %d definitions and %d assignments; Cosmos DB allows %d and %d",
				a.Account, len(a.Definitions), len(a.Assignments), mostDefinitions, mostAssignments)
		}
	}
	return out.done()
}
