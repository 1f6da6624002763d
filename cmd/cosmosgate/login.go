package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/credential"
)

func newLogin() *cobra.Command {
	var e engineer
	var device, noBrowser bool
	var signIn, hint string
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in to a gate, once for every tool",
		Long: `Signs you in at the identity provider that the gate names, in your browser, or with --device on any other machine. The
session is kept for your other commands, sealed by the operating system's keyring where there is one, and renewed by
them; the gate's address and authority are remembered in your profile.

The first sign-in needs the gate's URL. If the gate has a certificate of a private authority, name that too: as a file, or
by the fingerprint that an administrator tells you.`,
		Example: `  cosmosgate login --gate https://cosmos.corp.example/
  cosmosgate login --gate cosmos.corp.example --ca sha256:0f3a…
  cosmosgate login --device        # on a machine without a browser`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := e.load(cmd.Context()); err != nil {
				return err
			}
			flow := credential.Browser
			if device {
				flow = credential.Device
			}
			if signIn != "" {
				e.known.SignIn = signIn
			}
			o := e.options(flow)
			o.LoginHint = hint
			o.Prompt = func(p credential.Prompt) { invite(cmd.ErrOrStderr(), p) }
			if noBrowser {
				o.OpenBrowser = func(context.Context, string) error { return errNoBrowser }
			}
			return login(cmd.Context(), cmd.ErrOrStderr(), &e, o)
		},
	}
	e.flags(cmd)
	cmd.Flags().BoolVar(&device, "device", false, "show a code to enter in a browser on another machine")
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "print the address instead of opening a browser on this machine")
	cmd.Flags().StringVar(&signIn, "sign-in", "", "where to sign in, if the gate names several places")
	cmd.Flags().StringVar(&hint, "login-hint", "", "user name to suggest to the identity provider")
	return cmd
}

var errNoBrowser = errors.New("told not to open one")

// login signs in, remembers the gate, and says what the gate thinks of it.
func login(ctx context.Context, stderr io.Writer, e *engineer, o credential.Options) error {
	c, err := credential.New(o)
	if err != nil {
		return failed(err, "")
	}
	name, err := c.SignIn(ctx)
	if err != nil {
		return withHint(err)
	}
	e.profile.Use(e.known)
	if err := e.profile.Save(e.config); err != nil {
		return failed(err, "name another file with --config")
	}
	out := &printer{w: stderr}
	out.line("signed in as %s at %s", plainCell(name), e.known.URL)
	who, err := c.WhoAmI(ctx)
	switch {
	case err != nil:
		return withHint(err)
	case !who.Known && who.Refused != nil:
		out.line("but the gate does not let you in: %s", plainCell(who.Refused.Message))
		out.line("hint: %s", plainCell(who.Refused.Hint))
	case len(who.Access) == 0:
		out.line("but no role gives you anything yet\nhint: ask an administrator of the gate for a role")
	default:
		out.line("hint: run cosmosgate whoami to see what you may do, or cosmosgate ls")
	}
	return out.done()
}

// invite tells a person where to sign in.
func invite(w io.Writer, p credential.Prompt) {
	out := &printer{w: w}
	switch {
	case p.Code != "":
		out.line("open %s and enter the code %s", p.URL, p.Code)
	case p.Opened:
		out.line("your browser opens to sign in for %s; if it does not, open\n  %s", plainCell(p.Audience), p.URL)
	default:
		out.line("open this address in a browser on this machine to sign in for %s:\n  %s", plainCell(p.Audience), p.URL)
		out.line("hint: if your browser is on another machine, use cosmosgate login --device")
	}
}

// warnUnsealed says that the keyring did not seal the session, and what to do about it.
func warnUnsealed(w io.Writer, err error) {
	out := &printer{w: w}
	out.line("warning: %s", plainCell(err.Error()))
	out.line("hint: start or unlock the system's keyring and sign in again; COSMOSGATE_KEYRING=off does without it")
}

// certificatesOnly drops whatever else a PEM file holds, such as a private key, before it goes into the profile.
func certificatesOnly(text []byte) []byte {
	var kept []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			kept = append(kept, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
		}
	}
	if kept == nil {
		return text // to be refused as what it is
	}
	return kept
}

func newLogout() *cobra.Command {
	var e engineer
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "End the session: revoke it at the identity provider and forget it",
		Long: `Revokes the session at the identity provider and deletes it from this machine. Access tokens that were handed out live
on until they end by themselves, minutes later.`,
		Example: "  cosmosgate logout\n  cosmosgate logout --gate https://cosmos.corp.example/",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.signedIn(cmd.Context())
			if err != nil {
				return err
			}
			if err := c.SignOut(cmd.Context()); err != nil {
				return withHint(err)
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "signed out of %s\n", e.known.URL)
			return wrapOutput(err)
		},
	}
	e.flags(cmd)
	return cmd
}
