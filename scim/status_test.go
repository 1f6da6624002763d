package scim_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

func kindsOf(s scim.Status) []string {
	var kinds []string
	for _, w := range s.Warnings {
		kinds = append(kinds, w.Kind)
	}
	return kinds
}

func TestStatusShowsContactAndRefusalsWithTheirFix(t *testing.T) {
	t.Parallel()
	g := newGate(t, dialect("entra"))
	g.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"a","externalId":"alias"}`)
	g.want(t, http.StatusConflict, http.MethodPost, "/Users", `{"userName":"A"}`)
	g.want(t, http.StatusBadRequest, http.MethodPost, "/Users", `{"userName":"b","shoeSize":{"left":42,"secret":"hunter2"}}`)
	g.want(t, http.StatusNotFound, http.MethodGet, "/Users/019aa000-0000-7000-8000-000000000001", "")
	g.do(http.MethodGet, "/Users", "", "Authorization", "Bearer wrong")
	s := g.Status()[0]
	if s.LastContact.IsZero() || s.LastWrite.IsZero() || s.WrongTokens != 1 || s.LastWrongToken.IsZero() {
		t.Errorf("contact: %+v", s)
	}
	if diff := cmp.Diff(map[string]int{"uniqueness": 1, "invalidSyntax": 1, "other": 1}, s.Refused); diff != "" {
		t.Errorf("refusals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(scim.Census{Users: 1, Active: 1, Linked: 1}, s.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if len(s.Failures) != 3 {
		t.Fatalf("%d failures, want those of the provider and not the stranger's", len(s.Failures))
	}
	want := scim.Failure{
		Time: s.Failures[1].Time, Times: 1, Method: http.MethodPost, Path: "/Users", Status: http.StatusBadRequest, Kind: scim.KindInvalidSyntax,
		Detail: `unknown attribute "shoeSize"`, Shape: `{shoeSize: {left: number, secret: string}, userName: string}`,
		Fix: "take the attribute out of the provider's mapping, or declare it in scim.schemas of the configuration file",
	}
	if diff := cmp.Diff(want, s.Failures[1]); diff != "" {
		t.Errorf("failure (-want +got):\n%s", diff)
	}
	if path := s.Failures[2].Path; path != "/Users/{id}" {
		t.Errorf("path = %s, want the id hidden", path)
	}
}

func TestWhatIsRefusedOftenHidesNoOtherRefusal(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.want(t, http.StatusBadRequest, http.MethodPost, "/Users", `{"userName":"b","shoeSize":42}`)
	for range 30 {
		g.want(t, http.StatusNotFound, http.MethodGet, "/Users/019aa000-0000-7000-8000-000000000001", "")
	}
	failures := g.Status()[0].Failures
	if len(failures) != 2 || failures[0].Status != http.StatusBadRequest || failures[1].Times != 30 {
		t.Errorf("failures: %+v, want the first beside thirty that are one", failures)
	}
}

func TestStatusTellsHowSoonChangesAreObeyedAndWhoWaitsForTheirPerson(t *testing.T) {
	t.Parallel()
	clock := &stopped{}
	clock.step.Store(int64(time.Millisecond))
	g := newGate(t, func(c *scim.Config) { c.Clock = clock.now })
	id := g.user(t, "ann")
	group := g.group(t, "g", id)
	for range 8 {
		g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"replace","path":"active","value":false}`))
	}
	g.want(t, http.StatusOK, http.MethodGet, "/Users", "")
	g.want(t, http.StatusOK, http.MethodPost, "/Bulk", bulkBody(`{"method":"DELETE","path":"/Users/x"}`))
	ghost := patchBody(`{"op":"add","path":"members","value":[{"value":"ghost"}]}`)
	g.want(t, http.StatusBadRequest, http.MethodPatch, "/Groups/"+group, ghost)
	s := g.Status()[0]
	if s.Requests != 13 || s.Obeyed.Of != 10 || s.Obeyed.P50 <= 0 || s.Obeyed.P99 < s.Obeyed.P50 || s.Obeyed.P99 > 1 {
		t.Errorf("%d requests, obeyed %+v", s.Requests, s.Obeyed)
	}
	if s.Parked != 1 || s.LastParked.IsZero() || !slices.Contains(kindsOf(s), scim.WarnParked) {
		t.Errorf("%d parked, last %s, warnings %v", s.Parked, s.LastParked, kindsOf(s))
	}
	clock.passed.Add(int64(72 * time.Hour)) // runs have come and gone since
	if s := g.Status()[0]; s.Parked != 1 || slices.Contains(kindsOf(s), scim.WarnParked) {
		t.Errorf("much later: %d parked, warnings %v", s.Parked, kindsOf(s))
	}
}

func TestShapesHoldNothingThatIsSaidAboutPeople(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.want(t, http.StatusBadRequest, http.MethodPatch, "/Users/"+g.user(t, "ann"), patchBody(
		`{"op":"Replace","path":"emails[value eq \"hunter2@corp.example\"].value","value":"hunter2"}`, `{"op":"add","path":"nosuch","value":{"hidden":["hunter2"]}}`))
	g.do(http.MethodGet, `/Users?filter=nosuch%20eq%20%22hunter2%20\%22%20and%20more%22%20and%20userName%20eq%20%22hunter2%22`, "")
	g.want(t, http.StatusOK, http.MethodPost, "/Bulk",
		`{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[{"method":"PATCH","path":"/Users/hunter2","data":{"Operations":[{"op":"add","path":"title","value":"hunter2"}]}}]}`)
	failures := g.Status()[0].Failures
	if len(failures) != 3 {
		t.Fatalf("failures = %+v", failures)
	}
	want := []string{
		`{Operations: [{op: "Replace", path: emails[value eq "…"].value, value: string}, {op: "add", path: nosuch, value: {hidden: [string]}}], ` +
			`schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}`,
		`filter: nosuch eq "…" and userName eq "…"`,
		`{Operations: [{op: "add", path: title, value: string}]}`,
	}
	for i, f := range failures {
		if diff := cmp.Diff(want[i], f.Shape); diff != "" {
			t.Errorf("shape %d (-want +got):\n%s", i, diff)
		}
		if strings.Contains(f.Shape+f.Path, "hunter2") {
			t.Errorf("failure %d tells a value: %+v", i, f)
		}
	}
}

func TestTheProviderIsRecognisedByWhatItSends(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		path, body, agent, dialect, form string
	}{
		"Entra's flag":            {"/Users?aadOptscim062020", "", "", "entra", "flag"},
		"Entra's legacy verbs":    {"/Users/x", patchBody(`{"op":"Replace","path":"active","value":"False"}`), "", "entra", "legacy"},
		"Okta":                    {"/Users", "", "Okta SCIM Client 1.0.0", "okta", ""},
		"JumpCloud":               {"/Users", "", "JumpCloud-SCIM", "jumpcloud", ""},
		"OneLogin's schemas":      {"/Users", `{"schemas":["urn:scim:schemas:core:1.0"],"userName":"a"}`, "", "onelogin", ""},
		"somebody":                {"/Users", "", "curl/8", "", ""},
		"RFC verbs say nothing":   {"/Users/x", patchBody(`{"op":"replace","path":"active","value":false}`), "", "", ""},
		"Okta with capital verbs": {"/Users/x", patchBody(`{"op":"Add","path":"title","value":"x"}`), "Okta SCIM Client", "okta", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			method := http.MethodGet
			if row.body != "" {
				method = http.MethodPatch
			}
			g.do(method, row.path, row.body, "User-Agent", row.agent)
			if s := g.Status()[0]; s.Detected != row.dialect || s.DetectedForm != row.form {
				t.Errorf("detected %q %q, want %q %q", s.Detected, s.DetectedForm, row.dialect, row.form)
			}
		})
	}
}

func TestRefusalsInARowEndangerTheConnection(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	level := func() string { return g.Status()[0].Risk.Level }
	for range 9 {
		g.want(t, http.StatusBadRequest, http.MethodPost, "/Users", `{"userName":1}`)
	}
	if got := level(); got != "none" {
		t.Errorf("after 9: %s", got)
	}
	g.want(t, http.StatusBadRequest, http.MethodPost, "/Users", `{"userName":1}`)
	if got := level(); got != "elevated" {
		t.Errorf("after 10: %s", got)
	}
	for range 10 {
		g.want(t, http.StatusBadRequest, http.MethodPost, "/Users", `{"userName":1}`)
	}
	if s := g.Status()[0]; s.Risk.Level != "high" || s.Risk.Refused != 20 || s.Risk.Run != 20 {
		t.Errorf("after 20: %+v", s.Risk)
	}
	for range 100 {
		g.want(t, http.StatusOK, http.MethodGet, "/Users", "")
	}
	if s := g.Status()[0]; s.Risk.Level != "none" || s.Risk.Refused != 0 {
		t.Errorf("after 100 good ones: %+v", s.Risk)
	}
}

// TestWhatNeedsAttentionIsLoggedOnceAndAgainWhenItIsOver runs the watch on a clock of its own.
func TestWhatNeedsAttentionIsLoggedOnceAndAgainWhenItIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := newGate(t, dialect("entra"), func(c *scim.Config) {
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c.Connections[0].SilentAfter = time.Hour
		})
		g.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"ann","externalId":"ann.mailnickname"}`)
		g.group(t, "readers")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		synctest.Wait()
		if diff := cmp.Diff([]string{scim.WarnExternalID, scim.WarnGroupIDs}, kindsOf(g.Status()[0])); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if s := g.Status()[0]; !s.Silent {
			t.Errorf("two hours of silence: %+v", s)
		}
		id, _ := g.want(t, http.StatusOK, http.MethodGet, "/Users?filter=userName%20eq%20%22ann%22", "")["Resources"].([]any)[0].(map[string]any)["id"].(string)
		g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id,
			patchBody(`{"op":"Replace","path":"externalId","value":"11111111-1111-4111-8111-111111111111"}`))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{scim.WarnGroupIDs}, kindsOf(g.Status()[0])); diff != "" {
			t.Errorf("warnings afterwards (-want +got):\n%s", diff)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for part, times := range map[string]int{
			"remap externalId to objectId": 1, "kind=silent": 2, "is in order again": 2, "1 group has no externalId": 1, "1 person has an externalId that is no objectId": 1,
		} {
			if got := strings.Count(log.String(), part); got != times {
				t.Errorf("%q is logged %d times, want %d:\n%s", part, got, times, log.String())
			}
		}
	})
}

// TestAProviderThatReachesAnotherGateIsNotSilent has a second server over the same directory, as after a restart, or of another gate.
func TestAProviderThatReachesAnotherGateIsNotSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		soon := func(c *scim.Config) { c.Connections[0].SilentAfter = time.Hour }
		near := newGate(t, dialect("entra"), soon)
		far := near.again(t, dialect("entra"), soon)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, g := range []*gate{near, far} {
			go func() { ended <- g.Run(ctx) }()
		}
		time.Sleep(50 * time.Minute)
		near.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"ann","externalId":"ann.mailnickname"}`)
		time.Sleep(50 * time.Minute)
		near.want(t, http.StatusOK, http.MethodGet, "/Users", "")
		time.Sleep(50 * time.Minute)
		for name, g := range map[string]*gate{"the gate that is told": near, "the other gate": far, "a gate that starts": near.again(t, dialect("entra"), soon)} {
			s := g.Status()[0]
			if diff := cmp.Diff([]string{scim.WarnExternalID}, kindsOf(s)); diff != "" || s.Silent {
				t.Errorf("%s: warnings (-want +got):\n%s", name, diff)
			}
			if age := time.Since(s.LastContact); age < 49*time.Minute || age > 51*time.Minute {
				t.Errorf("%s: last contact was %s ago", name, age)
			}
		}
		time.Sleep(20 * time.Minute)
		if !far.Status()[0].Silent || !near.again(t, soon).Status()[0].Silent {
			t.Error("silence is not told by the other gates")
		}
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAnAttributeExposedLaterIsThereForPeoplePushedBefore(t *testing.T) {
	t.Parallel()
	const urn = "urn:corp:params:scim:schemas:2.0:Access"
	own := func(policy string) options {
		return func(c *scim.Config) {
			c.Connections[0].Extensions = []scim.Schema{{ID: urn, Attributes: []*scim.Attribute{{Name: "clearance", Policy: policy}}}}
		}
	}
	g := newGate(t, own(""))
	g.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"ann","externalId":"x","`+urn+`":{"clearance":"high"}}`)
	later := g.again(t, own("clearance"))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- later.Run(ctx) }()
	deadline := time.Now().Add(10 * time.Second)
	var view directory.UserView
	for view.Attributes["clearance"] != "high" && time.Now().Before(deadline) {
		view, _ = g.directory.Lookup(directory.LinkKey{Connection: corp, ExternalID: "x"})
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want := map[string]string{urn + ":clearance": "high", "clearance": "high"}
	if diff := cmp.Diff(want, view.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// TestASchemaThatComesBackIsThereForPeoplePushedBefore has people of whom policy knows nothing meanwhile.
func TestASchemaThatComesBackIsThereForPeoplePushedBefore(t *testing.T) {
	t.Parallel()
	const urn = "urn:corp:params:scim:schemas:2.0:Access"
	own := func(c *scim.Config) {
		c.Connections[0].Extensions = []scim.Schema{{ID: urn, Attributes: []*scim.Attribute{{Name: "clearance", Policy: "clearance"}}}}
	}
	with := newGate(t, own)
	without := with.again(t)
	with.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"ann","externalId":"x","`+urn+`":{"clearance":"low"}}`)
	with.user(t, "bo")
	for i, step := range []struct {
		*gate

		changed int
	}{{with, 0}, {without, 1}, {with, 1}, {with, 0}} {
		if changed, err := step.Refresh(t.Context(), corp); err != nil || changed != step.changed {
			t.Errorf("step %d: %d people were changed, error %v", i, changed, err)
		}
	}
	view, _ := with.directory.Lookup(directory.LinkKey{Connection: corp, ExternalID: "x"})
	if view.Attributes["clearance"] != "low" {
		t.Errorf("policy knows %v", view.Attributes)
	}
}
