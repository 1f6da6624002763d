package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// measured are the members of a record that differ from run to run.
var measured = cmpopts.IgnoreFields(audit.Record{}, "Time", "DecisionID", "Duration", "GateDuration", "UpstreamDuration", "Source", "UserAgent") //nolint:gochecknoglobals // an option of comparisons.

func TestAllowedRequestIsForwardedUnderTheRolesIdentity(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		http1 bool
	}{{"over HTTP/1.1", true}, {"over HTTP/2", false}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{http1: row.http1})

			got := g.get()

			if got.Status != http.StatusOK || got.Body != `{"id":"1"}` {
				t.Fatalf("answer: %d %s", got.Status, got.Body)
			}
			if diff := cmp.Diff("1.25", got.Header.Get("X-Ms-Request-Charge")); diff != "" {
				t.Errorf("request charge (-want +got):\n%s", diff)
			}
			seen := g.service.seen()
			if len(seen) != 1 {
				t.Fatalf("upstream received %d requests, want 1", len(seen))
			}
			want := map[string]string{
				"Authorization":                "type%3Daad%26ver%3D1.0%26sig%3D" + upstreamToken,
				"X-Ms-Activity-Id":             activityID,
				"X-Ms-Documentdb-Partitionkey": `["emea"]`,
			}
			for name, value := range want {
				if diff := cmp.Diff(value, seen[0].Header.Get(name)); diff != "" {
					t.Errorf("upstream %s (-want +got):\n%s", name, diff)
				}
			}
			if diff := cmp.Diff([]string{"GET", "/dbs/shop/colls/orders/docs/1", upstreamHost}, []string{seen[0].Method, seen[0].URI, seen[0].Host}); diff != "" {
				t.Errorf("upstream request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordSaysWhoDidWhatUnderWhichRole(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.get()

	want := audit.Record{
		ActivityID: activityID,
		Principal:  audit.Principal{Kind: "person", Issuer: "https://idp.example", Subject: "ann", Record: "0199-ann"},
		Credential: audit.Credential{Method: "oidc", TokenID: "jti-1"},
		Client:     "cli", Method: "GET", Operation: cosmos.OpReadItem.String(), Actions: []string{"items/read"},
		Account: "prod", Database: "shop", Container: "orders", Item: "1", PartitionKeys: [][]string{{`"emea"`}},
		Decision: audit.Allow, Role: "orders-reader", Identity: "mi-orders", PolicyHash: "sha256:0",
		Status: 200, UpstreamStatus: 200, RequestCharge: 1.25, BytesOut: 10, Outcome: audit.Complete,
	}
	got := g.ledger.next(t)
	if diff := cmp.Diff(want, got, measured); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if got.DecisionID == "" || got.Source == "" || got.Duration <= 0 || got.UpstreamDuration <= 0 {
		t.Errorf("record lacks what was measured: %+v", got)
	}
}

func TestPolicyIsAskedWhatTheRequestDoes(t *testing.T) {
	t.Parallel()
	asked := make(chan policy.Request, 1)
	g := newGate(t, setup{
		authenticate: func(context.Context, identity.Credential) (identity.Principal, error) {
			p, err := ann(context.Background(), identity.Credential{})
			p.ACR = "mfa"
			p.User = directory.UserView{
				UserName: "ann@example.com", Generation: [2]uint64{3, 4}, Attributes: map[string]string{"department": "emea"},
				Groups: []*directory.Group{{ID: "g1", Connection: "entra", ExternalID: "x1", DisplayName: "Support"}},
			}
			return p, err
		},
		decide: func(r policy.Request) policy.Decision {
			asked <- r
			return allow(r)
		},
	})
	g.do(request(t, http.MethodPut, "/dbs/shop/colls/orders/docs/1", `{"id":"1"}`,
		"X-Ms-Documentdb-Partitionkey", `["emea", 1.0]`, "X-Cosmosgate-Role", "orders-writer"))

	got := <-asked
	want := policy.Request{
		Principal: policy.Principal{
			ID: "0199-ann", Kind: policy.KindPerson, Generation: [2]uint64{3, 4}, Attributes: map[string]string{"department": "emea"},
			Groups: []policy.Group{{ID: "g1", Connection: "entra", ExternalID: "x1", Name: "Support"}},
		},
		Actions: policy.ReplaceItem, Resource: policy.Resource{Account: "prod", Database: "shop", Container: "orders"},
		PartitionKeys: [][]string{{`"emea"`, "1"}}, Role: "orders-writer",
		Context: policy.Context{AuthenticationStrength: "mfa", SourceIP: netip.MustParseAddr("127.0.0.1")},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(policy.Context{}, "Time"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("question (-want +got):\n%s", diff)
	}
	if got.Context.Time.IsZero() {
		t.Error("the question carries no time")
	}
}

func TestActionBitsOfPolicyAndCosmosAgreeByName(t *testing.T) {
	t.Parallel()
	for bit := range 16 {
		names := cosmos.Actions(1 << bit).Names()
		if len(names) == 0 {
			continue
		}
		got, err := policy.ParseActions(names...)
		if err != nil {
			t.Errorf("policy does not know %v: %v", names, err)
		}
		if got != policy.Actions(1<<bit) {
			t.Errorf("%v is bit %d for cosmos and %b for policy", names, bit, got)
		}
	}
	if policy.Actions(cosmos.ManageConflicts) != policy.ManageConflicts {
		t.Error("the last action differs")
	}
}

func TestRefusalsAreNativeRecordedAndReachNobody(t *testing.T) {
	t.Parallel()
	refuse := func(err error) authenticate {
		return func(context.Context, identity.Credential) (identity.Principal, error) {
			return identity.Principal{}, err
		}
	}
	for _, row := range []struct {
		name      string
		setup     setup
		request   func(*http.Request)
		status    int
		substatus string
		decision  audit.Decision
		outcome   audit.Outcome
		reason    string
	}{
		{"no credential", setup{}, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "5000", audit.Deny, audit.Refused, "Unauthorized"},
		{"garbage for a credential", setup{}, func(r *http.Request) { r.Header.Set("Authorization", "nonsense") }, 401, "5001", audit.Deny, audit.Refused, "Unauthorized"},
		{"two credentials", setup{}, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, 401, "5001", audit.Deny, audit.Refused, "Unauthorized"},
		{
			"an expired token", setup{authenticate: refuse(&identity.Error{Substatus: identity.SubstatusExpired, Reason: "exp"})},
			nil, 401, "5006", audit.Deny, audit.Refused, "Unauthorized",
		},
		{
			"a deactivated person", setup{authenticate: refuse(&identity.Error{Substatus: identity.SubstatusRevoked, Reason: "inactive"})},
			nil, 401, "5013", audit.Deny, audit.Refused, "Unauthorized",
		},
		{
			"an account key", setup{authenticate: refuse(&identity.Error{Substatus: identity.SubstatusKeysDisabled})},
			nil, 401, "5202", audit.Deny, audit.Refused, "Unauthorized",
		},
		{
			"keys of the issuer not loaded", setup{authenticate: refuse(&identity.Error{Unavailable: true, Reason: "no keys"})},
			nil, 503, "0", audit.Error, audit.Refused, "ServiceUnavailable",
		},
		{"an authenticator that fails", setup{authenticate: refuse(io.ErrUnexpectedEOF)}, nil, 503, "0", audit.Error, audit.Refused, "ServiceUnavailable"},
		{"a host of no account", setup{}, func(r *http.Request) { r.Host = "other.example" }, 400, "0", audit.Deny, audit.Refused, "BadRequest"},
		{"a doubled header", setup{}, func(r *http.Request) { r.Header["X-Ms-Continuation"] = []string{"a", "b"} }, 400, "0", audit.Deny, audit.Refused, "BadRequest"},
		{"an unknown path", setup{}, func(r *http.Request) { r.URL.Path = "/nowhere" }, 400, "0", audit.Deny, audit.Refused, "BadRequest"},
		{"an unknown method", setup{}, func(r *http.Request) { r.Method = "PROPFIND" }, 400, "0", audit.Deny, audit.Refused, "BadRequest"},
		{"an unknown selector", setup{}, func(r *http.Request) { r.Header.Set("X-Ms-Cosmos-Is-Magic", "true") }, 400, "0", audit.Deny, audit.Refused, "BadRequest"},
		{
			"no grant", setup{decide: func(policy.Request) policy.Decision {
				return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem, Detail: "no binding"}
			}},
			nil, 403, "5302", audit.Deny, audit.Refused, "noRole",
		},
		{"the zero decision", setup{decide: func(policy.Request) policy.Decision { return policy.Decision{} }}, nil, 503, "0", audit.Error, audit.Refused, "ServiceUnavailable"},
		{
			"an identity that the account lacks", setup{decide: func(policy.Request) policy.Decision {
				return policy.Decision{Allow: true, Role: "r", Identity: "mi-other"}
			}},
			nil, 503, "0", audit.Error, audit.Refused, "ServiceUnavailable",
		},
		{"direct mode", setup{}, func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "//addresses/", "$resolveFor=dbs" }, 403, "0", audit.Deny, audit.Refused, "Forbidden"},
		{"a probe", setup{}, func(r *http.Request) { r.URL.Path = "/clientconfigs" }, 404, "0", audit.Allow, audit.Answered, "NotFound"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, row.setup)
			r := request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
			if row.request != nil {
				row.request(r)
			}

			got := g.do(r)

			checkNative(t, got, row.status)
			if row.substatus != "0" {
				if diff := cmp.Diff(row.substatus, got.Header.Get("X-Ms-Substatus")); diff != "" {
					t.Errorf("substatus (-want +got):\n%s", diff)
				}
			}
			if n := len(g.service.seen()); n != 0 {
				t.Errorf("upstream received %d requests", n)
			}
			rec := g.ledger.next(t)
			want := []any{row.status, row.decision, row.outcome, row.reason, int64(len(got.Body))}
			if diff := cmp.Diff(want, []any{rec.Status, rec.Decision, rec.Outcome, rec.Reason, rec.BytesOut}); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDirectModeIsToldToUseTheGateway(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	got := g.do(request(t, http.MethodGet, "//addresses/?$resolveFor=dbs", ""))
	for _, text := range []string{"ConnectionMode.Gateway", ".gatewayMode()"} {
		if !strings.Contains(got.Body, text) {
			t.Errorf("%q is missing in %s", text, got.Body)
		}
	}
}

func TestDenialNamesWhatIsMissingAndNotThePolicy(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{decide: func(policy.Request) policy.Decision {
		return policy.Decision{
			Reason: policy.ReasonPartitionKey, Missing: policy.ReadItem, Detail: "orders.yaml:7:3 wants emea",
			Policies: []string{"RoleBinding/support"},
		}
	}})
	got := g.get()
	for _, text := range []string{"sqlDatabases/containers/items/read", "dbs/shop/colls/orders", "partition key"} {
		if !strings.Contains(got.Body, text) {
			t.Errorf("%q is missing in %s", text, got.Body)
		}
	}
	for _, text := range []string{"orders.yaml", "support"} {
		if strings.Contains(got.Body, text) {
			t.Errorf("%q is told in %s", text, got.Body)
		}
	}
	rec := g.ledger.next(t)
	if diff := cmp.Diff([]any{"partitionKey", "orders.yaml:7:3 wants emea", []string{"RoleBinding/support"}, "", ""},
		[]any{rec.Reason, rec.Detail, rec.Policies, rec.Role, rec.Identity}); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if !strings.Contains(got.Body, rec.DecisionID) {
		t.Errorf("the decision id %s is missing in %s", rec.DecisionID, got.Body)
	}
}

func TestEveryActorMustBeAllowedToo(t *testing.T) {
	t.Parallel()
	asked := make(chan policy.Request, 2)
	g := newGate(t, setup{
		authenticate: func(context.Context, identity.Credential) (identity.Principal, error) {
			p, err := ann(context.Background(), identity.Credential{})
			p.Actors = []identity.Actor{{Agent: "triage-bot"}}
			p.Scopes = []string{"cosmos.read"}
			p.Details = []identity.CosmosDetail{{Actions: []string{"items/read"}, Resources: []string{"prod/shop/orders"}, PartitionKeys: [][]string{{"1"}}}}
			return p, err
		},
		decide: func(r policy.Request) policy.Decision {
			asked <- r
			return policy.Decision{
				Reason: policy.ReasonAgent, Missing: r.Actions,
				Legs: []policy.Leg{
					{Kind: "user", Name: "0199-ann", Allow: true, Role: "reader", Reason: policy.ReasonAllowed, Policies: []string{"RoleBinding/b"}},
					{Kind: "agent", Name: "triage-bot", Reason: policy.ReasonAgent},
					{Kind: "scope", Reason: policy.ReasonEvaluation},
				},
			}
		},
	})
	checkNative(t, g.get(), http.StatusForbidden)
	question := <-asked
	want := []any{
		"0199-ann", []policy.Principal{{ID: "triage-bot", Kind: policy.KindAgent}}, &policy.Token{
			Scopes:  []string{"cosmos.read"},
			Details: []policy.Detail{{Actions: []string{"items/read"}, Resources: []string{"prod/shop/orders"}, PartitionKeys: [][]string{{"1"}}}},
		},
	}
	if diff := cmp.Diff(want, []any{question.Principal.ID, question.Actors, question.Token}); diff != "" {
		t.Errorf("the question (-want +got):\n%s", diff)
	}
	legs := []audit.Leg{
		{Kind: "user", Name: "0199-ann", Effect: audit.Allow, Role: "reader", Reason: "allowed", Policies: []string{"RoleBinding/b"}},
		{Kind: "agent", Name: "triage-bot", Effect: audit.Deny, Reason: "agent"},
		{Kind: "scope", Effect: audit.Error, Reason: "evaluation"},
	}
	if diff := cmp.Diff(legs, g.ledger.next(t).Legs); diff != "" {
		t.Errorf("the record's legs (-want +got):\n%s", diff)
	}
	if n := len(g.service.seen()); n != 0 {
		t.Errorf("upstream received %d requests", n)
	}
}

func TestNothingIsDoneThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{reserve: func() (proxy.Reservation, error) { return nil, audit.ErrUnavailable }})
	checkNative(t, g.get(), http.StatusServiceUnavailable)
	r := request(t, http.MethodGet, "/dbs", "")
	r.Header.Del("Authorization")
	checkNative(t, g.do(r), http.StatusServiceUnavailable)
	if n := len(g.service.seen()); n != 0 {
		t.Errorf("upstream received %d requests", n)
	}
}

func TestStageThatFailsUnforeseenIsAnsweredAndRecorded(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{decide: func(policy.Request) policy.Decision { panic("unforeseen") }})
	checkNative(t, g.get(), http.StatusInternalServerError)
	if diff := cmp.Diff(verdict{audit.Error, audit.Internal, 500, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if !strings.Contains(g.log.String(), "unforeseen") {
		t.Error("the log says nothing")
	}
}

// checkNative checks that an answer is an error that every SDK can parse.
func checkNative(t *testing.T, got reply, status int) {
	t.Helper()
	if got.Err != nil {
		t.Fatalf("no answer: %v", got.Err)
	}
	if got.Status != status {
		t.Errorf("status %d, want %d: %s", got.Status, status, got.Body)
	}
	h := got.Header
	if h.Get("Content-Type") != jsonMedia || h.Get("X-Ms-Activity-Id") != activityID || h.Get("Content-Length") == "" {
		t.Errorf("headers are not native: %v", h)
	}
	if !strings.HasPrefix(got.Body, `{"code":"`) || !strings.Contains(got.Body, `"message":"`) {
		t.Errorf("body is not native: %s", got.Body)
	}
	if h.Get("Www-Authenticate") != "" || h.Get("Location") != "" {
		t.Errorf("headers lead callers astray: %v", h)
	}
}
