package emulator

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// snapshotVersion marks the format of a snapshot's lines.
const snapshotVersion = 1

// ErrSnapshot means a snapshot cannot be read, or not into an account that holds something.
var ErrSnapshot = errors.New("bad snapshot")

// line is one line of a snapshot; exactly one of its parts is there. A container belongs to the
// database before it, and an item to the container before it.
type line struct {
	Version   int             `json:"version,omitempty"`
	Database  *databaseLine   `json:"database,omitempty"`
	Container *containerLine  `json:"container,omitempty"`
	Item      json.RawMessage `json:"item,omitempty"`
	LSN       uint64          `json:"lsn,omitempty"`
	When      time.Time       `json:"when,omitzero"`
	Offer     json.RawMessage `json:"offer,omitempty"`
}

type databaseLine struct {
	RID           string                         `json:"rid"`
	Properties    json.RawMessage                `json:"properties"`
	LastContainer uint32                         `json:"lastContainer"`
	Children      map[resource][]json.RawMessage `json:"children,omitempty"`
}

type containerLine struct {
	RID        string                         `json:"rid"`
	Properties json.RawMessage                `json:"properties"`
	LSN        uint64                         `json:"lsn"`
	LastItem   uint64                         `json:"lastItem"`
	Children   map[resource][]json.RawMessage `json:"children,omitempty"`
}

// Snapshot writes everything the account holds as JSON lines, for Restore: what is restored has the
// same resource ids, entity tags and places in the change feed. Versions that are no longer current,
// and roles, are not in it.
func (e *Emulator) Snapshot(w io.Writer) error {
	s := e.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, one := range s.lines() {
		if err := encoder.Encode(one); err != nil {
			return fmt.Errorf("writing the snapshot: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	return nil
}

func (s *store) lines() []line {
	lines := []line{{Version: snapshotVersion}}
	now := s.clock()
	for _, d := range s.databases {
		lines = append(lines, line{Database: &databaseLine{
			base64.StdEncoding.EncodeToString(d.rid), d.properties.Append(nil), d.lastContainer, d.children.raw(),
		}})
		for _, c := range d.containers {
			lines = append(lines, line{Container: &containerLine{
				base64.StdEncoding.EncodeToString(c.rid), c.properties.Append(nil), c.lsn, c.lastItem, c.children.raw(),
			}})
			for _, one := range c.within(scope{}, now) {
				lines = append(lines, line{Item: one.body, LSN: one.lsn, When: one.when})
			}
		}
	}
	for _, one := range s.offers {
		lines = append(lines, line{Offer: one.properties.Append(nil)})
	}
	return lines
}

func (set childSet) raw() map[resource][]json.RawMessage {
	all := map[resource][]json.RawMessage{}
	for kind, list := range set {
		for _, one := range list {
			all[kind] = append(all[kind], one.Append(nil))
		}
	}
	return all
}

// Restore reads what Snapshot wrote into an account that is still empty. After an error the account
// is not to be used.
func (e *Emulator) Restore(r io.Reader) error {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.databases) > 0 {
		return fmt.Errorf("%w: the account is not empty", ErrSnapshot)
	}
	decoder := json.NewDecoder(bufio.NewReader(r))
	var into *container
	for n := 1; ; n++ {
		var one line
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			into, err = s.restore(one, into, n == 1)
		}
		if err != nil {
			return fmt.Errorf("restoring entry %d: %w", n, errors.Join(ErrSnapshot, err))
		}
	}
}

// restore takes one line; it returns the container that items after it belong to.
func (s *store) restore(one line, into *container, first bool) (*container, error) {
	switch {
	case first && one.Version == snapshotVersion:
		return nil, nil //nolint:nilnil // no container yet
	case first:
		return nil, fmt.Errorf("%w: version %d", ErrSnapshot, one.Version)
	case one.Database != nil:
		return nil, s.restoreDatabase(one.Database)
	case one.Container != nil && len(s.databases) > 0:
		return s.restoreContainer(one.Container)
	case one.Item != nil && into != nil:
		return into, into.restoreItem(one)
	case one.Offer != nil:
		return nil, s.restoreOffer(one.Offer)
	default:
		return nil, ErrSnapshot
	}
}

func (s *store) restoreDatabase(from *databaseLine) error {
	properties, err := document.Parse(from.Properties)
	if err != nil {
		return fmt.Errorf("reading a database: %w", err)
	}
	rid, err := base64.StdEncoding.DecodeString(from.RID)
	if err != nil || len(rid) != ridDatabase {
		return ErrSnapshot
	}
	name, err := resourceName(properties)
	if err != nil {
		return err
	}
	added := &database{name: name, rid: rid, properties: properties, lastContainer: from.LastContainer}
	if added.children, err = parseChildren(from.Children); err != nil {
		return err
	}
	s.databases = append(s.databases, added)
	s.lastDatabase = uint32(rid[0])<<24 | uint32(rid[1])<<16 | uint32(rid[2])<<8 | uint32(rid[3])
	return nil
}

func parseChildren(from map[resource][]json.RawMessage) (childSet, error) {
	set := childSet{}
	for kind, list := range from {
		for _, raw := range list {
			value, err := document.Parse(raw)
			if err != nil {
				return nil, fmt.Errorf("reading a script or user: %w", err)
			}
			set[kind] = append(set[kind], value)
		}
	}
	return set, nil
}

func (s *store) restoreContainer(from *containerLine) (*container, error) {
	properties, err := document.Parse(from.Properties)
	if err != nil {
		return nil, fmt.Errorf("reading a container: %w", err)
	}
	rid, err := base64.StdEncoding.DecodeString(from.RID)
	if err != nil || len(rid) != ridContainer {
		return nil, ErrSnapshot
	}
	name, err := resourceName(properties)
	if err != nil {
		return nil, err
	}
	parent := s.databases[len(s.databases)-1]
	added := newContainer(parent, name, rid)
	if err := added.define(properties); err != nil {
		return nil, err
	}
	if added.children, err = parseChildren(from.Children); err != nil {
		return nil, err
	}
	added.lsn, added.lastItem = from.LSN, from.LastItem
	parent.containers = append(parent.containers, added)
	return added, nil
}

func (c *container) restoreItem(one line) error {
	value, err := document.Parse(one.Item)
	if err != nil {
		return fmt.Errorf("reading an item: %w", err)
	}
	key, err := c.keyOf(value)
	if err != nil {
		return err
	}
	lives, err := parseTTL(value.Get("ttl"))
	if err != nil {
		return err
	}
	version := &item{key: key, value: value, body: value.Append(nil), lsn: one.LSN, when: one.When}
	version.id, _ = value.Get("id").Text()
	version.etag, _ = value.Get("_etag").Text()
	version.expires = c.expiry(lives, one.When)
	last := c.lastItem
	c.put(version)
	c.lastItem = max(last, c.lastItem)
	return nil
}

func (s *store) restoreOffer(raw json.RawMessage) error {
	properties, err := document.Parse(raw)
	if err != nil {
		return fmt.Errorf("reading an offer: %w", err)
	}
	rid, _ := properties.Get("id").Text()
	of, _ := properties.Get("offerResourceId").Text()
	s.offers = append(s.offers, &offer{rid: rid, resource: of, properties: properties})
	s.lastOffer++
	return nil
}
