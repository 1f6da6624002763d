package emulator

import (
	"encoding/json"
	"io"
	"time"
)

// ContainerDefinition describes a container to create.
type ContainerDefinition struct {
	// ID is the container's name.
	ID string
	// PartitionKey lists the paths of the partition key, one to three, such as "/tenant".
	PartitionKey []string
}

type store struct {
	clock  func() time.Time
	random io.Reader
}

func newStore(clock func() time.Time, random io.Reader) *store {
	return &store{clock: clock, random: random}
}

// CreateDatabase adds an empty database; an existing name is an error.
func (e *Emulator) CreateDatabase(_ string) error { return errNotReady }

// CreateContainer adds an empty container to a database; an existing name is an error.
func (e *Emulator) CreateContainer(_ string, _ ContainerDefinition) error { return errNotReady }

// UpsertItem creates or replaces one item. Its partition key is read from the item itself.
func (e *Emulator) UpsertItem(_, _ string, _ json.RawMessage) error { return errNotReady }
