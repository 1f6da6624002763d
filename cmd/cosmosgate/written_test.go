package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/scim"
)

func TestTheRecordTellsWhatCameOfAWriteWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(audit.Config{Path: path, Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{audit: log, unrecorded: newUnrecorded(), log: slog.New(slog.DiscardHandler)}
	for _, done := range []bool{true, false} {
		w := scim.Written{Time: time.Now(), Connection: "corp", Actions: []string{"user.edit"}, Target: "user 1", Detail: "active false"}
		w.OnSettled = func(f func(bool)) { f(done) }
		g.recordWrite(w)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		ID       string `json:"decision_id"`
		Settles  string `json:"settles"`
		Decision string `json:"decision"`
		Reason   string `json:"reason"`
		Outcome  string `json:"outcome"`
		Target   string `json:"target"`
		Status   int    `json:"status"`
	}
	var got []line
	names := map[string]string{"": ""}
	for text := range strings.Lines(string(text)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		names[l.ID] = string(rune('a' + len(got)))
		l.ID, l.Settles = names[l.ID], names[l.Settles]
		got = append(got, l)
	}
	want := []line{
		{"a", "", "error", "unknown_outcome", "unknown", "user 1", 503},
		{"b", "a", "allow", "took_effect", "answered", "user 1", 200},
		{"c", "", "error", "unknown_outcome", "unknown", "user 1", 503},
		{"d", "c", "error", "no_effect", "refused", "user 1", 503},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
