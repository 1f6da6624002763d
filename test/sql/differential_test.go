// Package sql_test holds the stand-in's query engine against an independent one, @zeit/cosmosdb-query from npm, which knows a part of the
// language. Where they differ, Microsoft's documentation decides, and disagreements.yaml says how.
package sql_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
	"github.com/cosmosgate/cosmosgate/internal/emulator/query"
)

// answer is what an engine makes of a query.
type answer struct {
	Result []json.RawMessage `json:"result"`
	Error  string            `json:"error"`
}

// disagreement is a query on which the two differ, and why the stand-in is right all the same.
type disagreement struct {
	Query, Ours, Theirs, Why string
}

func TestTheStandInAgreesWithAnIndependentEngine(t *testing.T) {
	t.Parallel()
	folder := install(t)
	corpus := queries()
	theirs := ask(t, folder, corpus)
	known := map[string]disagreement{}
	for _, one := range knownDisagreements(t) {
		known[one.Query] = one
	}
	agree, refused := 0, 0
	for i, text := range corpus {
		ours := run(text)
		mine, other := summary(t, ours, text), summary(t, theirs[i], text)
		one, listed := known[text]
		delete(known, text)
		switch {
		case theirs[i].Error != "" && !listed:
			refused++ // it knows a part of the language only; what it cannot read it cannot judge
		case mine == other && listed:
			t.Errorf("%s\nthe engines agree: %s\nbut disagreements.yaml lists it", text, mine)
		case mine == other:
			agree++
		case !listed:
			t.Errorf("%s\nours:   %s\ntheirs: %s\nand disagreements.yaml does not decide it", text, mine, other)
		default:
			if diff := cmp.Diff([]string{one.Ours, one.Theirs}, []string{mine, other}); diff != "" || one.Why == "" {
				t.Errorf("%s: another disagreement than is listed (-listed +got):\n%s", text, diff)
			}
		}
	}
	for text := range known {
		t.Errorf("disagreements.yaml lists a query that is not asked: %s", text)
	}
	t.Logf("figures: %d queries, %d agree, %d the peer cannot read, %d decided otherwise", len(corpus), agree, refused, len(knownDisagreements(t)))
	const fewest = 300
	if agree < fewest {
		t.Errorf("only %d queries were compared", agree)
	}
}

// install puts the locked version of the peer into the user's cache folder.
func install(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REQUIRE_ALL") != "" {
				t.Fatalf("%s is required: %v", tool, err)
			}
			t.Skipf("skipped: %s is not installed", tool)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile("peer/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	folder := filepath.Join(cache, "cosmosgate", "sql-peer-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc", "run.js"} {
		content, err := os.ReadFile(filepath.Join("peer", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json")); err == nil {
		return folder
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--silent")
	npm.Dir = folder
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("installing the peer: %v\n%s", err, out)
	}
	return folder
}

// ask runs the queries in the peer.
func ask(t *testing.T, folder string, queries []string) []answer {
	t.Helper()
	input, err := json.Marshal(map[string]any{"documents": raw(), "queries": queries})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "run.js")
	node.Dir, node.Stdin, node.Stderr = folder, bytes.NewReader(input), os.Stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("running the peer: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(queries) {
		t.Fatalf("%d answers to %d queries", len(lines), len(queries))
	}
	answers := make([]answer, len(lines))
	for i, line := range lines {
		if err := json.Unmarshal([]byte(line), &answers[i]); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return answers
}

// run runs a query in the stand-in.
func run(text string) answer {
	tree, err := sql.Parse(text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	plan, err := query.New(func() time.Time { return time.Unix(0, 0) }).Compile(tree, map[string]document.Value{"@n": document.NumberValue(2)})
	if err != nil {
		return answer{Error: err.Error()}
	}
	var values []document.Value
	for _, one := range raw() {
		value, err := document.Parse(one)
		if err != nil {
			return answer{Error: err.Error()}
		}
		values = append(values, value)
	}
	found := answer{Result: []json.RawMessage{}}
	_, err = plan.Run(context.Background(), slices.Values(values), func(value document.Value) bool {
		found.Result = append(found.Result, value.Append(nil))
		return true
	})
	if err != nil {
		return answer{Error: err.Error()}
	}
	return found
}

var errNoJSON = errors.New("no JSON")

// summary is an answer on one line. Members of objects are sorted; results without an ORDER BY are in no order.
func summary(t *testing.T, a answer, text string) string {
	t.Helper()
	if a.Error != "" {
		return "error"
	}
	lines := make([]string, len(a.Result))
	for i, one := range a.Result {
		var value any
		if err := json.Unmarshal(one, &value); err != nil {
			t.Fatal(fmt.Errorf("%w: %s", errNoJSON, one))
		}
		canonical, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = string(canonical)
	}
	if !strings.Contains(text, "ORDER BY") {
		slices.Sort(lines)
	}
	return "[" + strings.Join(lines, ",") + "]"
}

func knownDisagreements(t *testing.T) []disagreement {
	t.Helper()
	text, err := os.ReadFile("disagreements.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []disagreement
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}
