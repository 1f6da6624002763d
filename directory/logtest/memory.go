package logtest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Memory is a log that lasts as long as it is referred to: closing it changes
// nothing, so that a directory can be opened on it again. The zero value is
// empty and ready.
type Memory struct {
	mu   sync.RWMutex
	kept []directory.Delta
}

// Append implements [directory.Log].
func (m *Memory) Append(_ context.Context, batch []directory.Delta) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range batch {
		d.Payload = slices.Clone(d.Payload)
		m.kept = append(m.kept, d)
	}
	return nil
}

// Tail implements [directory.Log].
func (m *Memory) Tail(_ context.Context, from uint64, each func(directory.Delta) error) (uint64, error) {
	m.mu.RLock()
	kept := slices.Clone(m.kept)
	m.mu.RUnlock()
	last := uint64(0)
	for _, d := range kept {
		if d.Version >= from {
			if err := each(d); err != nil {
				return 0, err
			}
		}
		last = max(last, d.Version)
	}
	return last, nil
}

// Record implements [directory.Log].
func (m *Memory) Record(kind directory.Kind, subject string) (directory.Delta, error) {
	gone := directory.KindDeleteUser
	if kind == directory.KindPutGroup {
		gone = directory.KindDeleteGroup
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, d := range slices.Backward(m.kept) {
		if d.Subject == subject && d.Kind == gone {
			break
		}
		if d.Subject == subject && d.Kind == kind {
			d.Payload = slices.Clone(d.Payload)
			return d, nil
		}
	}
	return directory.Delta{}, fmt.Errorf("record %s: %w", subject, directory.ErrNotFound)
}

// Close implements [directory.Log].
func (m *Memory) Close() error { return nil }
