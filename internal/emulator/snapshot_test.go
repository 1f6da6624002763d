package emulator_test

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

func emptyAccount(t *testing.T) *emulator.Emulator {
	t.Helper()
	e, err := emulator.New(emulator.Config{
		Account: "test", Locations: []emulator.Location{{Name: "Local"}}, MasterKey: emulator.WellKnownKey,
		Clock: time.Now, Random: rand.New(rand.NewSource(1)), //nolint:gosec // ids of a test
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestASnapshotRestoresDatabasesContainersAndItems(t *testing.T) {
	t.Parallel()
	from, to := emptyAccount(t), emptyAccount(t)
	seed := []error{
		from.CreateDatabase("shop"),
		from.CreateContainer("shop", emulator.ContainerDefinition{ID: "orders", PartitionKey: []string{"/tenant", "/user"}, Properties: json.RawMessage(`{"defaultTtl":-1}`)}),
		from.UpsertItem("shop", "orders", json.RawMessage(`{"id":"1","tenant":"t","user":"ü<&","n":1.50}`)),
		from.UpsertItem("shop", "orders", json.RawMessage(`{"id":"1","tenant":null}`)),
		from.CreateDatabase("empty"),
	}
	for _, err := range seed {
		if err != nil {
			t.Fatal(err)
		}
	}
	var first, second bytes.Buffer
	if err := from.Snapshot(&first); err != nil {
		t.Fatal(err)
	}
	if err := to.Restore(bytes.NewReader(first.Bytes())); err != nil {
		t.Fatal(err)
	}
	if err := to.Snapshot(&second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(t, first.String()), lines(t, second.String())); diff != "" {
		t.Errorf("snapshot of the restored account (-first +second):\n%s", diff)
	}
}

// lines decodes a snapshot and drops the properties that every run makes anew.
func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for l := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"item", "properties"} {
			inner, ok := m[member].(map[string]any)
			for name := range inner {
				if ok && strings.HasPrefix(name, "_") {
					delete(inner, name)
				}
			}
		}
		all = append(all, m)
	}
	return all
}

func TestABrokenSnapshotIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"not JSON":                    "{",
		"an item of no container":     `{"database":"shop"}{"database":"shop","container":"orders","item":{"id":"1"}}`,
		"a container of no database":  `{"database":"shop"}{"database":"x","container":"orders","properties":{"partitionKey":{"paths":["/a"]}}}`,
		"a container without its key": `{"database":"shop"}{"database":"shop","container":"orders","properties":{}}`,
		"a database twice":            `{"database":"shop"}{"database":"shop"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := emptyAccount(t).Restore(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "restoring entry") {
				t.Errorf("Restore() = %v, want an error naming the entry", err)
			}
		})
	}
}
