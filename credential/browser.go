package credential

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// signInPatience is how long a person may take.
	signInPatience = 5 * time.Minute
	callbackPath   = "/callback"
)

// browse is the authorization code flow with PKCE on a loopback redirect (RFC 8252, 7636).
func (c *Credential) browse(ctx context.Context, m *metadata, s *SignIn) (*session, error) {
	if m.Authorize == "" || m.Token == "" {
		return nil, errUnsupported
	}
	ctx, cancel := context.WithTimeoutCause(ctx, signInPatience, fmt.Errorf("%w: nobody signed in within %s", ErrSignInFailed, signInPatience))
	defer cancel()
	back, err := awaitCallback(ctx, m)
	if err != nil {
		return nil, err
	}
	defer back.close()

	o := m.oauth(s)
	o.RedirectURL = back.redirect
	verifier, nonce := oauth2.GenerateVerifier(), rand.Text()
	extra := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce)}
	if c.options.LoginHint != "" {
		extra = append(extra, oauth2.SetAuthURLParam("login_hint", c.options.LoginHint))
	}
	c.invite(ctx, Prompt{URL: o.AuthCodeURL(back.state, extra...), Issuer: s.Issuer, Audience: s.Audience})

	code, err := back.wait(ctx)
	if err != nil {
		return nil, err
	}
	token, err := o.Exchange(c.oauthContext(ctx), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, fmt.Errorf("exchanging the code: %w", clean(err))
	}
	next := c.newSession(token)
	next.Name, err = c.verifyIDToken(ctx, m, s, token, nonce)
	return next, err
}

// invite opens the browser and tells the person what to do.
func (c *Credential) invite(ctx context.Context, p Prompt) {
	open := c.options.OpenBrowser
	if open == nil {
		open = OpenBrowser
	}
	if p.Code == "" {
		p.Opened = open(ctx, p.URL) == nil
	}
	if c.options.Prompt != nil {
		c.options.Prompt(p)
		return
	}
	text := "sign in at " + p.URL
	if p.Code != "" {
		text += " with the code " + p.Code
	}
	_, _ = fmt.Fprintln(os.Stderr, text) // nothing is left to tell a broken stderr
}

// callback is the loopback listener that the issuer's redirect reaches.
type callback struct {
	redirect, state string

	metadata *metadata
	host     string
	listener net.Listener
	server   *http.Server
	served   chan error
	answers  chan answer
}

type answer struct {
	code string
	err  error
}

func awaitCallback(ctx context.Context, m *metadata) (*callback, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a loopback port for the redirect: %w", err)
	}
	b := &callback{
		state: rand.Text(), metadata: m, host: listener.Addr().String(), listener: listener,
		served: make(chan error, 1), answers: make(chan answer, 1),
	}
	b.redirect = "http://" + b.host + callbackPath
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, MaxHeaderBytes: 64 << 10}
	go func() { b.served <- b.server.Serve(listener) }()
	return b, nil
}

// wait returns the code that the redirect brought.
func (b *callback) wait(ctx context.Context) (string, error) {
	select {
	case a := <-b.answers:
		return a.code, a.err
	case err := <-b.served:
		return "", fmt.Errorf("%w: the loopback listener ended: %w", ErrSignInFailed, err)
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for the sign-in: %w", context.Cause(ctx))
	}
}

// close lets the page reach the browser, then ends the listener.
func (b *callback) close() {
	const last = 2 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), last)
	defer cancel()
	if b.server.Shutdown(ctx) != nil {
		_ = b.server.Close() // a browser that keeps its connection open is not waited for
	}
}

var (
	errRefused   = errors.New("the issuer refused")
	errMixUp     = errors.New("the answer is from another issuer")
	errNoCode    = errors.New("the answer holds no code")
	errNoBrowser = errors.New("there is no browser to open")
)

// ServeHTTP takes the one answer with our state. Anything else on this machine may send requests here: they change nothing.
func (b *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("X-Content-Type-Options", "nosniff")
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || r.Method != http.MethodGet || r.URL.Path != callbackPath || r.Host != b.host ||
		subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(b.state)) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		b.page(w, "This is not the answer that was waited for.")
		return
	}
	a := b.read(q)
	if a.err != nil {
		w.WriteHeader(http.StatusBadRequest)
		b.page(w, "Sign-in failed. The terminal says why.")
	} else {
		b.page(w, "You are signed in. Close this page and go back to the terminal.")
	}
	select {
	case b.answers <- a:
	default: // somebody was faster; a state counts once
	}
}

// read takes the code out of an answer, after the checks of RFC 9207.
func (b *callback) read(q url.Values) answer {
	iss := q["iss"]
	switch {
	case len(iss) > 1, len(iss) == 1 && iss[0] != b.metadata.Issuer, len(iss) == 0 && b.metadata.ReturnsIss:
		return answer{err: fmt.Errorf("%w: %w", ErrSignInFailed, errMixUp)}
	case q.Get("error") != "":
		return answer{err: fmt.Errorf("%w: %w: %s", ErrSignInFailed, errRefused, printable(q.Get("error")+": "+q.Get("error_description")))}
	case q.Get("code") == "":
		return answer{err: fmt.Errorf("%w: %w", ErrSignInFailed, errNoCode)}
	default:
		return answer{code: q.Get("code")}
	}
}

// page is constant: nothing that came with the request is shown.
func (b *callback) page(w io.Writer, text string) {
	_, _ = io.WriteString(w, `<!doctype html><html lang="en"><meta charset="utf-8"><title>cosmosgate</title>`+
		`<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem}</style><p>`+text+`</p></html>`)
}

// printable keeps text that came through a browser from moving a terminal's cursor, and short.
func printable(s string) string {
	const enough = 300
	out := make([]rune, 0, enough)
	for _, r := range s {
		if len(out) == enough {
			break
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}

// OpenBrowser opens a URL the desktop's way, or with the program that BROWSER names. It does not wait for it.
func OpenBrowser(ctx context.Context, address string) error {
	var command *exec.Cmd
	ctx = context.WithoutCancel(ctx) // the browser outlives the sign-in
	switch browser := os.Getenv("BROWSER"); {
	case browser != "":
		command = exec.CommandContext(ctx, browser, address) //nolint:gosec // G702: the person's own choice
	case runtime.GOOS == "windows":
		command = exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", address) //nolint:gosec // G204: one argument, no shell
	case runtime.GOOS == "darwin":
		command = exec.CommandContext(ctx, "open", address) //nolint:gosec // G204: one argument, no shell
	case os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "":
		command = exec.CommandContext(ctx, "xdg-open", address) //nolint:gosec // G204: one argument, no shell
	default:
		return errNoBrowser
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("%w: %w", errNoBrowser, err)
	}
	go func() { _ = command.Wait() }() // only to leave no zombie
	return nil
}
