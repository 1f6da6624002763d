package scim_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
	"github.com/cosmosgate/cosmosgate/scim"
)

func TestTenThousandMembersFitInOnePatch(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	const people = 10_000
	changes := make([]directory.Change, 0, people)
	for i := range people {
		changes = append(changes, directory.CreateUser{User: directory.User{UserName: fmt.Sprintf("u%d", i), Active: true}})
	}
	results, err := g.directory.Apply(t.Context(), corp, changes...)
	if err != nil {
		t.Fatal(err)
	}
	members := make([]string, 0, people)
	for _, r := range results {
		members = append(members, `{"value":"`+string(r.ID)+`"}`)
	}
	group := g.group(t, "all")
	add := patchBody(`{"op":"add","path":"members","value":[` + strings.Join(members, ",") + `]}`)
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, add)
	remove := patchBody(`{"op":"remove","path":"members","value":[` + strings.Join(members[1:], ",") + `]}`)
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, remove)
	if diff := cmp.Diff([]string{string(results[0].ID)}, g.members(t, group)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestACursorWalkLosesNoRowWhenOthersAreDeleted(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	var all []string
	for i := range 40 {
		all = append(all, g.user(t, fmt.Sprintf("u%02d", i)))
	}
	var seen []string
	cursor := ""
	for page := 0; ; page++ {
		list := g.want(t, http.StatusOK, http.MethodGet, "/Users?count=7&cursor="+cursor, "")
		resources, _ := list["Resources"].([]any)
		for _, r := range resources {
			object, _ := r.(map[string]any)
			id, _ := object["id"].(string)
			seen = append(seen, id)
		}
		next, ok := list["nextCursor"].(string)
		if !ok {
			break
		}
		cursor = next
		// One that was seen and the very last one seen: neither may shift the walk.
		g.want(t, http.StatusNoContent, http.MethodDelete, "/Users/"+seen[len(seen)-1-page%2], "")
	}
	if diff := cmp.Diff(all, seen); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The directory has one writer: a provider must not be able to keep everybody else's locks and revocations waiting.
func TestAPatchThatComparesForSecondsIsRefused(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	mails := make([]string, 0, 1000)
	for i := range cap(mails) {
		mails = append(mails, fmt.Sprintf(`{"value":"mail%d@corp.example"}`, i))
	}
	all := "[" + strings.Join(mails, ",") + "]"
	id := g.user(t, "ann")
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"add","path":"emails","value":`+all+`}`))
	many := strings.TrimSuffix(strings.Repeat(`value co \"zzz\" or `, 90), " or ")
	repeated := func(n int, operation string) string {
		return patchBody(strings.TrimSuffix(strings.Repeat(operation+",", n), ","))
	}
	for name, body := range map[string]string{
		"values that are there": repeated(3, `{"op":"add","path":"emails","value":`+all+`}`),
		"values that are not":   repeated(3, `{"op":"remove","path":"emails","value":`+strings.ReplaceAll(all, "mail", "x")+`}`),
		"more than are kept":    repeated(1, `{"op":"remove","path":"emails","value":[`+strings.Repeat(`{"value":"x"},`, 1000)+`{"value":"x"}]}`),
		"filters":               repeated(1000, `{"op":"remove","path":"emails[`+many+`]"}`),
		"changes":               repeated(1000, `{"op":"replace","path":"emails[value co \"mail\" or primary pr].display","value":"x"}`),
	} {
		if w := g.do(http.MethodPatch, "/Users/"+id, body); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, repeated(900, `{"op":"remove","path":"emails[value eq \"mail7@corp.example\"]"}`))
	group := g.group(t, "all", id)
	byType := `{"op":"remove","path":"members[type eq \"Group\"]"}`
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, repeated(8, byType))
	g.want(t, http.StatusRequestEntityTooLarge, http.MethodPatch, "/Groups/"+group, repeated(9, byType))
	g.want(t, http.StatusRequestEntityTooLarge, http.MethodPatch, "/Groups/"+group, repeated(9, `{"op":"remove","path":"members"}`))
	g.want(t, http.StatusRequestEntityTooLarge, http.MethodPatch, "/Groups/"+group, repeated(9, `{"op":"replace","path":"members","value":[]}`))
}

func TestAGroupIsWrittenOnceHoweverItsOperationsLie(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	id := g.group(t, "all")
	operations := make([]string, 0, 2*200)
	for i := range 200 {
		operations = append(operations, fmt.Sprintf(`{"op":"replace","path":"externalId","value":"%d"}`, i), `{"op":"add","path":"members","value":[]}`)
	}
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+id, patchBody(operations...))
	if group, _ := g.directory.Group(corp, directory.ID(id)); group.ExternalID != "199" || group.Revision != 2 {
		t.Errorf("externalId %q, revision %d", group.ExternalID, group.Revision)
	}
}

func TestAResourceHasABound(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	long := strings.Repeat("a", 1<<20)
	g.want(t, http.StatusRequestEntityTooLarge, http.MethodPost, "/Users", `{"userName":"ann","title":"`+long+`"}`)
	g.want(t, http.StatusRequestEntityTooLarge, http.MethodPost, "/Groups", `{"displayName":"`+long+`"}`)
	id := g.user(t, "ann")
	g.want(t, http.StatusRequestEntityTooLarge, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"add","path":"title","value":"`+long+`"}`))
}

func TestAFilterThatNoIndexServesIsBounded(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	changes := make([]directory.Change, 0, 250)
	for i := range 250 {
		changes = append(changes, directory.CreateUser{User: directory.User{UserName: fmt.Sprintf("u%d", i), Active: true}})
	}
	if _, err := g.directory.Apply(t.Context(), corp, changes...); err != nil {
		t.Fatal(err)
	}
	refused := g.want(t, http.StatusBadRequest, http.MethodGet, "/Users?filter=active%20eq%20true", "")
	if refused["scimType"] != "tooMany" {
		t.Errorf("scimType %v", refused["scimType"])
	}
	g.want(t, http.StatusOK, http.MethodGet, "/Users?filter=active%20eq%20true%20and%20userName%20eq%20%22u7%22", "")
	g.want(t, http.StatusOK, http.MethodGet, "/Users?count=250", "")
}

func TestAStoppedDirectoryAnswersWrites503AndStillReads(t *testing.T) {
	t.Parallel()
	log := &logtest.Faulty{Log: &logtest.Memory{}}
	d, err := directory.Open(directory.Config{
		Log: log, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = d.Run(ctx) }()
	g := newGate(t, func(c *scim.Config) { c.Directory = d })
	id := g.user(t, "ann")
	log.Fail(logtest.Before)
	deactivate := patchBody(`{"op":"replace","path":"active","value":false}`)
	refused := g.want(t, http.StatusServiceUnavailable, http.MethodPatch, "/Users/"+id, deactivate)
	if detail, _ := refused["detail"].(string); strings.Contains(detail, "fire") {
		t.Errorf("the body tells the caller our troubles: %s", detail)
	}
	log.Fail(logtest.Never)
	g.want(t, http.StatusServiceUnavailable, http.MethodPatch, "/Users/"+id, deactivate)
	if user := g.want(t, http.StatusOK, http.MethodGet, "/Users/"+id, ""); user["active"] != true {
		t.Error("a write that isn't durable is visible")
	}
}

func TestABodyThatDoesNotArriveIsCutOff(t *testing.T) {
	t.Parallel()
	g := newGate(t, func(c *scim.Config) { c.BodyTimeout = 50 * time.Millisecond })
	web := httptest.NewServer(g)
	t.Cleanup(web.Close)
	body, end := io.Pipe()
	t.Cleanup(func() { _ = end.Close() })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/scim/v2/corp/Users", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	go func() { _, _ = end.Write([]byte(`{"userName":`)) }()
	answer, err := web.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", answer.StatusCode)
	}
	if counts := g.directory.Counts(corp); counts.Users != 0 {
		t.Errorf("%d users were made", counts.Users)
	}
}

func TestASortedListIsInOrder(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	names := []string{"delta", "Alpha", "charlie", "Bravo", "échо"}
	for _, n := range names {
		g.user(t, n)
	}
	list := g.want(t, http.StatusOK, http.MethodGet, "/Users?sortBy=userName&attributes=userName", "")
	resources, _ := list["Resources"].([]any)
	var got []string
	for _, r := range resources {
		object, _ := r.(map[string]any)
		name, _ := object["userName"].(string)
		got = append(got, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(directory.Fold(a), directory.Fold(b)) })
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestMembersAreNoOrder(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	ann, bob := g.user(t, "ann"), g.user(t, "bob")
	first, second := g.group(t, "a", bob), g.group(t, "b", ann)
	list := g.want(t, http.StatusOK, http.MethodGet, "/Groups?sortBy=members.value&attributes=displayName", "")
	ids := []string{}
	resources, _ := list["Resources"].([]any)
	for _, r := range resources {
		object, _ := r.(map[string]any)
		id, _ := object["id"].(string)
		ids = append(ids, id)
	}
	if diff := cmp.Diff([]string{first, second}, ids); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
