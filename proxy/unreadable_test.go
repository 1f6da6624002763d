package proxy_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/proxy"
)

func TestWhatIsNoHTTPIsRecordedAndAnsweredNatively(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	answer := httptest.NewRecorder()
	g.proxy.RefuseUnreadable(answer, proxy.Unreadable{Status: http.StatusBadRequest, Reason: "Bad Request", Source: "192.0.2.7:4711"})
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

func TestWhatIsResetIsRecordedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	answer := httptest.NewRecorder()
	g.proxy.RefuseUnreadable(answer, proxy.Unreadable{Reason: "HTTP/2 stream error 1", Source: "192.0.2.7:4711"})
	if answer.Body.Len() != 0 || len(answer.Header()) != 0 {
		t.Errorf("answer = %v %s", answer.Header(), answer.Body)
	}
	r := g.ledger.next(t)
	if r.Decision != audit.Deny || r.Outcome != audit.Refused || r.Status != 0 || r.BytesOut != 0 || r.Detail != "unreadable: HTTP/2 stream error 1" {
		t.Errorf("record = %+v", r)
	}
}

func TestAnAnswerWithLittleRoomIsStillNative(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	const room = len(`{"code":"BadRequest","message":"invalid HTTP/2"}`)
	answer := httptest.NewRecorder()
	g.proxy.RefuseUnreadable(answer, proxy.Unreadable{Status: http.StatusBadRequest, Room: room})
	var body struct{ Code, Message string }
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || answer.Body.Len() > room || body.Code != "BadRequest" || body.Message == "" {
		t.Errorf("answer = %s: %v", answer.Body, err)
	}
	if r := g.ledger.next(t); r.ActivityID != answer.Header().Get("X-Ms-Activity-Id") || r.ActivityID == "" {
		t.Errorf("activity id %q in %v", r.ActivityID, answer.Header())
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
