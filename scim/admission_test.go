package scim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

func TestOneRequestAtATimeSpendsWhatHasNotComeIn(t *testing.T) {
	t.Parallel()
	const parallel = 30
	g, clock := paced(t, 10)
	operations := make([]string, 0, 1000)
	for i := range cap(operations) {
		operations = append(operations, fmt.Sprintf(`{"method":"DELETE","path":"/Users/%d"}`, i))
	}
	body := bulkBody(operations...)
	var mu sync.Mutex
	counts := map[int]int{}
	var wait sync.WaitGroup
	for range parallel {
		wait.Go(func() {
			w := g.do(http.MethodPost, "/Bulk", body)
			mu.Lock()
			defer mu.Unlock()
			counts[w.Code]++
			seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
			if w.Code == http.StatusTooManyRequests && (err != nil || seconds < 1 || seconds > 60) {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
	wait.Wait()
	if counts[http.StatusOK] != 1 || counts[http.StatusTooManyRequests] != parallel-1 {
		t.Errorf("statuses %v, want one that was done", counts)
	}
	// What the answer says is true: not a second earlier, and not later.
	seconds, err := strconv.Atoi(g.do(http.MethodGet, "/Users", "").Header().Get("Retry-After"))
	if err != nil {
		t.Fatal(err)
	}
	clock.passed.Add(int64(time.Duration(seconds-1) * time.Second))
	g.want(t, http.StatusTooManyRequests, http.MethodGet, "/Users?count=0", "")
	clock.passed.Add(int64(time.Second))
	g.want(t, http.StatusOK, http.MethodGet, "/Users?count=0", "")
}

func TestABurstOfCheapRequestsIsLetThrough(t *testing.T) {
	t.Parallel()
	g, _ := paced(t, 200)
	group := g.group(t, "g", g.user(t, "ann"))
	var wait sync.WaitGroup
	for i := range 190 { // a provider that sends a request for each member, all at once
		wait.Go(func() {
			id := g.want(t, http.StatusCreated, http.MethodPost, "/Users", fmt.Sprintf(`{"userName":"u%d"}`, i))["id"]
			_ = id
		})
	}
	wait.Wait()
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"remove","path":"members"}`))
}

// upload is a request whose body arrives when its other end is written to.
func upload(ctx context.Context, g *gate, connection string) (io.WriteCloser, chan *httptest.ResponseRecorder) {
	body, end := io.Pipe()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/scim/v2/"+connection+"/Users", body)
	r.Header.Set("Authorization", "Bearer "+token)
	r.ContentLength = -1
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		_ = body.Close()
		done <- w
	}()
	return end, done
}

// TestAProviderThatSendsSlowlyKeepsNobodyElseWaiting runs on a clock of its own.
func TestAProviderThatSendsSlowlyKeepsNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, func(c *scim.Config) {
			c.Tokens = verifier(func(_, secret string) bool { return secret == token })
			c.Connections = append(c.Connections, scim.Connection{Name: "other"})
		})
		const places = 64
		var ends []io.WriteCloser
		var slow []chan *httptest.ResponseRecorder
		for range places {
			end, done := upload(t.Context(), g, corp)
			ends, slow = append(ends, end), append(slow, done)
		}
		synctest.Wait()
		began := time.Now()
		w := g.do(http.MethodGet, "/Users", "")
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || time.Since(began) != 5*time.Second {
			t.Errorf("one more: %d after %s, Retry-After %q", w.Code, time.Since(began), w.Header().Get("Retry-After"))
		}
		end, done := upload(t.Context(), g, "other")
		write(t, end, `{"userName":"ann"}`)
		if w := <-done; w.Code != http.StatusCreated {
			t.Errorf("another connection: %d %s", w.Code, w.Body)
		}
		r := httptest.NewRequest(http.MethodGet, "/scim/v2/corp/Schemas", nil)
		w = httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("discovery by a stranger: %d", w.Code)
		}
		write(t, ends[0], `{"userName":"bob"}`)
		if w := <-slow[0]; w.Code != http.StatusCreated {
			t.Errorf("a slow one: %d %s", w.Code, w.Body)
		}
		g.want(t, http.StatusOK, http.MethodGet, "/Users", "")
		for i, end := range ends[1:] {
			write(t, end, "")
			<-slow[i+1]
		}
	})
}

func write(t *testing.T, to io.WriteCloser, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Error(err)
	}
	if err := to.Close(); err != nil {
		t.Error(err)
	}
}

// TestLargeBodiesOfAConnectionHaveSoMuchRoom runs on a clock of its own.
func TestLargeBodiesOfAConnectionHaveSoMuchRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		const atOnce = 3
		g.RoomFor(corp, atOnce*8<<20) // texts of a length that is not known
		large := strings.Repeat(" ", 100<<10)
		ctx, hangUp := context.WithCancel(t.Context())
		var ends []io.WriteCloser
		var begun []chan *httptest.ResponseRecorder
		for range atOnce {
			end, done := upload(ctx, g, corp)
			if _, err := io.WriteString(end, large); err != nil {
				t.Fatal(err)
			}
			ends, begun = append(ends, end), append(begun, done)
		}
		synctest.Wait()
		end, done := upload(ctx, g, corp)
		go func() { _, _ = io.WriteString(end, large) }()
		if w := <-done; w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
			t.Errorf("one more: %d %s", w.Code, w.Body)
		}
		g.user(t, "small") // what is small needs no room
		for i, end := range ends {
			write(t, end, "")
			if w := <-begun[i]; w.Code != http.StatusBadRequest {
				t.Errorf("a body of white space: %d", w.Code)
			}
		}
		hangUp()
		end, done = upload(t.Context(), g, corp)
		write(t, end, large+`{"userName":"ann"}`)
		if w := <-done; w.Code != http.StatusCreated {
			t.Errorf("afterwards: %d %s", w.Code, w.Body)
		}
	})
}

func TestABodyThatWouldTakeMuchMoreMemoryThanItsTextIsRefusedWhereThereIsNone(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.RoomFor(corp, 16<<20)
	objects := `{"userName":"ann","emails":[` + strings.TrimSuffix(strings.Repeat(`{},`, 40_000), ",") + `]}`
	g.want(t, http.StatusTooManyRequests, http.MethodPost, "/Users", objects)
	more := `{"userName":"ann","emails":[` + strings.TrimSuffix(strings.Repeat(`{},`, 1_000_000), ",") + `]}`
	g.want(t, http.StatusRequestEntityTooLarge, http.MethodPost, "/Users", more) // however long it waited
	text := `{"userName":"ann","title":"` + strings.Repeat("x", len(objects)) + `"}`
	g.want(t, http.StatusCreated, http.MethodPost, "/Users", text)
}

// endless is a body without end that counts what is taken of it.
type endless struct{ taken int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.taken += len(p)
	return len(p), nil
}

func TestABodyWithoutEndIsReadToItsBoundAndNoFurther(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	for path, most := range map[string]int{"/Users": 4 << 20, "/Bulk": 1 << 20} {
		body := &endless{}
		r := httptest.NewRequest(http.MethodPost, "/scim/v2/corp"+path, body)
		r.Header.Set("Authorization", "Bearer "+token)
		r.ContentLength = -1
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge || body.taken > most+most/2 {
			t.Errorf("%s: status %d after %d bytes", path, w.Code, body.taken)
		}
	}
}

func TestAGroupThatNoAnswerHoldsIsNotChangedForOne(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.ShowAtMost(corp, 3)
	ids := []string{g.user(t, "a"), g.user(t, "b"), g.user(t, "c"), g.user(t, "d")}
	group := g.group(t, "all", ids[:3]...)
	if _, err := g.directory.Apply(t.Context(), corp, directory.AddMembers{Group: directory.ID(group), Members: []directory.ID{directory.ID(ids[3])}}); err != nil {
		t.Fatal(err)
	}
	before, _ := g.directory.Group(corp, directory.ID(group))
	rename := patchBody(`{"op":"replace","path":"displayName","value":"everybody"}`)
	for _, ask := range []string{"attributes=members", "excludedAttributes=displayName"} {
		if refused := g.want(t, http.StatusBadRequest, http.MethodPatch, "/Groups/"+group+"?"+ask, rename); refused["scimType"] != "tooMany" {
			t.Errorf("%s: scimType %v", ask, refused["scimType"])
		}
	}
	if after, _ := g.directory.Group(corp, directory.ID(group)); after.Revision != before.Revision || after.DisplayName != "all" {
		t.Errorf("a refused change was made: revision %d, name %s", after.Revision, after.DisplayName)
	}
	renamed := g.want(t, http.StatusOK, http.MethodPatch, "/Groups/"+group+"?attributes=displayName", rename)
	if renamed["displayName"] != "everybody" {
		t.Errorf("renamed to %v", renamed["displayName"])
	}
	more := patchBody(`{"op":"remove","path":"members"}`, `{"op":"add","path":"members","value":[{"value":"`+strings.Join(ids, `"},{"value":"`)+`"}]}`)
	g.want(t, http.StatusBadRequest, http.MethodPatch, "/Groups/"+group+"?attributes=members", more)
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, more)
	emptied := g.want(t, http.StatusOK, http.MethodPatch, "/Groups/"+group+"?attributes=members", patchBody(`{"op":"remove","path":"members"}`))
	if emptied["members"] != nil {
		t.Error("an emptied group has members")
	}
}

func TestMembershipsInAnAnswerAreBoundedAsMembersAre(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.ShowAtMost(corp, 3)
	ann, bob := g.user(t, "ann"), g.user(t, "bob")
	for i := range 2 {
		g.group(t, fmt.Sprintf("g%d", i), ann, bob)
	}
	if refused := g.want(t, http.StatusBadRequest, http.MethodGet, "/Users", ""); refused["scimType"] != "tooMany" {
		t.Errorf("scimType %v", refused["scimType"])
	}
	g.want(t, http.StatusOK, http.MethodGet, "/Users?excludedAttributes=groups", "")
	g.want(t, http.StatusOK, http.MethodGet, "/Users?count=1", "")
	for i := range 2 {
		g.group(t, fmt.Sprintf("h%d", i), ann)
	}
	// What was done is answered, however much there is to say.
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+ann, patchBody(`{"op":"replace","path":"title","value":"x"}`))
	g.want(t, http.StatusOK, http.MethodPut, "/Users/"+ann, `{"userName":"ann"}`)
	g.want(t, http.StatusBadRequest, http.MethodGet, "/Users/"+ann, "")
}

func TestAnAnswerOfLargeDocumentsIsBounded(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.AnswerAtMost(corp, 32_000)
	long := strings.Repeat("a", 2000)
	for i := range 17 {
		g.want(t, http.StatusCreated, http.MethodPost, "/Users", fmt.Sprintf(`{"userName":"u%d","title":"%s"}`, i, long))
	}
	if refused := g.want(t, http.StatusBadRequest, http.MethodGet, "/Users", ""); refused["scimType"] != "tooMany" {
		t.Errorf("scimType %v", refused["scimType"])
	}
	g.want(t, http.StatusOK, http.MethodGet, "/Users?count=10", "")
}

func TestAFilterPaysForWhatItLooksAt(t *testing.T) {
	t.Parallel()
	g, _ := paced(t, 40)
	mails := make([]string, 0, 1000)
	for i := range cap(mails) {
		mails = append(mails, fmt.Sprintf(`{"value":"mail%d@corp.example"}`, i))
	}
	all := strings.Join(mails, ",")
	for i := range 3 {
		g.want(t, http.StatusCreated, http.MethodPost, "/Users", fmt.Sprintf(`{"userName":"u%d","emails":[%s]}`, i, all))
	}
	// 180 terms on 3 documents of 40 KiB: about half a million comparisons.
	filter := strings.TrimSuffix(strings.Repeat(`emails co "zzz" or `, 90), " or ")
	g.want(t, http.StatusOK, http.MethodPost, "/Users/.search", `{"filter":"`+strings.ReplaceAll(filter, `"`, `\"`)+`"}`)
	tokens := 0
	for g.do(http.MethodGet, "/Users?count=0", "").Code == http.StatusOK {
		tokens++
	}
	if tokens == 0 || tokens > 10 {
		t.Errorf("%d requests are left of 40: the filter was charged too little, or more than it may", tokens)
	}
}

func TestGroupsThatAreNestedTooMuchAreRefused(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	top := g.group(t, "g0")
	for i, above := 0, top; i < 500; i++ {
		below := g.group(t, fmt.Sprintf("g%d", i+1))
		add := directory.AddMembers{Group: directory.ID(above), Members: []directory.ID{directory.ID(below)}}
		if _, err := g.directory.Apply(t.Context(), corp, add); err != nil {
			t.Fatal(err)
		}
		above = below
	}
	refused := g.want(t, http.StatusBadRequest, http.MethodPost, "/Groups", `{"displayName":"one more","members":[{"value":"`+top+`"}]}`)
	if refused["scimType"] != "invalidValue" {
		t.Errorf("scimType %v", refused["scimType"])
	}
	if groups := g.directory.Counts(corp).Groups; groups != 501 {
		t.Errorf("%d groups: what was refused was made", groups)
	}
}
