package doctor_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/doctor"
)

// stub is a gate, and an issuer, that say what a row wants.
type stub struct {
	server *httptest.Server
	guide  string
	who    string
	status int // of who-am-I
	date   time.Time
	idp    int
}

func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{status: http.StatusOK, idp: http.StatusOK, who: `{"known":true,"kind":"person","name":"ann","access":[]}`}
	s.server = httptest.NewUnstartedServer(s)
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	s.guide = `{"version":1,"accounts":[{"name":"prod","endpoint":"` + s.server.URL + `/"}],` +
		`"sign_in":[{"name":"corp","issuer":"` + s.server.URL + `/idp","audience":"api://gate"}]}`
	return s
}

// queries is somebody who may query one container.
const queries = `{"known":true,"kind":"person","roles":["r"],` +
	`"access":[{"account":"prod","database":"shop","container":"orders","actions":["executeQuery"],"role":"r"}]}`

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.date.IsZero() {
		w.Header().Set("Date", s.date.UTC().Format(http.TimeFormat))
	}
	switch r.URL.Path {
	case credential.GuidePath:
		_, _ = io.WriteString(w, s.guide)
	case credential.WhoAmIPath:
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.who)
	default:
		w.WriteHeader(s.idp)
	}
}

func (s *stub) run(t *testing.T, token string, edit func(*doctor.Config)) map[string]doctor.Result {
	t.Helper()
	gate, err := url.Parse(s.server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	authorities := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	c, err := credential.New(credential.Options{Gate: s.server.URL, Flow: credential.Exec, Command: []string{"echo", token}, Authorities: authorities})
	if err != nil {
		t.Fatal(err)
	}
	cfg := doctor.Config{Gate: gate, Authorities: authorities, Credential: c, Clock: time.Now}
	if edit != nil {
		edit(&cfg)
	}
	results := map[string]doctor.Result{}
	if err := doctor.Run(t.Context(), cfg, func(r doctor.Result) { results[r.Check] = r }); err != nil {
		t.Fatal(err)
	}
	return results
}

func TestEachFailureNamesItselfAndWhatToDo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		token  string
		edit   func(*stub)
		config func(*doctor.Config)
		check  string
		want   doctor.Status
		found  string // a part of it
		fix    string
	}{
		{"an authority that is not trusted", "t", nil, func(c *doctor.Config) { c.Authorities = nil }, "certificate", doctor.Failed, "unknown authority", "--ca"},
		{"another server", "t", func(s *stub) { s.guide = "<html>" }, nil, "guide", doctor.Failed, "is no gate", "--gate"},
		{"a gate of the future", "t", func(s *stub) { s.guide = `{"version":2}` }, nil, "guide", doctor.Failed, "newer version", ""},
		{"a clock a little off", "t", func(s *stub) { s.date = time.Now().Add(-2 * time.Minute) }, nil, "clock", doctor.Warning, "2m", "set this machine's clock"},
		{"a clock far off", "t", func(s *stub) { s.date = time.Now().Add(time.Hour) }, nil, "clock", doctor.Failed, "off the gate's", "tokens will be refused"},
		{"an identity provider that is down", "t", func(s *stub) { s.idp = 503 }, nil, "identity provider", doctor.Failed, "503", "is the identity provider up"},
		{"a token for somebody else", "e30." + "eyJhdWQiOiJodHRwczovL2Nvc21vcy5henVyZS5jb20ifQ" + ".c2ln", nil, nil, "sign-in", doctor.Failed, "the token is for https://cosmos.azure.com", "scopes"},
		{"no record", "t", func(s *stub) {
			s.status, s.who = 403, `{"known":false,"kind":"person","refused":{"code":"no_record","message":"no record of you","hint":"ask to be assigned"}}`
		}, nil, "directory record", doctor.Failed, "no record of you", "ask to be assigned"},
		{"a gate that refuses the token", "t", func(s *stub) {
			s.status, s.who = 401, `{"code":"Unauthorized","message":"The access token has expired.\r\nActivityId: 1"}`
		}, nil,
			"directory record", doctor.Failed, "401: The access token has expired.", "cosmosgate login"},
		{"a gate that cannot serve", "t", func(s *stub) { s.status, s.who = 503, `{"code":"ServiceUnavailable","message":"not now"}` }, nil,
			"directory record", doctor.Failed, "503: not now", "it is not your doing"},
		{"a read that is refused all the same", "t", func(s *stub) { s.idp, s.who = 403, queries }, nil,
			"an allowed read", doctor.Failed, "a query of shop/orders was answered 403", "query --explain-access"},
		{"a read that the gate cannot do", "t", func(s *stub) { s.idp, s.who = 503, queries }, nil,
			"an allowed read", doctor.Failed, "a query of shop/orders was answered 503", "ask whoever runs the gate"},
		{"no role", "t", nil, nil, "policy", doctor.Failed, "no role gives you anything", "ask an administrator"},
		{"nothing that may be queried", "t", func(s *stub) {
			s.who = `{"known":true,"kind":"person","roles":["r"],"access":[{"account":"prod","database":"*","container":"*","actions":["executeQuery"],"role":"r"}]}`
		}, nil, "an allowed read", doctor.Skipped, "no container is named", ""},
		{"an account that nobody looks at", "t", nil, nil, "ways round the gate", doctor.Skipped, "not looked at", "--resource-id"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newStub(t)
			if row.edit != nil {
				row.edit(s)
			}
			got := s.run(t, row.token, row.config)[row.check]
			if got.Status != row.want || !strings.Contains(got.Found, row.found) || !strings.Contains(got.Fix, row.fix) {
				t.Errorf("%+v, want %s, %q, fix %q", got, row.want, row.found, row.fix)
			}
		})
	}
}

func TestWhatNeedsAFailedStepIsSkipped(t *testing.T) {
	t.Parallel()
	s := newStub(t)
	s.server.Close()
	got := map[string]doctor.Status{}
	for name, r := range s.run(t, "t", nil) {
		got[name] = r.Status
	}
	want := map[string]doctor.Status{
		"gate reachable": doctor.Failed, "certificate": doctor.Skipped, "guide": doctor.Skipped, "clock": doctor.Skipped,
		"identity provider": doctor.Skipped, "sign-in": doctor.Skipped, "directory record": doctor.Skipped, "policy": doctor.Skipped,
		"an allowed read": doctor.Skipped, "ways round the gate": doctor.Skipped,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// azure answers as Azure Resource Manager does about one account.
type azure map[string]string

func (a azure) Do(r *http.Request) (*http.Response, error) {
	below := strings.TrimPrefix(r.URL.Path, resourceID)
	status, text := http.StatusOK, a[below]
	if text == "" || r.Header.Get("Authorization") != "Bearer azure-token" || r.URL.Host != "management.azure.com" || r.URL.Query().Get("api-version") == "" {
		status, text = http.StatusForbidden, `{"error":{"code":"AuthorizationFailed","message":"no"}}`
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)),
	}, nil
}

type azureToken struct{}

func (azureToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "azure-token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

const (
	resourceID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DocumentDB/databaseAccounts/corp-prod"
	closed     = `{"properties":{"disableLocalAuth":true,"publicNetworkAccess":"Disabled"}}`
	roles      = `{"value":[{"name":"DEF1","properties":{"roleName":"reader","permissions":[{"dataActions":["items/read"]}]}},
		{"name":"def2","properties":{"roleName":"all","permissions":[{"dataActions":["items/read","items/*"]}]}}]}`
	export = `[{"account":"other"},{"account":"corp-prod","roleDefinitions":[{"id":"def1","dataActions":["items/read"]}],
		"roleAssignments":[{"id":"asg1","identity":"reader","roleDefinitionId":"def1","scope":"/dbs/shop"}]}]`
)

func assigned(name, role, scope string) string {
	text, _ := json.Marshal(map[string]any{"value": []any{map[string]any{
		"name": name, "properties": map[string]string{"principalId": "p1", "roleDefinitionId": resourceID + "/sqlRoleDefinitions/" + role, "scope": resourceID + scope},
	}}})
	return string(text)
}

func TestWaysRoundTheGateAreFound(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		azure    azure
		exported string
		want     doctor.Status
		found    []string
	}{
		{"a closed account with exactly what was exported", azure{"": closed, "/sqlRoleAssignments": assigned("asg1", "def1", "/dbs/shop"), "/sqlRoleDefinitions": roles}, export,
			doctor.OK, []string{"nobody has roles but those exported"}},
		{"narrower than exported", azure{"": closed, "/sqlRoleAssignments": assigned("asg1", "def1", "/dbs/shop/colls/orders"), "/sqlRoleDefinitions": roles}, export, doctor.OK, nil},
		{"a closed account that is not compared", azure{"": closed}, "", doctor.Warning, []string{"role assignments were not compared"}},
		{"keys and an open network", azure{"": `{"properties":{"publicNetworkAccess":"Enabled"}}`}, "", doctor.Failed, []string{"account keys are accepted", "open to every network"}},
		{"nothing said about the network", azure{"": `{"properties":{"disableLocalAuth":true}}`}, "", doctor.Failed, []string{"open to every network"}},
		{"an allow-list of addresses", azure{"": `{"properties":{"disableLocalAuth":true,"publicNetworkAccess":"Enabled","ipRules":[{"ipAddressOrRange":"192.0.2.1"}]}}`}, "", doctor.Warning, nil},
		{"a principal that nobody exported", azure{"": closed, "/sqlRoleAssignments": assigned("asg9", "def1", "/dbs/shop"), "/sqlRoleDefinitions": roles}, export,
			doctor.Failed, []string{"principal p1 has a role of its own (assignment asg9)"}},
		{"a wider scope", azure{"": closed, "/sqlRoleAssignments": assigned("asg1", "def1", ""), "/sqlRoleDefinitions": roles}, export,
			doctor.Failed, []string{"assignment asg1 reaches /, exported /dbs/shop"}},
		{"a database whose name begins alike", azure{"": closed, "/sqlRoleAssignments": assigned("asg1", "def1", "/dbs/shop2"), "/sqlRoleDefinitions": roles}, export,
			doctor.Failed, []string{"reaches /dbs/shop2"}},
		{"a wider role", azure{"": closed, "/sqlRoleAssignments": assigned("asg1", "def2", "/dbs/shop"), "/sqlRoleDefinitions": roles}, export,
			doctor.Failed, []string{"also allows items/*"}},
		{"a role that cannot be read", azure{"": closed, "/sqlRoleAssignments": assigned("asg1", "def7", "/dbs/shop"), "/sqlRoleDefinitions": roles}, export,
			doctor.Failed, []string{"unknown role def7"}},
		{"an export of another account", azure{"": closed}, `[{"account":"a"},{"account":"b"}]`, doctor.Failed, []string{"is no output of policy export for this account"}},
		{"somebody who may not look", azure{}, "", doctor.Failed, []string{"403 AuthorizationFailed"}},
		{"somebody who may not look at roles", azure{"": closed}, export, doctor.Failed, []string{"403 AuthorizationFailed"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := newStub(t).run(t, "t", func(c *doctor.Config) {
				c.ResourceID, c.Azure, c.AzureHTTP = resourceID, azureToken{}, row.azure
				if row.exported != "" {
					c.Exported = []byte(row.exported)
				}
			})["ways round the gate"]
			if got.Status != row.want {
				t.Errorf("%+v, want %s", got, row.want)
			}
			for _, part := range row.found {
				if !strings.Contains(got.Found, part) {
					t.Errorf("%+v lacks %q", got, part)
				}
			}
			if got.Status == doctor.Failed && got.Fix == "" {
				t.Error("no fix is told")
			}
		})
	}
}
