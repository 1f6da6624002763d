package cosmos_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

func TestEveryErrorIsOneThatSDKsParse(t *testing.T) {
	t.Parallel()

	byName := classified(t, sent{method: http.MethodDelete, target: item, headers: []string{emea}})
	byRID := classified(t, sent{method: http.MethodGet, target: "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs"})
	metadata := classified(t, sent{method: http.MethodGet, target: "/dbs"})
	denial := cosmos.Denial{Account: "prod", Principal: "ann"}

	for _, row := range []struct {
		name              string
		err               *cosmos.Error
		status, substatus int
		code              string
	}{
		{"no credential", cosmos.MissingCredential(), 401, 5000, "Unauthorized"},
		{"malformed credential", cosmos.MalformedCredential("secret"), 401, 5001, "Unauthorized"},
		{"bad signature", cosmos.InvalidCredential(cosmos.SubstatusSignature, "secret"), 401, 5004, "Unauthorized"},
		{"expired", cosmos.InvalidCredential(cosmos.SubstatusExpired, "secret"), 401, 5006, "Unauthorized"},
		{"unknown issuer", cosmos.InvalidCredential(cosmos.SubstatusIssuer, "secret"), 401, 5007, "Unauthorized"},
		{"foreign audience", cosmos.InvalidCredential(cosmos.SubstatusAudience, "secret"), 401, 5008, "Unauthorized"},
		{"missing scope", cosmos.InvalidCredential(cosmos.SubstatusScope, "secret"), 401, 5009, "Unauthorized"},
		{"revoked", cosmos.InvalidCredential(cosmos.SubstatusRevoked, "secret"), 401, 5013, "Unauthorized"},
		{"a substatus that does not exist", cosmos.InvalidCredential(1, "secret"), 401, 5004, "Unauthorized"},
		{"keys disabled", cosmos.KeysDisabled(), 401, 5202, "Unauthorized"},
		{"denied metadata", cosmos.Denied(metadata, denial), 403, 5301, "Forbidden"},
		{"denied data by name", cosmos.Denied(byName, denial), 403, 5302, "Forbidden"},
		{"denied data by RID", cosmos.Denied(byRID, denial), 403, 5303, "Forbidden"},
		{"unresolvable RID", cosmos.Unresolvable(byRID), 403, 5304, "Forbidden"},
		{"natively impossible", cosmos.Impossible("POST", "/dbs"), 403, 5300, "Forbidden"},
		{"direct mode", cosmos.DirectMode(), 403, 5301, "Forbidden"},
		{"never forwarded", cosmos.Unsupported("users"), 403, 5302, "Forbidden"},
		{"malformed", cosmos.Malformed("a header occurs twice"), 400, 0, "BadRequest"},
		{"container created again", cosmos.ContainerRecreated(), 400, 1024, "BadRequest"},
		{"not found", cosmos.NotFound(), 404, 0, "NotFound"},
		{"outcome unknown", cosmos.OutcomeUnknown("secret"), 408, 0, "RequestTimeout"},
		{"too large", cosmos.TooLarge(5), 413, 0, "RequestEntityTooLarge"},
		{"throttled", cosmos.Throttled(0, "secret"), 429, 3200, "TooManyRequests"},
		{"internal", cosmos.Internal("secret"), 500, 0, "InternalServerError"},
		{"unavailable", cosmos.Unavailable("secret"), 503, 0, "ServiceUnavailable"},
		{"busy", cosmos.Busy(time.Second), 503, 0, "ServiceUnavailable"},
		{"the zero error", &cosmos.Error{Reason: "secret"}, 500, 0, "InternalServerError"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			w := httptest.NewRecorder()
			row.err.Write(w, activityID)

			var body struct{ Code, Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("the body is not JSON: %v", err)
			}

			if w.Code != row.status || body.Code != row.code {
				t.Errorf("got %d %s, want %d %s", w.Code, body.Code, row.status, row.code)
			}

			if !strings.HasSuffix(body.Message, "\r\nActivityId: "+activityID+", cosmosgate") || len(body.Message) < 80 {
				t.Errorf("got message %q", body.Message)
			}

			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the reason was sent: %s", w.Body)
			}

			checkErrorHeaders(t, w, row.substatus)
		})
	}
}

func checkErrorHeaders(t *testing.T, w *httptest.ResponseRecorder, substatus int) {
	t.Helper()

	want := map[string]string{
		"Content-Type": "application/json", "Content-Length": strconv.Itoa(w.Body.Len()), "X-Ms-Activity-Id": activityID,
		"X-Ms-Request-Charge": "0", "X-Ms-Substatus": strconv.Itoa(substatus),
	}
	for name, value := range want {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}

	if wait := w.Header().Get("X-Ms-Retry-After-Ms"); w.Code == http.StatusTooManyRequests && (wait == "" || wait == "0") {
		t.Errorf("429 with retry-after %q", wait)
	}

	if w.Header().Get("X-Ms-Session-Token") != "" {
		t.Error("a session token on an error")
	}
}

func TestRetryTimesAreRoundedUpAndNeverZero(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name          string
		err           *cosmos.Error
		millis, whole string
	}{
		{"none given", cosmos.Throttled(0, ""), "1", "1"},
		{"half a second", cosmos.Throttled(500*time.Millisecond, ""), "500", "1"},
		{"a second and a bit", cosmos.Busy(1001 * time.Millisecond), "1001", "2"},
		{"unavailable says nothing", cosmos.Unavailable(""), "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			w := httptest.NewRecorder()
			row.err.Write(w, activityID)

			got := []string{w.Header().Get("X-Ms-Retry-After-Ms"), w.Header().Get("Retry-After")}
			if diff := cmp.Diff([]string{row.millis, row.whole}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDenialsKeepTheWordsThatToolsMatch(t *testing.T) {
	t.Parallel()

	const prefix = "Request blocked by Auth prod : Request is blocked because principal [ann] does not have required RBAC permissions to perform action "

	for _, row := range []struct {
		name    string
		s       sent
		missing cosmos.Actions
		want    string
	}{
		{
			"data in a container", sent{method: http.MethodDelete, target: item}, 0,
			prefix + "[Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/delete] on resource [dbs/shop/colls/orders]. Ask for it.",
		},
		{
			"metadata of a database", sent{method: http.MethodGet, target: "/dbs/shop"}, 0,
			prefix + "[Microsoft.DocumentDB/databaseAccounts/readMetadata] on resource [dbs/shop]. Ask for it.",
		},
		{
			"metadata of the account", sent{method: http.MethodGet, target: "/dbs"}, 0,
			prefix + "[Microsoft.DocumentDB/databaseAccounts/readMetadata] on any scope. Ask for it.",
		},
		{
			"one of several actions", sent{http.MethodPost, items, []string{isBatch}, `[{"operationType":"Read","id":"1"},{"operationType":"Delete","id":"1"}]`},
			cosmos.DeleteItem,
			prefix + "[Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/delete] on resource [dbs/shop/colls/orders]. Ask for it.",
		},
		{
			"several actions", sent{http.MethodPost, items, []string{isBatch}, `[{"operationType":"Read","id":"1"},{"operationType":"Delete","id":"1"}]`}, 0,
			prefix + "[Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read, " +
				"Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/delete] on resource [dbs/shop/colls/orders]. Ask for it.",
		},
		{
			"an unresolved RID", sent{method: http.MethodGet, target: "/dbs/" + databaseRID}, 0,
			prefix + "[Microsoft.DocumentDB/databaseAccounts/readMetadata] on resource [dbs/" + databaseRID + "]. Ask for it.",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got := cosmos.Denied(classified(t, row.s), cosmos.Denial{
				Account: "prod", Principal: "ann", Missing: row.missing, Hint: "Ask for it.",
			})
			if diff := cmp.Diff(row.want, got.Message); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestImpossibleRequestsAreNamedAsTheServiceNamesThem(t *testing.T) {
	t.Parallel()

	op := classified(t, sent{method: http.MethodPost, target: "//DBS/my%20shop/colls/"})

	const want = "The given request [POST /dbs/my%20shop/colls] cannot be authorized by AAD token in data plane."
	if op.Refusal == nil || op.Refusal.Message != want {
		t.Errorf("got %+v, want %q", op.Refusal, want)
	}
}

func TestDirectModeIsToldTheWayOut(t *testing.T) {
	t.Parallel()

	for _, word := range []string{"ConnectionMode.Gateway", ".gatewayMode()"} {
		if message := cosmos.DirectMode().Message; !strings.Contains(message, word) {
			t.Errorf("%q does not name %s", message, word)
		}
	}
}

func TestErrorBodiesAreJSONWhateverTheNames(t *testing.T) {
	t.Parallel()

	op := classified(t, sent{method: http.MethodGet, target: "/dbs/%22%3Cb%3E%E2%80%A8x/colls/c"})
	w := httptest.NewRecorder()
	cosmos.Denied(op, cosmos.Denial{Account: "\xff", Principal: "a\"b\\c\n"}).Write(w, activityID)

	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}

	if !strings.Contains(body["message"], "[dbs/\"<b>\u2028x/colls/c]") || !strings.Contains(body["message"], "[a\"b\\c\n]") {
		t.Errorf("got %q", body["message"])
	}
}

func TestTheLogSeesTheReason(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name string
		err  *cosmos.Error
		want string
	}{
		{"a reason", cosmos.Unavailable("no route"), "503/0: no route"},
		{"a message only", &cosmos.Error{Status: 404, Message: "gone"}, "404/0: gone"},
		{"nothing", &cosmos.Error{Status: 500}, "500/0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			if got := row.err.Error(); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}
