package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

const guideDocument = `{"version":1}`

// guided is a gate with a guide, whose callers reach orders.
func guided(c *proxy.Config) {
	c.Guide = []byte(guideDocument)
	c.Survey = func(policy.Principal, time.Time) ([]proxy.Reach, bool, error) {
		return []proxy.Reach{{
			Account: "prod", Database: "shop", Container: "orders", Actions: []string{"items/read"}, Role: "orders-reader",
			PartitionKey: []json.RawMessage{json.RawMessage(`"emea"`)}, Conditional: true,
		}}, false, nil
	}
}

func TestTheGuideIsForEverybodyAndRecorded(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{edit: guided})
	r := request(t, http.MethodGet, proxy.GuidePath, "")
	r.Header.Del("Authorization")

	got := g.do(r)

	if got.Status != http.StatusOK || got.Body != guideDocument {
		t.Fatalf("answer: %d %s", got.Status, got.Body)
	}
	want := audit.Record{
		ActivityID: activityID, Method: "GET", Operation: "ReadGuide", Account: "prod",
		Decision: audit.Allow, PolicyHash: "sha256:0", Status: 200, BytesOut: int64(len(guideDocument)), Outcome: audit.Answered,
	}
	if diff := cmp.Diff(want, g.ledger.next(t), measured); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestOnlyTheExactPathIsTheGuide(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{edit: guided})
	for _, row := range []struct{ name, method, path string }{
		{"a trailing slash", http.MethodGet, "/.well-known/cosmosgate/"},
		{"an escaped spelling", http.MethodGet, "/%2ewell-known/cosmosgate"},
		{"an escaped slash", http.MethodGet, "/.well-known%2fcosmosgate"},
		{"a query", http.MethodGet, "/.well-known/cosmosgate?x=1"},
		{"a bare question mark", http.MethodGet, "/.well-known/cosmosgate?"},
		{"another case", http.MethodGet, "/.Well-Known/cosmosgate"},
		{"a doubled slash", http.MethodGet, "//.well-known/cosmosgate"},
		{"a POST", http.MethodPost, "/.well-known/cosmosgate"},
		{"below who-am-I", http.MethodGet, "/.well-known/cosmosgate/whoami/x"},
		{"a climb out of it", http.MethodGet, "/.well-known/cosmosgate/../../dbs"},
	} {
		got := g.do(request(t, row.method, row.path, ""))
		if got.Status < http.StatusBadRequest || got.Body == guideDocument || len(g.service.seen()) != 0 {
			t.Errorf("%s: answer %d %s, upstream saw %d", row.name, got.Status, got.Body, len(g.service.seen()))
		}
	}
}

// A target or a host that reads two ways is no more the guide than it is data.
func TestARequestOfTwoHostsIsNotTheGuide(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*http.Request){
		"the absolute form":          func(r *http.Request) { r.URL.Host = publicHost },
		"a Host beside :authority":   func(r *http.Request) { r.Header.Set("Host", "other.example") },
		"a host that has no account": func(r *http.Request) { r.Host = "other.example" },
	} {
		g := newGate(t, setup{edit: guided})
		r := request(t, http.MethodGet, proxy.GuidePath, "")
		r.URL.Scheme, r.URL.Host, r.Body = "", "", http.NoBody // as a server reads it
		edit(r)
		w := &discarding{header: http.Header{}}
		g.proxy.ServeHTTP(w, r)
		if rec := g.ledger.next(t); w.status != http.StatusBadRequest || rec.Outcome != audit.Refused {
			t.Errorf("%s: %d, recorded as %s", name, w.status, rec.Outcome)
		}
	}
}

func TestAGateWithoutAGuideHasNone(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	if got := g.do(request(t, http.MethodGet, proxy.WhoAmIPath, "")); got.Status < http.StatusBadRequest {
		t.Errorf("answer: %d %s", got.Status, got.Body)
	}
}

func TestWhoAmITellsCallersAboutThemselvesAlone(t *testing.T) {
	t.Parallel()
	issued := time.Now().Add(-time.Minute).Truncate(time.Second).UTC()
	known := identity.Principal{
		Kind: identity.KindPerson, Issuer: "https://idp.example", Subject: "ann", Record: "0199-ann", Client: "cli", TokenID: "jti-1",
		IssuedAt: issued, Expiry: issued.Add(time.Hour),
		User: directory.UserView{ID: "0199-ann", UserName: "ann@corp.example", Active: true, Groups: []*directory.Group{{ID: "g1", DisplayName: "readers"}}},
	}
	because := func(reason string, edit func(*identity.Principal)) authenticate {
		who := known
		edit(&who)
		return func(context.Context, identity.Credential) (identity.Principal, error) {
			return identity.Principal{}, &identity.Error{Substatus: identity.SubstatusRevoked, Reason: reason, Refused: &who}
		}
	}
	shut := func(edit func(*identity.Principal)) authenticate { return because("secret-reason", edit) }
	unknown := func(p *identity.Principal) { p.Record, p.User = "", directory.UserView{} }
	for _, row := range []struct {
		name         string
		authenticate authenticate
		status       int
		has, lacks   []string
		record       audit.Decision
	}{
		{
			"somebody the directory knows", func(context.Context, identity.Credential) (identity.Principal, error) { return known, nil }, 200,
			[]string{`"known":true`, `"name":"ann@corp.example"`, `"readers"`, `"roles":["orders-reader"]`, `"partition_key":["emea"]`, `"conditional":true`, `"remaining_seconds":3540`},
			[]string{"refused", "mi-orders", callerToken}, audit.Allow,
		},
		{
			"somebody without a record", because(identity.ReasonNoRecord, unknown), 403,
			[]string{`"known":false`, `"code":"no_record"`, `"subject":"ann"`}, []string{"secret-reason", "access"}, audit.Deny,
		},
		{
			"somebody deactivated", shut(func(p *identity.Principal) { p.User.Active = false }), 403,
			[]string{`"code":"inactive"`}, []string{"secret-reason", "access"}, audit.Deny,
		},
		{
			"somebody locked out", shut(func(p *identity.Principal) { p.User.Lock = &directory.Lock{Message: "suspected theft"} }), 403,
			[]string{`"code":"locked"`}, []string{"theft", "access"}, audit.Deny,
		},
		{
			"somebody whose sign-in was revoked, before the directory was asked", shut(unknown), 403,
			[]string{`"code":"revoked"`}, []string{"secret-reason", "access"}, audit.Deny,
		},
		{
			"somebody whose agent is locked", because("agent bot is locked: suspected theft", func(p *identity.Principal) { p.Record = "" }), 403,
			[]string{`"code":"locked"`}, []string{"theft", "access"}, audit.Deny,
		},
		{
			"somebody for whom an agent acts", func(context.Context, identity.Credential) (identity.Principal, error) {
				who := known
				who.Actors = []identity.Actor{{Agent: "report-bot"}}
				return who, nil
			}, 200,
			[]string{`"actors":["report-bot"]`, `"conditional":true`}, []string{"refused"}, audit.Allow,
		},
		{
			"somebody whose sign-in was revoked", shut(func(*identity.Principal) {}), 403,
			[]string{`"code":"revoked"`}, []string{"secret-reason", "access"}, audit.Deny,
		},
		{
			"a forged token", func(context.Context, identity.Credential) (identity.Principal, error) {
				return identity.Principal{}, &identity.Error{Substatus: identity.SubstatusSignature, Reason: "secret-reason"}
			}, 401,
			[]string{`"code":"Unauthorized"`}, []string{"secret-reason", "known"}, audit.Deny,
		},
		{
			"keys that cannot be had", func(context.Context, identity.Credential) (identity.Principal, error) {
				return identity.Principal{}, &identity.Error{Unavailable: true, Reason: "secret-reason"}
			}, 503,
			[]string{`"code":"ServiceUnavailable"`}, []string{"secret-reason", "known"}, audit.Error,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{authenticate: row.authenticate, edit: func(c *proxy.Config) {
				guided(c)
				c.Now = func() time.Time { return issued.Add(time.Minute) }
			}})
			got := g.do(request(t, http.MethodGet, proxy.WhoAmIPath, ""))
			if diff := cmp.Diff(row.status, got.Status); diff != "" {
				t.Errorf("status (-want +got):\n%s%s", diff, got.Body)
			}
			for _, part := range row.has {
				if !strings.Contains(got.Body, part) {
					t.Errorf("lacks %s:\n%s", part, got.Body)
				}
			}
			for _, part := range row.lacks {
				if strings.Contains(got.Body, part) {
					t.Errorf("tells %s:\n%s", part, got.Body)
				}
			}
			if diff := cmp.Diff("no-store", got.Header.Get("Cache-Control")); diff != "" {
				t.Errorf("caching (-want +got):\n%s", diff)
			}
			record := g.ledger.next(t)
			if record.Operation != "WhoAmI" || record.Decision != row.record || record.Status != row.status || record.UpstreamStatus != 0 {
				t.Errorf("record: %+v", record)
			}
		})
	}
}

func TestWhoAmIIsRefusedWhenItCannotBeRecorded(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{edit: guided, reserve: func() (proxy.Reservation, error) { return nil, errors.New("full") }})
	for _, path := range []string{proxy.GuidePath, proxy.WhoAmIPath} {
		if got := g.do(request(t, http.MethodGet, path, "")); got.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: answer %d %s", path, got.Status, got.Body)
		}
	}
}

func TestTooManySurveysAtOnceAreBusyNotRefused(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{edit: func(c *proxy.Config) {
		guided(c)
		c.Survey = func(policy.Principal, time.Time) ([]proxy.Reach, bool, error) { return nil, false, errors.New("busy") }
	}})
	if got := g.do(request(t, http.MethodGet, proxy.WhoAmIPath, "")); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("answer %d %s", got.Status, got.Body)
	}
}
