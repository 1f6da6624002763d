package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestTranscripts replays what identity providers send. A transcript is a txtar
// archive of requests ("> METHOD path", body) and answers ("< status", body).
// An answer's body names what must be there: objects may hold more, arrays may
// not. "<name>" stands for a value: the first time it is learnt, later it must
// be the same; "<*>" is anything, "<absent>" nothing. A transcript's first line
// may say "dialect: NAME" or "strict".
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var change []options
			head, _, _ := strings.Cut(string(archive.Comment), "\n")
			if name, ok := strings.CutPrefix(head, "dialect: "); ok {
				change = append(change, dialect(name))
			} else if head == "strict" {
				change = append(change, strict)
			}
			replay(t, newGate(t, change...), archive.Files)
		})
	}
}

func replay(t *testing.T, g *gate, files []txtar.File) {
	t.Helper()
	names := map[string]string{}
	for pair := range slices.Chunk(files, 2) {
		if len(pair) != 2 || !strings.HasPrefix(pair[0].Name, "> ") || !strings.HasPrefix(pair[1].Name, "< ") {
			t.Fatalf("%s: requests and answers must alternate", pair[0].Name)
		}
		method, path, _ := strings.Cut(strings.TrimPrefix(pair[0].Name, "> "), " ")
		path, body := fill(path, names), fill(string(pair[0].Data), names)
		var headers []string
		for strings.HasPrefix(body, "@") { // @Header: value
			line, rest, _ := strings.Cut(body, "\n")
			key, value, _ := strings.Cut(strings.TrimPrefix(line, "@"), ": ")
			headers, body = append(headers, key, value), rest
		}
		w := g.do(method, strings.ReplaceAll(path, " ", "%20"), body, headers...)
		step := fmt.Sprintf("%s\n%s\n→ %d %s", pair[0].Name, body, w.Code, w.Body)
		if want := strings.TrimPrefix(pair[1].Name, "< "); strconv.Itoa(w.Code) != want {
			t.Fatalf("%s\nwant status %s", step, want)
		}
		if w.Code >= http.StatusBadRequest && !strings.Contains(w.Body.String(), `"status":"`+strconv.Itoa(w.Code)+`"`) {
			t.Errorf("%s\nan error without its status", step)
		}
		if len(strings.TrimSpace(string(pair[1].Data))) == 0 {
			continue
		}
		var want, got any
		if err := json.Unmarshal(pair[1].Data, &want); err != nil {
			t.Fatalf("%s: %v", pair[1].Name, err)
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s\n%v", step, err)
		}
		if err := holds(want, got, names); err != nil {
			t.Fatalf("%s\n%v", step, err)
		}
	}
}

var placeholder = regexp.MustCompile(`<([a-z0-9*]+)>`)

func fill(text string, names map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		if value, ok := names[s]; ok {
			return value
		}
		return s
	})
}

// holds reports where got lacks what want says.
func holds(want, got any, names map[string]string) error {
	switch w := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%v is no object", got)
		}
		for key, value := range w {
			v, found := object[key]
			if value == "<absent>" {
				if found {
					return fmt.Errorf("%s is there: %v", key, v)
				}
				continue
			}
			if !found {
				return fmt.Errorf("%s is absent", key)
			}
			if err := holds(value, v, names); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(w) {
			return fmt.Errorf("%v has not %d elements", got, len(w))
		}
		for i := range w {
			if err := holds(w[i], list[i], names); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case string:
		if w == "<*>" {
			return nil
		}
		if placeholder.FindString(w) == w && w != "" && names[w] == "" {
			names[w] = fmt.Sprint(got)
		}
		if expected := fill(w, names); expected != got {
			return fmt.Errorf("%v, want %q", got, expected)
		}
	default:
		if want != got {
			return fmt.Errorf("%v, want %v", got, want)
		}
	}
	return nil
}
