package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/policy"
)

// resolved is what check prints: what the gate would run with.
type resolved struct {
	Config   config.Config `json:"config"`
	Policy   policySummary `json:"policy"`
	Warnings []string      `json:"warnings,omitempty"`
}

type policySummary struct {
	Hash         string   `json:"hash"`
	Roles        []string `json:"roles"`
	Applications []string `json:"applications"`
}

func newCheck() *cobra.Command {
	var path, output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check configuration and policy without starting anything",
		Long: `Reads the configuration file and the policy it names, runs the policy's own tests, and prints what the gate would
run with. Every fault is reported at once with its place. No network connection is opened; secrets stay references.`,
		Example: "  cosmosgate check --config cosmosgate.yaml\n  cosmosgate check --config cosmosgate.yaml -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := check(path)
			if err != nil {
				return err
			}
			if output == outputJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return printResolved(cmd, path, r)
		},
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output, outputText, outputJSON)
	return cmd
}

func check(path string) (*resolved, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, faultyConfig(path, err)
	}
	silent := slog.New(slog.DiscardHandler)
	p, err := newPolicyFolder(&cfg, silent)
	switch wrong := checkIssuers(&cfg, silent); {
	case wrong != nil && err != nil:
		return nil, badConfig(errors.Join(err, wrong), "docs/config.md and docs/policy.md explain every key")
	case wrong != nil:
		return nil, badConfig(wrong, configHint(wrong))
	case err != nil:
		return nil, badConfig(err, policyHint(err))
	}
	set := p.engine.Set()
	r := &resolved{Config: cfg, Policy: policySummary{Hash: set.Hash(), Roles: set.Roles()}}
	for _, w := range set.Warnings() {
		r.Warnings = append(r.Warnings, w.Error())
	}
	for _, a := range set.Applications() {
		r.Policy.Applications = append(r.Policy.Applications, a.Name)
	}
	return r, nil
}

// faultyConfig adds the policy's faults to those of the configuration, as far as they do not depend on it.
func faultyConfig(path string, faults error) error {
	if name := config.FindPolicy(path); name != "" {
		if _, err := policy.Load([]string{name}, policy.Options{Now: time.Now()}); err != nil {
			return badConfig(errors.Join(faults, err), "docs/config.md and docs/policy.md explain every key")
		}
	}
	return badConfig(faults, configHint(faults))
}

// configHint says what to do about a configuration file that cannot be used.
func configHint(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "name the file with --config FILE; docs/config.md has a complete example"
	}
	return "docs/config.md explains every key"
}

// checkIssuers applies the rules of authentication that depend on the kind of provider. It contacts nobody.
func checkIssuers(cfg *config.Config, log *slog.Logger) error {
	c := identityConfig(cfg, &http.Client{Transport: new(http.Transport)}, log)
	c.Directory = nobody{}
	if _, err := identity.New(c); err != nil {
		return fmt.Errorf("issuers: %w", err)
	}
	return nil
}

// nobody is a directory without people, for a check that asks about none.
type nobody struct{}

func (nobody) Lookup(directory.LinkKey) (directory.UserView, bool) {
	return directory.UserView{}, false
}
func (nobody) Locked(directory.Subject) (*directory.Lock, bool) { return nil, false }

func printResolved(cmd *cobra.Command, path string, r *resolved) error {
	w := cmd.OutOrStdout()
	_, err := fmt.Fprintf(w, "%s is valid\n", path)
	for i := range r.Config.Accounts {
		a := &r.Config.Accounts[i]
		_, e := fmt.Fprintf(w, "account     %s: %s -> %s, %d identities\n", a.Name, a.PublicURL, a.Upstream, len(a.Identities))
		err = errors.Join(err, e)
	}
	for i := range r.Config.Issuers {
		x := &r.Config.Issuers[i]
		_, e := fmt.Fprintf(w, "issuer      %s: %s\n", x.Name, x.URL)
		err = errors.Join(err, e)
	}
	for i := range r.Config.Connections {
		x := &r.Config.Connections[i]
		_, e := fmt.Fprintf(w, "connection  %s: people of issuer %s, pushed to %s\n", x.Name, x.Issuer, pushURL(&r.Config, x.Name))
		err = errors.Join(err, e)
	}
	_, e := fmt.Fprintf(w, "policy      %s: %d roles, %d applications\n", r.Policy.Hash, len(r.Policy.Roles), len(r.Policy.Applications))
	err = errors.Join(err, e)
	for _, warning := range r.Warnings {
		_, e := fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", warning)
		err = errors.Join(err, e)
	}
	return wrapOutput(err)
}
