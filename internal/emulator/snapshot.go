package emulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// snapshotLine is one line of a snapshot: a database, a container of it, or an item of that.
type snapshotLine struct {
	Database   string          `json:"database"`
	Container  string          `json:"container,omitempty"`
	Properties json.RawMessage `json:"properties,omitempty"`
	Item       json.RawMessage `json:"item,omitempty"`
}

// Snapshot writes every database, container and live item as JSON lines, in the order of their creation. What belongs to
// one run stays out: resource ids, ETags, session tokens, change feeds, throughput and role assignments.
func (e *Emulator) Snapshot(w io.Writer) error {
	s := e.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	var faults []error
	for _, d := range s.databases {
		faults = append(faults, encoder.Encode(snapshotLine{Database: d.name}))
		for _, c := range d.containers {
			faults = append(faults, encoder.Encode(snapshotLine{Database: d.name, Container: c.name, Properties: json.RawMessage(c.properties.String())}))
			for _, place := range c.order {
				if one, ok := place.live(s.clock()); ok {
					faults = append(faults, encoder.Encode(snapshotLine{Database: d.name, Container: c.name, Item: one.body}))
				}
			}
		}
	}
	if err := errors.Join(append(faults, out.Flush())...); err != nil {
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	return nil
}

// Restore adds what a snapshot holds. The account should be empty: a database or container that exists is an error.
func (e *Emulator) Restore(r io.Reader) error {
	decoder := json.NewDecoder(r)
	for n := 1; ; n++ {
		var line snapshotLine
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = e.restore(&line)
		}
		if err != nil {
			return fmt.Errorf("restoring entry %d: %w", n, err)
		}
	}
}

func (e *Emulator) restore(line *snapshotLine) error {
	switch {
	case line.Item != nil:
		return e.UpsertItem(line.Database, line.Container, line.Item)
	case line.Container != "":
		return e.restoreContainer(line)
	default:
		return e.CreateDatabase(line.Database)
	}
}

func (e *Emulator) restoreContainer(line *snapshotLine) error {
	var properties map[string]json.RawMessage
	if err := json.Unmarshal(line.Properties, &properties); err != nil {
		return fmt.Errorf("reading the container's properties: %w", err)
	}
	var key struct{ Paths []string }
	if err := json.Unmarshal(properties["partitionKey"], &key); err != nil {
		return fmt.Errorf("reading the container's partition key: %w", err)
	}
	for name := range properties {
		if strings.HasPrefix(name, "_") || name == "id" {
			delete(properties, name)
		}
	}
	kept, err := json.Marshal(properties)
	if err != nil {
		return fmt.Errorf("reading the container's properties: %w", err)
	}
	return e.CreateContainer(line.Database, ContainerDefinition{ID: line.Container, PartitionKey: key.Paths, Properties: kept})
}
