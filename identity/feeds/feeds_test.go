package feeds_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/feeds"
)

// attempt is one row: what is sent, what the provider is told, and what is withdrawn then.
type attempt struct {
	name   string
	claims object // changes of a good message
	body   any
	typ    string // instead of the right one
	forged bool
	status int
	code   string
	want   []string
}

func now() int64 { return time.Now().Unix() }

func errorCode(tb testing.TB, answer *httptest.ResponseRecorder, member string) string {
	tb.Helper()

	if answer.Body.Len() == 0 {
		return ""
	}

	var body map[string]string
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
		tb.Fatalf("%s: %v", answer.Body, err)
	}

	return body[member]
}

func (row *attempt) check(t *testing.T, w *world, answer *httptest.ResponseRecorder, member string) {
	t.Helper()

	if answer.Code != row.status || errorCode(t, answer, member) != row.code {
		t.Errorf("got %d %s, want %d %s", answer.Code, answer.Body, row.status, row.code)
	}

	got := w.revoked()
	slices.Sort(got)

	if diff := cmp.Diff(row.want, got); diff != "" {
		t.Errorf("withdrawn (-want +got):\n%s", diff)
	}

	if record := w.last(t); record.Status != answer.Code || answer.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("recorded %+v", record)
	}
}

func TestGlobalTokenRevocation(t *testing.T) {
	t.Parallel()

	subject := func(o object) object { return object{"sub_id": o} }
	issSub := subject(object{"format": "iss_sub", "iss": corp, "sub": annSub})
	ann := []string{"subject " + annSub}

	for _, row := range []attempt{
		{name: "by issuer and subject", body: issSub, status: 204, want: ann},
		{name: "by the transmitter's name of the issuer", body: subject(object{"format": "iss_sub", "iss": org, "sub": annSub}), status: 204, want: ann},
		{name: "by a declared alias", body: subject(object{"format": "iss_sub", "iss": "https://other.example", "sub": annSub}), status: 204, want: ann},
		{name: "by an older draft's member", body: object{"subject": issSub["sub_id"]}, status: 204, want: ann},
		{name: "by id", body: subject(object{"format": "opaque", "id": annSub}), status: 204, want: ann},
		{
			name: "by an address that two have, in another case", body: subject(object{"format": "email", "email": "Ann@Corp.example"}),
			status: 204, want: []string{"subject 00u-ann", "subject 00u-anna"},
		},
		{name: "by an address that nobody has", body: subject(object{"format": "email", "email": "x@corp.example"}), status: 404, code: "not_found"},
		{name: "a subject of another issuer", body: subject(object{"format": "iss_sub", "iss": "https://evil.example", "sub": annSub}), status: 404, code: "not_found"},
		{name: "no subject", body: object{}, status: 400, code: "invalid_request"},
		{name: "a subject that is text", body: object{"sub_id": annSub}, status: 400, code: "invalid_request"},
		{name: "no object", body: []string{annSub}, status: 400, code: "invalid_request"},
		{name: "a format that is not known", body: subject(object{"format": "did", "url": "did:x"}), status: 404, code: "not_found"},
		{name: "typ is plain", typ: "JWT", body: issSub, status: 204, want: ann},
		{name: "typ of an event", typ: "secevent+jwt", body: issSub, status: 401, code: "invalid_token"},
		{name: "typ of an access token", typ: "at+jwt", body: issSub, status: 401, code: "invalid_token"},
		{name: "forged", forged: true, body: issSub, status: 401, code: "invalid_token"},
		{name: "for another receiver", claims: object{"aud": "https://else.example"}, body: issSub, status: 401, code: "invalid_token"},
		{name: "of an issuer that is none", claims: object{"iss": "https://evil.example"}, body: issSub, status: 401, code: "invalid_token"},
		{name: "of an issuer of tokens only", claims: object{"iss": corp}, body: issSub, status: 401, code: "invalid_token"},
		{name: "old", claims: object{"iat": now() - 3600}, body: issSub, status: 401, code: "invalid_token"},
		{name: "expired", claims: object{"exp": now() - 120}, body: issSub, status: 401, code: "invalid_token"},
		{name: "from the future", claims: object{"iat": now() + 3600}, body: issSub, status: 401, code: "invalid_token"},
		{name: "without jti", claims: object{"jti": nil}, body: issSub, status: 401, code: "invalid_token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			if row.typ == "" {
				row.typ = "global-token-revocation+jwt"
			}

			signer := w.org
			if row.forged {
				signer = w.stranger
			}

			claims := object{"iss": org, "aud": endpoint + feeds.GlobalRevocationPath, "jti": rand.Text(), "iat": now(), "exp": now() + 300}
			credential := "Bearer " + signer.sign(t, row.typ, claims.with(row.claims))

			body, err := json.Marshal(row.body)
			if err != nil {
				t.Fatal(err)
			}

			row.check(t, w, w.post(t, feeds.GlobalRevocationPath, "application/json", credential, string(body)), "error")
		})
	}
}

func TestARevocationsCredentialServesOnce(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	credential := "Bearer " + w.org.sign(t, "global-token-revocation+jwt", object{
		"iss": org, "aud": endpoint + feeds.GlobalRevocationPath, "jti": "j", "iat": now(), "exp": now() + 300,
	})

	if got := w.post(t, feeds.GlobalRevocationPath, "application/json", credential, `{"sub_id":{"format":"opaque","id":"00u-ann"}}`); got.Code != 204 {
		t.Errorf("got %d", got.Code)
	}

	if got := w.post(t, feeds.GlobalRevocationPath, "application/json", credential, `{"sub_id":{"format":"opaque","id":"00u-bob"}}`); got.Code != 401 {
		t.Errorf("another body under the same credential: %d", got.Code)
	}
}

const caepType = "https://schemas.openid.net/secevent/caep/event-type/"

func TestSecurityEvents(t *testing.T) {
	t.Parallel()

	annID := object{"format": "iss_sub", "iss": corp, "sub": annSub}
	session := object{"format": "complex", "session": object{"format": "opaque", "id": "s1"}, "user": annID}
	event := func(kind string, content object) object { return object{"events": object{caepType + kind: content}} }
	about := func(id object, changes object) object { return object{"sub_id": id}.with(changes) }
	ann := []string{"subject " + annSub}

	for _, row := range []attempt{
		{name: "session revoked", claims: about(annID, event("session-revoked", object{})), status: 202, want: ann},
		{name: "one session revoked", claims: about(session, event("session-revoked", object{})), status: 202, want: []string{"session s1", "subject " + annSub}},
		{name: "session without a user", claims: about(session.with(object{"user": nil}), event("session-revoked", object{})), status: 202, want: []string{"session s1"}},
		{name: "subject inside the event", claims: event("session-revoked", object{"subject": annID}), status: 202, want: ann},
		{name: "subject of a device", claims: about(object{"format": "complex", "user": annID, "device": object{"format": "opaque", "id": "d"}}, event("session-revoked", object{})), status: 202, want: ann},
		{name: "credential revoked", claims: about(annID, event("credential-change", object{"change_type": "revoke", "credential_type": "password"})), status: 202, want: ann},
		{name: "credential added", claims: about(annID, event("credential-change", object{"change_type": "create"})), status: 202},
		{name: "claims changed", claims: about(annID, event("token-claims-change", object{"claims": object{"role": "x"}})), status: 202, want: ann},
		{name: "of one token", claims: about(object{"format": "jwt_id", "iss": corp, "jti": "t1"}, event("token-claims-change", object{})), status: 202, want: []string{"token t1"}},
		{name: "aliases", claims: about(object{"format": "aliases", "identifiers": []object{annID, {"format": "email", "email": "ann@corp.example"}}}, event("session-revoked", object{})), status: 202, want: []string{"subject 00u-ann", "subject 00u-anna"}},
		{name: "aliases in aliases", claims: about(object{"format": "aliases", "identifiers": []object{{"format": "aliases"}}}, event("session-revoked", object{})), status: 400, code: "invalid_request"},
		{name: "verification of the stream", claims: object{"events": object{"https://schemas.openid.net/secevent/ssf/event-type/verification": object{"state": "x"}}}, status: 202},
		{name: "an event that is not known", claims: about(annID, event("device-compliance-change", object{})), status: 202},
		{name: "somebody else's", claims: about(object{"format": "iss_sub", "iss": "https://evil.example", "sub": annSub}, event("session-revoked", object{})), status: 202},
		{name: "no subject", claims: event("session-revoked", object{}), status: 400, code: "invalid_request"},
		{name: "an empty session", claims: about(object{"session": object{}}, event("session-revoked", object{})), status: 400, code: "invalid_request"},
		{name: "no events", claims: about(annID, object{"events": object{}}), status: 400, code: "invalid_request"},
		{name: "an event that is text", claims: about(annID, object{"events": object{caepType + "session-revoked": "x"}}), status: 400, code: "invalid_request"},
		{name: "typ of a logout token", typ: "logout+jwt", claims: about(annID, event("session-revoked", object{})), status: 400, code: "invalid_request"},
		{name: "typ of an ID token", typ: "JWT", claims: about(annID, event("session-revoked", object{})), status: 400, code: "invalid_request"},
		{name: "forged", forged: true, claims: about(annID, event("session-revoked", object{})), status: 400, code: "invalid_key"},
		{name: "for another receiver", claims: about(annID, event("session-revoked", object{}).with(object{"aud": "x"})), status: 400, code: "invalid_audience"},
		{name: "of another issuer", claims: about(annID, event("session-revoked", object{}).with(object{"iss": corp})), status: 400, code: "invalid_issuer"},
		{name: "of last week", claims: about(annID, event("session-revoked", object{}).with(object{"iat": now() - 8*24*3600})), status: 400, code: "invalid_request"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			if row.typ == "" {
				row.typ = "secevent+jwt"
			}

			signer := w.org
			if row.forged {
				signer = w.stranger
			}

			claims := object{"iss": org, "aud": endpoint + feeds.EventsPath, "jti": rand.Text(), "iat": now()}
			raw := signer.sign(t, row.typ, claims.with(row.claims))
			row.check(t, w, w.post(t, feeds.EventsPath, "application/secevent+jwt", "", raw), "err")
		})
	}
}

func TestBackchannelLogout(t *testing.T) {
	t.Parallel()

	both := []string{"session s1", "subject " + annSub}

	for _, row := range []attempt{
		{name: "session and subject", status: 200, want: both},
		{name: "session only", claims: object{"sub": nil}, status: 200, want: []string{"session s1"}},
		{name: "subject only", claims: object{"sid": nil}, status: 200, want: []string{"subject " + annSub}},
		{name: "typ is plain", typ: "JWT", status: 200, want: both},
		{name: "neither", claims: object{"sub": nil, "sid": nil}, status: 400, code: "invalid_request"},
		{name: "with a nonce, as an ID token", claims: object{"nonce": "n"}, status: 400, code: "invalid_request"},
		{name: "without the event", claims: object{"events": nil}, status: 400, code: "invalid_request"},
		{name: "with another event", claims: object{"events": object{caepType + "session-revoked": object{}}}, status: 400, code: "invalid_request"},
		{name: "event is text", claims: object{"events": object{"http://schemas.openid.net/event/backchannel-logout": "x"}}, status: 400, code: "invalid_request"},
		{name: "of another client", claims: object{"aud": "another"}, status: 400, code: "invalid_request"},
		{name: "typ of an event", typ: "secevent+jwt", status: 400, code: "invalid_request"},
		{name: "forged", forged: true, status: 400, code: "invalid_request"},
		{name: "expired", claims: object{"exp": now() - 120}, status: 400, code: "invalid_request"},
		{name: "old", claims: object{"iat": now() - 3600, "exp": nil}, status: 400, code: "invalid_request"},
		{name: "without jti", claims: object{"jti": nil}, status: 400, code: "invalid_request"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			if row.typ == "" {
				row.typ = "logout+jwt"
			}

			signer := w.corp
			if row.forged {
				signer = w.stranger
			}

			claims := object{
				"iss": corp, "aud": "cli", "jti": rand.Text(), "iat": now(), "exp": now() + 120, "sub": annSub, "sid": "s1",
				"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}},
			}
			body := url.Values{"logout_token": {signer.sign(t, row.typ, claims.with(row.claims))}}.Encode()
			row.check(t, w, w.post(t, feeds.BackchannelLogoutPath, "application/x-www-form-urlencoded", "", body), "error")

			if row.status == http.StatusOK {
				again := w.post(t, feeds.BackchannelLogoutPath, "application/x-www-form-urlencoded", "", body)
				if again.Code != http.StatusBadRequest {
					t.Errorf("the same token again: %d", again.Code)
				}
			}
		})
	}
}

func TestAMessageCutsTheNextRequestAndNotTheNextSignIn(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	ask := func(issued int64) error {
		_, err := w.gate.Authenticate(t.Context(), identity.Credential{
			Scheme: identity.SchemeToken,
			Token: w.corp.sign(t, "at+jwt", object{
				"iss": corp, "aud": "api://gate", "sub": annSub, "client_id": "cli", "iat": issued, "exp": now() + 3600,
			}),
		})

		return err
	}

	if err := ask(now() - 60); err != nil {
		t.Fatal(err)
	}

	raw := w.org.sign(t, "secevent+jwt", object{
		"iss": org, "aud": endpoint + feeds.EventsPath, "jti": "e", "iat": now() - 1,
		"sub_id": object{"format": "email", "email": "ann@corp.example"}, "events": object{caepType + "session-revoked": object{}},
	})
	if got := w.post(t, feeds.EventsPath, "application/secevent+jwt", "", raw); got.Code != http.StatusAccepted {
		t.Fatalf("%d %s", got.Code, got.Body)
	}

	var refusal *identity.Error
	if err := ask(now() - 60); !errors.As(err, &refusal) || refusal.Substatus != identity.SubstatusRevoked {
		t.Errorf("a token from before: %v", err)
	}

	if err := ask(now()); err != nil {
		t.Errorf("who signed in again: %v", err)
	}
}

func TestASessionOnlyFeedLeavesOtherSessions(t *testing.T) {
	t.Parallel()

	w := newWorld(t, func(c *feeds.Config) { c.Feeds[2].SessionOnly = true })
	body := url.Values{"logout_token": {w.corp.sign(t, "logout+jwt", object{
		"iss": corp, "aud": "cli", "jti": "j", "iat": now(), "sub": annSub, "sid": "s1",
		"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}},
	})}}.Encode()

	if got := w.post(t, feeds.BackchannelLogoutPath, "application/x-www-form-urlencoded", "", body); got.Code != http.StatusOK {
		t.Errorf("got %d %s", got.Code, got.Body)
	}

	if diff := cmp.Diff([]string{"session s1"}, w.revoked()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnEventThatComesAgainIsAcknowledgedAndDoesNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	raw := w.org.sign(t, "secevent+jwt", object{
		"iss": org, "aud": endpoint + feeds.EventsPath, "jti": "e1", "iat": now(),
		"sub_id": object{"format": "opaque", "id": annSub}, "events": object{caepType + "session-revoked": object{}},
	})
	generation := uint64(0)

	for i := range 3 {
		if got := w.post(t, feeds.EventsPath, "application/secevent+jwt", "", raw); got.Code != http.StatusAccepted {
			t.Errorf("time %d: %d", i, got.Code)
		}

		if i == 0 {
			generation = w.directory.EntryGeneration("revocation")
		}
	}

	if w.directory.EntryGeneration("revocation") != generation {
		t.Error("a replay wrote to the directory")
	}
}

func TestARevocationThatCannotBeKeptIsNotAcknowledged(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.broken = errors.New("disk full")
	event := w.org.sign(t, "secevent+jwt", object{
		"iss": org, "aud": endpoint + feeds.EventsPath, "jti": "e1", "iat": now(),
		"sub_id": object{"format": "opaque", "id": annSub}, "events": object{caepType + "session-revoked": object{}},
	})

	for range 2 { // it is not spent, so that it may be sent again
		got := w.post(t, feeds.EventsPath, "application/secevent+jwt", "", event)
		if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || strings.Contains(got.Body.String(), "disk") {
			t.Errorf("got %d %s", got.Code, got.Body)
		}
	}

	if record := w.last(t); record.Feed != "caep" || !strings.Contains(record.Detail, "disk full") {
		t.Errorf("recorded %+v", record)
	}
}

func TestNothingHappensThatCannotBeRecorded(t *testing.T) {
	t.Parallel()

	w := newWorld(t, func(c *feeds.Config) {
		c.Reserve = func() (func(feeds.Record), error) { return nil, errors.New("audit log is full") }
	})
	credential := "Bearer " + w.org.sign(t, "global-token-revocation+jwt", object{
		"iss": org, "aud": endpoint + feeds.GlobalRevocationPath, "jti": "j", "iat": now(), "exp": now() + 300,
	})

	got := w.post(t, feeds.GlobalRevocationPath, "application/json", credential, `{"sub_id":{"format":"opaque","id":"00u-ann"}}`)
	if got.Code != http.StatusServiceUnavailable || w.revoked() != nil {
		t.Errorf("got %d, withdrawn %v", got.Code, w.revoked())
	}
}

func TestRequestsThatAreNoMessages(t *testing.T) {
	t.Parallel()

	w := newWorld(t)

	for _, row := range []struct {
		name, path, media, body string
		want                    int
	}{
		{"another media type", feeds.EventsPath, "application/json", "x", http.StatusUnsupportedMediaType},
		{"no token", feeds.EventsPath, "application/secevent+jwt", "x", http.StatusBadRequest},
		{"65 KB", feeds.EventsPath, "application/secevent+jwt", strings.Repeat("x", 65<<10), http.StatusBadRequest},
		{"no credential", feeds.GlobalRevocationPath, "application/json", "{}", http.StatusUnauthorized},
		{"two tokens", feeds.BackchannelLogoutPath, "application/x-www-form-urlencoded", "logout_token=a&logout_token=b", http.StatusBadRequest},
		{"a broken form", feeds.BackchannelLogoutPath, "application/x-www-form-urlencoded", "%", http.StatusBadRequest},
	} {
		if got := w.post(t, row.path, row.media, "", row.body); got.Code != row.want {
			t.Errorf("%s: got %d, want %d", row.name, got.Code, row.want)
		}
	}

	answer := httptest.NewRecorder()
	w.intake.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, endpoint+feeds.EventsPath, http.NoBody))

	if answer.Code != http.StatusMethodNotAllowed || answer.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d %v", answer.Code, answer.Header())
	}
}

func TestFaultyFeedsAreAllReported(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	good := feeds.Feed{Name: "a", Kind: feeds.Events, Transmitter: org, Audiences: []string{"x"}, Issuers: []feeds.Issuer{{URL: corp}}}
	bad := feeds.Feed{Name: "b", Kind: "rumour", Transmitter: org, Issuers: good.Issuers}
	config := w.config

	config.Feeds = []feeds.Feed{good, good, bad}

	_, err := feeds.New(config)
	for _, want := range []string{"another feed", "audiences", "kind"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told by: %v", want, err)
		}
	}

	config.Logger = nil
	if _, err := feeds.New(config); err == nil {
		t.Error("accepted without a logger")
	}
}

func FuzzMessages(f *testing.F) {
	w := newWorld(f)
	f.Add(feeds.EventsPath, "application/secevent+jwt", "", "e30.e30.e30")
	f.Add(feeds.GlobalRevocationPath, "application/json", "Bearer x", `{"sub_id":{"format":"aliases","identifiers":[{}]}}`)
	f.Add(feeds.BackchannelLogoutPath, "application/x-www-form-urlencoded", "", "logout_token=a")
	f.Fuzz(func(t *testing.T, path, media, authorization, body string) {
		if !feeds.Serves(path) {
			return
		}

		if got := w.post(t, path, media, authorization, body); got.Code < http.StatusBadRequest {
			t.Fatalf("%d for a message that nobody signed", got.Code)
		}

		if w.revoked() != nil {
			t.Fatal("something was withdrawn")
		}
	})
}
