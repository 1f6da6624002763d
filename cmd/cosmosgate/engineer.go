package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/profile"
)

// engineer is what every command for engineers is told, or remembers from the last login.
type engineer struct {
	gate, authority, config string

	profile *profile.Profile
	known   profile.Gate // the gate that is meant
	stderr  func() io.Writer
}

func (e *engineer) flags(cmd *cobra.Command) {
	e.stderr = cmd.ErrOrStderr
	cmd.Flags().StringVar(&e.gate, "gate", os.Getenv("COSMOSGATE_GATE"),
		"URL of the gate (default: that of the last login); COSMOSGATE_GATE sets the default")
	cmd.Flags().StringVar(&e.authority, "ca", "",
		"authority of the gate's certificate, if it is a private one: a PEM file, or sha256:FINGERPRINT of the one that the gate publishes")
	cmd.Flags().StringVarP(&e.config, "config", "c", "",
		"profile, the file that login remembers gates in (default: profile.yaml in the user's configuration folder; COSMOSGATE_PROFILE)")
	_ = cmd.RegisterFlagCompletionFunc("gate", e.completeGates) // fails only for a flag that does not exist
}

var errNoGate = errors.New("no gate is known")

// load finds out which gate is meant and what is known about it.
func (e *engineer) load(ctx context.Context) error {
	var err error
	if e.config == "" {
		if e.config, err = profile.Path(); err != nil {
			return failed(err, "name a file with --config")
		}
	}
	if e.profile, err = profile.Load(e.config); err != nil {
		return badConfig(err, "correct the file, or delete it and run cosmosgate login")
	}
	named := e.gate
	if named == "" {
		named = e.profile.Current
	}
	if named == "" {
		return &failure{code: exitSignIn, err: errNoGate, hint: "run cosmosgate login --gate https://HOST/"}
	}
	url, err := credential.GateURL(named)
	if err != nil {
		return err //nolint:wrapcheck // says which
	}
	e.known = profile.Gate{URL: url.String()}
	if known := e.profile.Find(e.known.URL); known != nil {
		e.known = *known
	}
	return e.trust(ctx)
}

// trust reads the authority that the command was told.
func (e *engineer) trust(ctx context.Context) error {
	fingerprint, pinned := strings.CutPrefix(e.authority, "sha256:")
	switch {
	case e.authority == "":
		return nil
	case pinned:
		url, err := credential.GateURL(e.known.URL)
		if err != nil {
			return err //nolint:wrapcheck // says which
		}
		pem, err := credential.FetchAuthority(ctx, url, fingerprint)
		if err != nil {
			return withHint(err)
		}
		e.known.Authorities = string(pem)
	default:
		pem, err := os.ReadFile(e.authority)
		if err != nil {
			return failed(fmt.Errorf("reading --ca: %w", err), "name a PEM file")
		}
		e.known.Authorities = string(certificatesOnly(pem))
	}
	return nil
}

// options are those for a credential of the gate that is meant.
func (e *engineer) options(flow credential.Flow) credential.Options {
	o := credential.Options{Gate: e.known.URL, SignIn: e.known.SignIn, Flow: flow, Authorities: []byte(e.known.Authorities)}
	if e.stderr != nil {
		o.Warn = func(err error) { warnUnsealed(e.stderr(), err) }
	}
	if store, err := sessionStore(); err == nil {
		o.Store = store
	}
	return o
}

// sessionStore is the default store, without the keyring if COSMOSGATE_KEYRING is off.
func sessionStore() (*credential.Store, error) {
	if os.Getenv("COSMOSGATE_KEYRING") == "off" {
		return credential.DefaultFileStore() //nolint:wrapcheck // says what it looked for
	}
	return credential.DefaultStore() //nolint:wrapcheck // says what it looked for
}

// signedIn returns a credential that never asks anybody to sign in.
func (e *engineer) signedIn(ctx context.Context) (*credential.Credential, error) {
	if err := e.load(ctx); err != nil {
		return nil, err
	}
	c, err := credential.New(e.options(credential.Cached))
	if err != nil {
		return nil, failed(err, "")
	}
	return c, nil
}

// withHint gives an error of gate, issuer or store the exit code and the next command that it deserves.
func withHint(err error) error {
	var known *failure
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled):
		return failed(err, "") // whoever pressed Ctrl-C knows
	case errors.Is(err, credential.ErrSealed):
		return &failure{code: exitSignIn, err: err, hint: "unlock the keyring, or run cosmosgate login"}
	case errors.Is(err, credential.ErrSignInRequired):
		return &failure{code: exitSignIn, err: err, hint: "run cosmosgate login"}
	case errors.Is(err, credential.ErrExposed):
		return failed(err, "take others' rights away, or delete it and run cosmosgate login")
	case errors.Is(err, credential.ErrSignInFailed):
		return failed(err, "run cosmosgate login again; cosmosgate doctor finds out what is wrong")
	case untrusted(err):
		return &failure{code: exitUnreachable, err: err, hint: "if the gate has a private authority, name it with --ca"}
	}
	if refusal, ok := errors.AsType[*credential.GateError](err); ok {
		return refusedWith(err, refusal.Status)
	}
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return refusedWith(err, answer.StatusCode)
	}
	if unreached, ok := errors.AsType[net.Error](err); ok {
		return &failure{code: exitUnreachable, err: unreached, hint: "is the gate running? cosmosgate doctor looks at each step"}
	}
	return failed(err, "cosmosgate doctor looks at each step")
}

// refusedWith is an answer of the gate that is no success.
func refusedWith(err error, status int) error {
	switch status {
	case http.StatusUnauthorized:
		return &failure{code: exitSignIn, err: err, hint: "run cosmosgate whoami to see why, or cosmosgate login to sign in anew"}
	case http.StatusForbidden:
		return &failure{code: exitDenied, err: err, hint: "run cosmosgate whoami to see what you may do"}
	case http.StatusServiceUnavailable:
		return &failure{code: exitUnreachable, err: err, hint: "try again in a moment; it is not your doing"}
	default:
		return failed(err, "")
	}
}

func untrusted(err error) bool {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}
