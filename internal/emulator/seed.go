package emulator

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// ContainerDefinition describes a container to create.
type ContainerDefinition struct {
	// ID is the container's name.
	ID string
	// PartitionKey lists the paths of the partition key, one to three, such as "/tenant".
	PartitionKey []string
	// Properties is the rest of the definition as the service's REST API has it, such as
	// defaultTtl, uniqueKeyPolicy and indexingPolicy; it may be nil.
	Properties json.RawMessage
}

// ErrExists means the database or container to be created is there already.
var ErrExists = errors.New("already exists")

// CreateDatabase adds an empty database; an existing name is ErrExists.
func (e *Emulator) CreateDatabase(name string) error {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	_, err := e.store.addDatabase(object(member("id", text(name))))
	return seeding("database "+name, err)
}

// CreateContainer adds an empty container to a database; an existing name is ErrExists.
func (e *Emulator) CreateContainer(database string, definition ContainerDefinition) error {
	properties := object()
	if definition.Properties != nil {
		parsed, err := document.Parse(definition.Properties)
		if err != nil {
			return fmt.Errorf("seeding container %s: %w", definition.ID, err)
		}
		properties = parsed
	}
	paths := make([]document.Value, len(definition.PartitionKey))
	for i, path := range definition.PartitionKey {
		paths[i] = text(path)
	}
	properties = properties.With("id", text(definition.ID)).With("partitionKey", object(member("paths", document.ArrayValue(paths))))
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	parent, ok := s.database(&address{database: database})
	if !ok {
		return seeding("container "+definition.ID, notFound())
	}
	added, err := s.addContainer(parent, properties)
	if err == nil {
		err = s.offerFromHeaders(nil, encodeRID(added.rid), added.self(), true)
	}
	return seeding("container "+definition.ID, err)
}

// UpsertItem creates or replaces one item. Its partition key is read from the item itself.
func (e *Emulator) UpsertItem(database, container string, item json.RawMessage) error {
	value, err := document.Parse(item)
	if err != nil {
		return fmt.Errorf("seeding an item: %w", err)
	}
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.container(&address{database: database, container: container})
	if !ok {
		return seeding("an item of "+database+"/"+container, notFound())
	}
	w := s.writer(found)
	defer w.done()
	_, _, err = w.upsert(value, nil, false, conditions{})
	return seeding("an item of "+database+"/"+container, err)
}

func seeding(what string, err error) error {
	var native *failure
	const conflicting = 409
	switch {
	case err == nil:
		return nil
	case errors.As(err, &native) && native.status == conflicting:
		return fmt.Errorf("seeding %s: %w", what, ErrExists)
	default:
		return fmt.Errorf("seeding %s: %w", what, err)
	}
}
