package conformance_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// oracle asks other people's implementations; see oracle.cjs.
type oracle struct {
	in  *json.Encoder
	out *bufio.Reader
}

// verdict is what one implementation makes of a question.
type verdict struct {
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "node", "-e", `["scim-patch","scim2-parse-filter","scimmy"].forEach(require)`).Run(); err != nil {
		missing(t, "node with scim-patch, scim2-parse-filter and scimmy")
	}
	c := exec.CommandContext(t.Context(), "node", "oracle.cjs")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	return &oracle{json.NewEncoder(in), bufio.NewReaderSize(out, 1<<20)}
}

func (o *oracle) ask(t *testing.T, question map[string]any) map[string]verdict {
	t.Helper()
	if err := o.in.Encode(question); err != nil {
		t.Fatal(err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]verdict
	if err := json.Unmarshal(line, &all); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return all
}

// call sends a request and returns status and body.
func (s service) call(t *testing.T, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = strings.NewReader(string(text))
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var object map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&object); err != nil && answer.StatusCode != http.StatusNoContent {
		t.Fatal(err)
	}
	return answer.StatusCode, object
}

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// dice draws what tests are made of.
type dice struct{ *rand.Rand }

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func (d dice) user(n int) map[string]any {
	u := map[string]any{
		"schemas":  []any{"urn:ietf:params:scim:schemas:core:2.0:User", enterprise},
		"userName": fmt.Sprintf("u%d", n), "active": d.IntN(3) > 0,
		"name":   map[string]any{"givenName": pick(d, "ann", "bob"), "familyName": pick(d, "novak", "olsen", "petit")},
		"emails": []any{map[string]any{"type": "work", "value": fmt.Sprintf("w%d@x.example", d.IntN(4))}},
	}
	if d.IntN(2) == 0 {
		u["emails"] = append(u["emails"].([]any), map[string]any{"type": "home", "value": fmt.Sprintf("h%d@x.example", d.IntN(4))})
	}
	if d.IntN(2) == 0 {
		u["title"] = pick(d, "engineer", "manager", "clerk")
	}
	if d.IntN(2) == 0 {
		u[enterprise] = map[string]any{"department": pick(d, "emea", "apac")}
	}
	return u
}

// operation draws one PATCH operation on a user.
func (d dice) operation() map[string]any {
	verb := pick(d, "add", "replace", "remove")
	op := map[string]any{"op": verb}
	text := pick(d, "x", "y", "engineer")
	switch d.IntN(7) {
	case 0:
		op["path"], op["value"] = pick(d, "title", "nickName", "displayName"), text
	case 1:
		op["path"], op["value"] = pick(d, "name.givenName", "name.middleName"), text
	case 2:
		op["path"], op["value"] = `emails[type eq "work"].value`, text+"@x.example"
	case 3:
		op["path"] = `emails[value eq "w1@x.example"]`
		op["value"] = map[string]any{"type": "other", "value": text + "@x.example"}
		if verb == "add" {
			op["op"] = "remove"
		}
	case 4:
		op["path"], op["value"] = enterprise+":department", text
	case 5:
		op["path"], op["value"] = "emails", []any{map[string]any{"type": "other", "value": text + "@x.example"}}
	case 6:
		op["op"], op["path"], op["value"] = "replace", "active", d.IntN(2) == 0
	}
	if op["op"] == "remove" {
		delete(op, "value")
	}
	return op
}

// filter draws a filter. Literals are in small letters: neither oracle knows that userName is compared without case.
func (d dice) filter(depth int) string {
	if depth > 0 {
		switch d.IntN(4) {
		case 0:
			return d.filter(depth-1) + " and " + d.filter(depth-1)
		case 1:
			return d.filter(depth-1) + " or " + d.filter(depth-1)
		case 2:
			return "not (" + d.filter(depth-1) + ")"
		}
	}
	switch d.IntN(7) {
	case 0:
		return fmt.Sprintf(`userName %s "u%d"`, pick(d, "eq", "ne", "sw", "co", "ew"), d.IntN(12))
	case 1:
		return fmt.Sprintf(`name.familyName %s "%s"`, pick(d, "eq", "ne", "gt", "lt", "ge", "le"), pick(d, "novak", "olsen", "petit"))
	case 2:
		return pick(d, "title", "name.givenName", "emails") + " pr"
	case 3:
		return "active eq " + pick(d, "true", "false")
	case 4:
		return fmt.Sprintf(`emails[type eq "%s" and value %s "%s"]`, pick(d, "work", "home"), pick(d, "eq", "co", "sw"), pick(d, "w1", "w2@x.example", "h", "x"))
	case 5:
		return fmt.Sprintf(`title %s "%s"`, pick(d, "eq", "co", "sw"), pick(d, "engineer", "man", "c"))
	default:
		return fmt.Sprintf(`emails.value %s "%s"`, pick(d, "eq", "co"), pick(d, "w1@x.example", "h"))
	}
}

// plain takes away what only a server adds.
func plain(resource map[string]any) map[string]any {
	for _, name := range []string{"schemas", "meta", "id", "groups"} {
		delete(resource, name)
	}
	for name, value := range resource {
		switch v := value.(type) {
		case []any:
			// An element of which only its label is left means nothing; here it goes, elsewhere it stays.
			v = slices.DeleteFunc(v, func(e any) bool { object, _ := e.(map[string]any); return object["value"] == nil })
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			// Adding what is there changes nothing (RFC 7644 §3.5.2.1); scimmy has it twice then.
			v = slices.CompactFunc(v, func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
			resource[name] = v
			if len(v) == 0 {
				delete(resource, name)
			}
		case map[string]any:
			if len(v) == 0 {
				delete(resource, name)
			}
		case nil:
			delete(resource, name)
		}
	}
	return resource
}

const questions = 1500

func TestPatchDoesWhatOthersDoExceptWhereDocumented(t *testing.T) {
	t.Parallel()
	s, o, d := serve(t), newOracle(t), dice{rand.New(rand.NewPCG(1, 2))}
	counts := map[string]int{}
	for n := range questions {
		user := d.user(n)
		_, made := s.call(t, http.MethodPost, "/Users", user)
		var operations []any
		for range 1 + d.IntN(3) {
			operations = append(operations, d.operation())
		}
		status, got := s.call(t, http.MethodPatch, "/Users/"+made["id"].(string), map[string]any{
			"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": operations,
		})
		for name, v := range o.ask(t, map[string]any{"resource": with(user, "id", "1"), "operations": operations}) {
			switch {
			case (status != http.StatusOK) && v.Error != "":
				counts[name+": both refuse"]++
			case (status != http.StatusOK) != (v.Error != ""):
				why := documentedRefusal(v.Error, got)
				if why == "" {
					t.Errorf("%s: %v\n  on %v\n  here %d %v, there %q", name, operations, user, status, got["detail"], v.Error)
				}
				counts[name+": "+why]++
			default:
				var want map[string]any
				if err := json.Unmarshal(v.Value, &want); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(plain(want), plain(clone(t, got))); diff != "" {
					t.Errorf("%s: %v\n  on %v (-there +here):\n%s", name, operations, user, diff)
				}
				counts[name+": equal"]++
			}
		}
	}
	t.Log(counts)
}

// documentedRefusal names the row of docs/scim-conformance.md that a difference belongs to, empty if it is none of them.
func documentedRefusal(there string, here map[string]any) string {
	switch {
	case there == "" && here["scimType"] == "noTarget":
		return "row 20: replace of an element that is not there"
	case strings.Contains(there, "no record match was made"), strings.Contains(there, "does not match any values"):
		return "row 19 or 21: the element is made, or nothing is removed"
	case strings.Contains(there, "Impossible to search on a mono valued attribute"), strings.Contains(there, "A matching array entry was not found"):
		return "row 19: nothing is removed"
	default:
		return ""
	}
}

func with(v map[string]any, name string, value any) map[string]any {
	v = maps.Clone(v)
	v[name] = value
	return v
}

func clone(t *testing.T, v map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// outsideFilter says why an implementation's answer to a filter is none: docs/scim-conformance.md tells how each differs from RFC 7644.
func outsideFilter(name, filter string) string {
	switch {
	case name == "scimmy" && strings.Contains(filter, "not ("):
		return "negates terms instead of groups"
	case name == "scimmy" && strings.Contains(filter, "emails pr"):
		return "fails on pr of several values"
	case name == "scimmy" && strings.Count(filter, "emails") > 1:
		return "joins terms about one attribute of several values"
	case name == "scim2-parse-filter" && strings.Contains(filter, "["):
		return "takes the terms of a value filter from different elements"
	default:
		return ""
	}
}

func TestFiltersFindWhatOthersFindExceptWhereDocumented(t *testing.T) {
	t.Parallel()
	s, o, d := serve(t), newOracle(t), dice{rand.New(rand.NewPCG(3, 4))}
	var resources []any
	for n := range 12 {
		_, made := s.call(t, http.MethodPost, "/Users", d.user(n))
		resources = append(resources, made)
	}
	counts := map[string]int{}
	for range questions {
		filter := d.filter(d.IntN(3))
		status, list := s.call(t, http.MethodGet, "/Users?filter="+url.QueryEscape(filter), nil)
		if status != http.StatusOK {
			t.Errorf("%s: %d %v", filter, status, list["detail"])
			continue
		}
		here := []string{}
		for _, r := range list["Resources"].([]any) {
			here = append(here, r.(map[string]any)["id"].(string))
		}
		for name, v := range o.ask(t, map[string]any{"filter": filter, "resources": resources}) {
			if why := outsideFilter(name, filter); why != "" {
				counts[name+": not judged, "+why]++
				continue
			}
			there := []string{}
			if v.Error == "" {
				if err := json.Unmarshal(v.Value, &there); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(there)
			slices.Sort(here)
			if slices.Equal(here, there) {
				counts[name+": equal"]++
				continue
			}
			t.Errorf("%s: %s: here %d, there %d %s", name, filter, len(here), len(there), v.Error)
		}
	}
	t.Log(counts)
}
