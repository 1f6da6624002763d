// Command cosmosgate is an identity-aware reverse proxy in front of the Azure Cosmos DB (NoSQL) data plane.
//
// Each command has its file; gate.go is the only place that wires the packages together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/internal/control"
)

// exitCode is what the process ends with.
type exitCode int

const (
	exitOK        exitCode = 0
	exitFailure   exitCode = 1 // it was asked properly and did not work
	exitUsage     exitCode = 2 // the command line was wrong
	exitBadConfig exitCode = 3 // the configuration or the policy was wrong

	exitSignIn      exitCode = 4   // nobody is signed in, or the session has ended
	exitDenied      exitCode = 5   // the gate refused: directory or policy
	exitUnreachable exitCode = 6   // gate or identity provider could not be reached or not be trusted, or cannot serve now
	exitInterrupted exitCode = 130 // as shells say of a program that was interrupted
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(int(code))
}

// run executes one command line: data goes to stdout, everything else to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) exitCode {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var f *failure
	known := errors.As(err, &f)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		f = &failure{code: exitInterrupted, err: errInterrupted, hint: f.next()}
	case !known:
		f = misused(args, err)
	}
	_, _ = fmt.Fprintln(stderr, "cosmosgate:", indentFollowing(f.err)) // nothing is left to tell a broken stderr
	if f.note != "" {
		_, _ = fmt.Fprint(stderr, f.note)
	}
	if f.hint != "" {
		_, _ = fmt.Fprintln(stderr, "hint:", f.hint)
	}
	return f.code
}

// failure is an error with the exit code it deserves and what to do next.
type failure struct {
	code exitCode
	err  error
	note string // lines between the error and the hint
	hint string
}

var errInterrupted = errors.New("interrupted")

// next is what to do next, empty for no failure.
func (f *failure) next() string {
	if f == nil {
		return ""
	}
	return f.hint
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(err error, hint string) error { return &failure{code: exitFailure, err: err, hint: hint} }
func badConfig(err error, hint string) error {
	return &failure{code: exitBadConfig, err: err, hint: hint}
}

// indentFollowing puts a list of faults on lines of their own below the first, and indents what a single one says on further lines.
func indentFollowing(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "\n  ")
	if several(err) && strings.Contains(text, "\n") {
		return "several faults\n  " + text
	}
	return text
}

// several says whether an error joins others, or was told as a list.
func several(err error) bool {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // it walks the chain itself
		case *control.Error:
			return true
		case interface{ Unwrap() []error }:
			return len(e.Unwrap()) > 1
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			return false
		}
	}
	return false
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "cosmosgate",
		Short: "Identity-aware reverse proxy for Azure Cosmos DB",
		Long: `cosmosgate stands between Cosmos DB SDKs and an Azure Cosmos DB (NoSQL) account. It proves who calls by OpenID
Connect, looks them up in a directory fed by SCIM, decides by policy, forwards under the managed identity of the
deciding role, and records every request.

Start with "cosmosgate dev": a complete gate on this machine, with people, data and a policy to edit. Engineers start with
"cosmosgate login".

Data goes to standard output, everything else to standard error. Exit codes: 0 done; 1 it did not work; 2 the command line
was wrong; 3 the configuration or the policy was wrong; 4 nobody is signed in, or the session has ended; 5 the gate refused;
6 gate or identity provider could not be reached or not be trusted; 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newLogin(), newLogout(), newWhoAmI(), newToken(), newQuery(), newLs(), newConnect(), newDoctor())
	root.AddCommand(newServe(), newCheck(), newPolicy(), newDev(), newDemo(), newHealthcheck(), newVersion(),
		newLock(), newUnlock(), newLocks(), newRevoke(), newRevocations(), newKey(), newSTS(), newSCIM(), newDirectory())
	completionExamples(root)
	return root
}
