package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
)

func TestWhatIsNoHTTPIsRecordedAndAnsweredNatively(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	answer := httptest.NewRecorder()
	g.proxy.Unreadable(answer, http.StatusBadRequest, "Bad Request", "192.0.2.7:4711")
	if body := answer.Body.String(); answer.Code != http.StatusBadRequest || !strings.Contains(body, `"code":"BadRequest"`) {
		t.Errorf("answer = %d %s", answer.Code, body)
	}
	r := g.ledger.next(t)
	want := audit.Record{
		Source: "192.0.2.7", Decision: audit.Deny, Outcome: audit.Refused, Status: http.StatusBadRequest,
		Reason: "BadRequest", Detail: "unreadable: Bad Request", BytesOut: int64(answer.Body.Len()), PolicyHash: "sha256:0",
	}
	r.Time, r.DecisionID, r.ActivityID, r.Duration = want.Time, "", "", 0
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestTheRegionsOfAnAccountAreItsSecretToo(t *testing.T) {
	t.Parallel()
	const region = "secret-account-westeurope.documents.azure.test"
	g := newGate(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ms-Physical-Endpoint", "https://"+region+"/")
		if r.Method == http.MethodGet {
			item(w, `{"id":"1"}`)
			return
		}
		w.Header().Set("Content-Type", jsonMedia)
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"code":"NotFound","message":"at ` + strings.ToUpper(region) + `"}`))
	}})
	if got := g.get(); got.Status != http.StatusOK || got.Header.Get("X-Ms-Physical-Endpoint") != "" {
		t.Errorf("answer = %d %v", got.Status, got.Header)
	}
	if got := g.create(); got.Status != http.StatusNotFound || strings.Contains(strings.ToLower(got.Body), region) {
		t.Errorf("answer = %d %s", got.Status, got.Body)
	}
}
