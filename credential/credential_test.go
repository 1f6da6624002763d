package credential_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/credential"
)

var _ azcore.TokenCredential = (*credential.Credential)(nil)

func decode(t *testing.T, part string) []byte {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAPersonSignsInWithNothingButTheGatesURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.credential(nil)
	token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://localhost/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{claim(t, token.Token, "sub"), claim(t, token.Token, "aud"), claim(t, token.Token, "scope")}
	if diff := cmp.Diff([]string{"00u-ann", audience, "openid offline_access cosmos.read"}, got); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	if !token.ExpiresOn.After(w.now()) || !token.RefreshOn.Before(token.ExpiresOn) || !token.RefreshOn.After(w.now()) {
		t.Errorf("now %v: expires on %v, refresh on %v", w.now(), token.ExpiresOn, token.RefreshOn)
	}
}

func TestCallersThatComeTogetherShareOneSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.credential(nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := subject(t, c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(1, w.count("/dev/token")); diff != "" {
		t.Errorf("tokens asked for (-want +got):\n%s", diff)
	}
}

func TestCallersThatComeTogetherShareOneFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var opened atomic.Int32
	release := make(chan struct{})
	c := w.credential(func(o *credential.Options) {
		o.OpenBrowser = func(_ context.Context, address string) error {
			opened.Add(1)
			go func() { <-release; w.visit(address, func(u *url.URL) { u.RawQuery += "&iss=twice" }) }()
			return nil
		}
	})
	var all, begun sync.WaitGroup
	for range 10 {
		begun.Add(1)
		all.Go(func() {
			begun.Done()
			if _, err := subject(t, c); !errors.Is(err, credential.ErrSignInFailed) {
				t.Errorf("error %v", err)
			}
		})
	}
	begun.Wait()
	close(release)
	all.Wait()
	if got := opened.Load(); got >= 10 { // a late caller may come after the first failure; never does each open its own
		t.Errorf("the browser was opened %d times", got)
	}
}

func TestAnotherProcessFindsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := subject(t, w.credential(nil)); err != nil {
		t.Fatal(err)
	}
	got, err := subject(t, w.credential(func(o *credential.Options) { o.Flow = credential.Cached }))
	if err != nil || got != "00u-ann" {
		t.Errorf("got %q, %v", got, err)
	}
	if diff := cmp.Diff(1, w.count("/dev/token")); diff != "" {
		t.Errorf("tokens asked for (-want +got):\n%s", diff)
	}
}

func TestASessionIsForOneGateAndClientOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := subject(t, w.credential(nil)); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*credential.Options){
		"another client":               func(o *credential.Options) { o.ClientID = "other" },
		"another name of the gate":     func(o *credential.Options) { o.Gate = strings.Replace(o.Gate, "127.0.0.1", "example.com", 1) },
		"a cached session that is not": func(o *credential.Options) { o.Store = credential.NewStore(t.TempDir()+"/x", nil) },
	} {
		c := w.credential(func(o *credential.Options) {
			o.Flow = credential.Cached
			o.Transport = w.server.Client().Transport
			edit(o)
		})
		if _, err := subject(t, c); !errors.Is(err, credential.ErrSignInRequired) && !strings.Contains(err.Error(), "example.com") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokensAreRenewedPastHalfTheirLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.credential(nil)
	first, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(29 * time.Minute)
	if same, err := c.GetToken(t.Context(), policy.TokenRequestOptions{}); err != nil || same.Token != first.Token {
		t.Errorf("before half its life: another token, %v", err)
	}
	w.advance(2 * time.Minute)
	second, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
	if err != nil || second.Token == first.Token {
		t.Errorf("past half its life: the same token, %v", err)
	}
}

func TestATokenThatLivesServesThroughAnOutageOfTheIssuer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.credential(nil)
	if _, err := subject(t, c); err != nil {
		t.Fatal(err)
	}
	w.change(func(path string, body []byte) []byte {
		if path == "/dev/token" {
			return nil
		}
		return body
	})
	w.advance(40 * time.Minute)
	for range 3 {
		if _, err := subject(t, c); err != nil {
			t.Fatalf("while it lives: %v", err)
		}
	}
	if got := w.count("/dev/token"); got > 4 {
		t.Errorf("the issuer in its outage was asked %d times", got)
	}
	w.advance(25 * time.Minute)
	if _, err := subject(t, c); err == nil || errors.Is(err, credential.ErrSignInRequired) {
		t.Errorf("after its end: %v, want the outage", err)
	}
	w.change(nil)
	if _, err := subject(t, c); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestTwoProcessesThatRenewAtOnceUseTheRefreshTokenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := subject(t, w.credential(nil)); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	var all sync.WaitGroup
	for range 8 {
		c := w.credential(func(o *credential.Options) { o.Flow = credential.Cached })
		all.Go(func() {
			if _, err := subject(t, c); err != nil {
				t.Errorf("a process lost its session: %v", err) // the issuer ends a family whose token is used twice
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(2, w.count("/dev/token")); diff != "" {
		t.Errorf("tokens asked for (-want +got):\n%s", diff)
	}
}

func TestARevokedSessionAsksForASignInAndIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := subject(t, w.credential(nil)); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	answered := w.folder
	w.mu.Unlock()
	files, err := filepath.Glob(answered + "/*.json")
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Session struct {
			RefreshToken string `json:"refresh_token"`
		} `json:"session"`
	}
	if err := json.Unmarshal(text, &kept); err != nil || kept.Session.RefreshToken == "" {
		t.Fatalf("%v: %s", err, text)
	}
	resp, err := w.server.Client().PostForm(w.server.URL+"/dev/revoke", url.Values{"client_id": {clientID}, "token": {kept.Session.RefreshToken}})
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("revoking: %v %v", resp, err)
	}
	w.advance(2 * time.Hour)
	if _, err := subject(t, w.credential(func(o *credential.Options) { o.Flow = credential.Cached })); !errors.Is(err, credential.ErrSignInRequired) {
		t.Errorf("error %v, want that a sign-in is required", err)
	}
	if _, err := os.Stat(files[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead session is still kept: %v", err)
	}
}

func TestSigningOutRevokesAndForgets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.credential(nil)
	if _, err := c.SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(1, w.count("/dev/revoke")); diff != "" {
		t.Errorf("revocations (-want +got):\n%s", diff)
	}
	if _, err := subject(t, w.credential(func(o *credential.Options) { o.Flow = credential.Cached })); !errors.Is(err, credential.ErrSignInRequired) {
		t.Errorf("error %v, want that a sign-in is required", err)
	}
	if err := c.SignOut(t.Context()); !errors.Is(err, credential.ErrSignInRequired) {
		t.Errorf("signing out twice: %v", err)
	}
}

func TestSignInsThatWereTamperedWithFail(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*url.URL) {
		return func(u *url.URL) {
			q := u.Query()
			q.Set(name, value)
			u.RawQuery = q.Encode()
		}
	}
	idToken := func(edit func(claims map[string]any)) func(string, []byte) []byte {
		return func(path string, body []byte) []byte {
			if path != "/dev/token" {
				return body
			}
			answer := map[string]any{}
			_ = json.Unmarshal(body, &answer)
			if edit == nil {
				delete(answer, "id_token")
			} else if token, ok := answer["id_token"].(string); ok {
				parts := strings.Split(token, ".")
				text, _ := base64.RawURLEncoding.DecodeString(parts[1])
				claims := map[string]any{}
				_ = json.Unmarshal(text, &claims)
				edit(claims)
				text, _ = json.Marshal(claims)
				answer["id_token"] = parts[0] + "." + base64.RawURLEncoding.EncodeToString(text) + "." + parts[2]
			}
			body, _ = json.Marshal(answer)
			return body
		}
	}
	for _, row := range []struct {
		name   string
		tamper func(*url.URL)
		edit   func(string, []byte) []byte
		want   string
	}{
		{"the answer of another issuer", set("iss", "https://evil.example"), nil, "another issuer"},
		{"an answer that hides its issuer", func(u *url.URL) {
			q := u.Query()
			q.Del("iss")
			u.RawQuery = q.Encode()
		}, nil, "another issuer"},
		{"an answer with two issuers", func(u *url.URL) { u.RawQuery += "&iss=https://evil.example" }, nil, "another issuer"},
		{"a refusal", set("error", "access_denied"), nil, "access_denied"},
		{"a refusal that would move the cursor", set("error", "x\x1b[2J"), nil, "x?[2J"},
		{"a code that was not issued", set("code", "stolen"), nil, "invalid_grant"},
		{"no code", set("code", ""), nil, "no code"},
		{"no ID token", nil, idToken(nil), "no ID token"},
		{"an ID token whose nonce was changed", nil, idToken(func(c map[string]any) { c["nonce"] = "x" }), "signature"},
		{"metadata of another issuer", nil, func(path string, body []byte) []byte {
			if path != "/dev/.well-known/openid-configuration" {
				return body
			}
			return bytes.Replace(body, []byte(`"issuer":"https`), []byte(`"issuer":"https://evil.example/https`), 1)
		}, "metadata of another issuer"},
		{"a token endpoint in the clear", nil, func(_ string, body []byte) []byte {
			return bytes.Replace(body, []byte(`"token_endpoint":"https`), []byte(`"token_endpoint":"http`), 1)
		}, "not https"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.change(row.edit)
			c := w.credential(func(o *credential.Options) { o.OpenBrowser = w.browser(row.tamper) })
			_, err := c.SignIn(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want one about %q", err, row.want)
			}
			if files, _ := filepath.Glob(w.folder + "/*.json"); len(files) > 0 {
				t.Errorf("a session was kept: %v", files)
			}
		})
	}
}

func TestAnAnswerWithAnotherStateChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.credential(func(o *credential.Options) {
		o.OpenBrowser = func(ctx context.Context, address string) error {
			asked, err := url.Parse(address)
			if err != nil {
				return err
			}
			redirect := asked.Query().Get("redirect_uri")
			for _, forged := range []string{"?state=x&code=evil", "?code=evil", "?state=x&error=access_denied", "/other?state=" + asked.Query().Get("state") + "&code=evil"} {
				resp, err := http.Get(redirect + forged)
				if err != nil {
					return err
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: answered %d", forged, resp.StatusCode)
				}
			}
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, redirect+"?code=evil&state="+asked.Query().Get("state"), nil)
			req.Host = "rebound.example" // a name that was made to lead here
			if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusBadRequest {
				t.Errorf("another Host: %v %v", resp, err)
			}
			return w.browser(nil)(ctx, address)
		}
	})
	if name, err := c.SignIn(t.Context()); err != nil || name != "ann" {
		t.Errorf("signed in as %q, %v", name, err)
	}
}

func TestTheAuthorizationRequestBindsTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked url.Values
	c := w.credential(func(o *credential.Options) {
		o.OpenBrowser = func(ctx context.Context, address string) error {
			u, err := url.Parse(address)
			asked = u.Query()
			return errors.Join(err, w.browser(nil)(ctx, address))
		}
	})
	if _, err := c.SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked.Get("code_challenge_method") != "S256" || len(asked.Get("state")) < 26 || len(asked.Get("nonce")) < 26 ||
		!strings.HasPrefix(asked.Get("redirect_uri"), "http://127.0.0.1:") || asked.Get("response_type") != "code" {
		t.Errorf("asked: %v", asked)
	}
}

func TestADeviceSignsInWhileThePersonIsElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.change(func(path string, body []byte) []byte {
		if path == "/dev/device_authorization" { // so that the test need not wait for 5 seconds
			return bytes.Replace(body, []byte(`"interval":5`), []byte(`"interval":1`), 1)
		}
		return body
	})
	c := w.credential(func(o *credential.Options) {
		o.Flow = credential.Device
		o.OpenBrowser = func(context.Context, string) error { t.Error("a browser was opened"); return nil }
		o.Prompt = func(p credential.Prompt) {
			resp, err := w.server.Client().PostForm(p.URL, url.Values{"user_code": {p.Code}, "person": {"ann"}})
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("answering the page: %v %v", resp, err)
			}
		}
	})
	if got, err := subject(t, c); err != nil || got != "00u-ann" {
		t.Errorf("signed in as %q, %v", got, err)
	}
}

func TestAnInterruptedSignInEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := w.credential(func(o *credential.Options) {
		o.OpenBrowser = func(context.Context, string) error { cancel(); return nil }
	})
	if _, err := c.SignIn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the interrupt", err)
	}
}

func TestEveryFaultOfTheOptionsIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		o    credential.Options
		want []string
	}{
		{"nothing at all", credential.Options{}, []string{"gate"}},
		{"plain HTTP", credential.Options{Gate: "http://gate.example"}, []string{"https"}},
		{"a path", credential.Options{Gate: "https://gate.example/dbs"}, []string{"https"}},
		{"an unknown flow", credential.Options{Gate: "gate.example", Flow: "password"}, []string{"is not a flow"}},
		{"no key", credential.Options{Flow: credential.PrivateKey}, []string{"gate", "Key"}},
		{"no file", credential.Options{Flow: credential.Workload}, []string{"gate", "TokenFile", "ClientID"}},
		{"no command", credential.Options{Flow: credential.Exec}, []string{"gate", "Command"}},
		{"no certificate", credential.Options{Gate: "gate.example", Authorities: []byte("x")}, []string{"no certificate"}},
	} {
		_, err := credential.New(row.o)
		if err == nil {
			t.Errorf("%s: accepted", row.name)
			continue
		}
		for _, part := range row.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v does not name %s", row.name, err, part)
			}
		}
	}
}

func TestTextsOfAGateCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	said := (&credential.GateError{Status: http.StatusForbidden, Message: "no\x1b[2J\u009bA"}).Error()
	if strings.ContainsAny(said, "\x1b\u009b") || !strings.Contains(said, "no") {
		t.Errorf("%q", said)
	}
}

func TestAnAuthorityIsBelievedByItsFingerprintAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate, err := credential.GateURL(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha(w.server.Certificate().Raw)
	w.guide.CertificateAuthority = &credential.CertificateAuthority{SHA256: strings.Repeat("0", 64), PEM: string(w.authorities())}
	got, err := credential.FetchAuthority(t.Context(), gate, sum)
	if err != nil || !bytes.Equal(got, w.authorities()) {
		t.Errorf("got %s, %v", got, err)
	}
	for name, fingerprint := range map[string]string{"another": strings.Repeat("0", 64), "too short": "00", "no fingerprint": "x"} {
		if _, err := credential.FetchAuthority(t.Context(), gate, fingerprint); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
}

func TestNothingIsSentToAGateThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.credential(func(o *credential.Options) { o.Authorities = nil })
	if _, err := c.SignIn(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v, want one about the certificate", err)
	}
	if len(w.asked) != 0 {
		t.Errorf("asked: %v", w.asked)
	}
}
