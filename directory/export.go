package directory

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// exported is one line of an export: a record, its memberships, a lock or a
// token. The fields that a kind doesn't need are left out.
type exported struct {
	Kind        string            `json:"kind"`
	ID          string            `json:"id,omitempty"`
	Connection  string            `json:"connection,omitempty"`
	ExternalID  string            `json:"externalId,omitempty"`
	UserName    string            `json:"userName,omitempty"`
	DisplayName string            `json:"displayName,omitempty"`
	Active      bool              `json:"active,omitempty"`
	Emails      []string          `json:"emails,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Document    string            `json:"document,omitempty"`
	Members     []ID              `json:"members,omitempty"`
	Revision    uint64            `json:"revision,omitempty"`
	Created     time.Time         `json:"created,omitzero"`
	Modified    time.Time         `json:"modified,omitzero"`
	Expires     time.Time         `json:"expires,omitzero"`
	Subject     string            `json:"subject,omitempty"`
	Message     string            `json:"message,omitempty"`
	By          string            `json:"by,omitempty"`
	Hash        string            `json:"hash,omitempty"`
	Class       string            `json:"class,omitempty"`
	Value       []byte            `json:"value,omitempty"`
}

// The kinds of line, in the order in which they are written.
const (
	lineUser    = "user"
	lineGroup   = "group"
	lineMembers = "members"
	lineLock    = "lock"
	lineToken   = "token"
	lineEntry   = "entry"
)

// ErrNotEmpty means that an import found records.
var ErrNotEmpty = errors.New("directory is not empty")

// Tokens stands among classes of entries for the hashes of connections' tokens.
const Tokens = "\x00tokens"

// Export writes everything that the directory holds as JSON lines, except
// entries of some classes, and [Tokens]. Secrets aren't part of it, their hashes
// are. Changes made meanwhile may or may not be in it; stop writing first for an
// exact copy.
func (d *Directory) Export(w io.Writer, without ...string) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	for line, err := range d.lines {
		if err != nil {
			return fmt.Errorf("exporting: %w", err)
		}
		if line.among(without) {
			continue
		}
		if err := encoder.Encode(line); err != nil {
			return fmt.Errorf("exporting %s %s: %w", line.Kind, line.ID, err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	return nil
}

// among reports whether a line is of one of some classes.
func (l exported) among(classes []string) bool {
	switch l.Kind {
	case lineToken:
		return slices.Contains(classes, Tokens)
	case lineEntry:
		return slices.Contains(classes, l.Class)
	default:
		return false
	}
}

// lines yields the export. An error is the last of it.
func (d *Directory) lines(yield func(exported, error) bool) {
	all := uint32(len(d.state.places.pages.load()) * pageSize) //nolint:gosec // ordinals have 32 bits
	for _, describe := range []func(uint32) (exported, error){d.userLine, d.groupLine, d.membersLine} {
		for ordinal := range all {
			line, err := describe(ordinal)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
	for _, l := range d.Locks() {
		if l.Subject.Kind == SubjectUser && !d.state.known(l.Subject.Name) {
			continue // on somebody who is gone: an import would refuse it
		}
		line := exported{
			Kind: lineLock, ID: l.Subject.Name, Subject: l.Subject.Kind.String(),
			Message: l.Message, By: l.By, Created: l.Created, Expires: l.Expires,
		}
		if !yield(line, nil) {
			return
		}
	}
	for _, t := range *d.state.tokens.Load() {
		line := exported{
			Kind: lineToken, ID: t.ID, Connection: t.Connection, Created: t.Created,
			Expires: t.Expires, Hash: hex.EncodeToString(t.hash[:]),
		}
		if !yield(line, nil) {
			return
		}
	}
	for e := range d.state.entries.table.values() {
		line := exported{
			Kind: lineEntry, ID: e.Name, Class: e.Class, Revision: e.Revision, Expires: e.Expires, Value: e.Value,
		}
		if !yield(line, nil) {
			return
		}
	}
}

// known reports whether a lock on a user means somebody who is there or may come
// back.
func (s *state) known(name string) bool {
	ordinal, found := s.findID(ID(name))
	return found && s.user(ordinal) != nil || strings.Contains(name, linkSeparator)
}

func (d *Directory) userLine(ordinal uint32) (exported, error) {
	r := d.state.user(ordinal)
	if r == nil {
		return exported{}, ErrNotFound
	}
	u, err := d.ReadUser(d.state.numbered(r.connection()).name, r.key().id())
	return exported{
		Kind: lineUser, ID: string(u.ID), Connection: u.Connection, ExternalID: u.ExternalID, UserName: u.UserName,
		Active: u.Active, Emails: u.Emails, Attributes: u.Attributes, Document: string(u.Document),
		Revision: u.Revision, Created: u.Created, Modified: u.Modified,
	}, err
}

func (d *Directory) groupLine(ordinal uint32) (exported, error) {
	r := d.state.groupAt(ordinal)
	if r == nil {
		return exported{}, ErrNotFound
	}
	g, err := d.ReadGroup(d.state.numbered(r.connection).name, r.key.id())
	return exported{
		Kind: lineGroup, ID: string(g.ID), Connection: g.Connection, ExternalID: g.ExternalID,
		DisplayName: g.DisplayName, Document: string(g.Document), Revision: g.Revision,
		Created: g.Created, Modified: g.Modified,
	}, err
}

func (d *Directory) membersLine(ordinal uint32) (exported, error) {
	g := d.state.groupAt(ordinal)
	if g == nil {
		return exported{}, ErrNotFound
	}
	id, connection := g.key.id(), d.state.numbered(g.connection).name
	line := exported{
		Kind: lineMembers, ID: string(id), Connection: connection,
		Revision: g.revision, Modified: time.UnixMilli(g.modified).UTC(),
	}
	for m := range d.Members(connection, id) {
		line.Members = append(line.Members, m.ID)
	}
	if len(line.Members) == 0 {
		return exported{}, ErrNotFound
	}
	slices.Sort(line.Members)
	return line, nil
}

const (
	// importChunk is the number of lines that are committed together, and
	// importBytes their size, unless one is larger.
	importChunk = 1000
	importBytes = 8 << 20
)

// Import reads what Export wrote into a directory without people and groups; ids,
// revisions and times are kept. Locks, tokens and entries that are there already
// stay as they are, since a file is older, except entries of the classes of
// replace. After an error the directory holds what came before the
// faulty chunk: start again with an empty one.
func (d *Directory) Import(ctx context.Context, r io.Reader, replace ...string) error {
	if !d.state.empty() {
		return fmt.Errorf("importing: %w", ErrNotEmpty)
	}
	decoder := json.NewDecoder(r)
	for n, more := 0, true; more; {
		chunk := make([]exported, 0, importChunk)
		for begun := decoder.InputOffset(); len(chunk) < importChunk && decoder.InputOffset()-begun < importBytes; {
			var line exported
			err := decoder.Decode(&line)
			if more = !errors.Is(err, io.EOF); !more {
				break
			}
			n++
			if err != nil {
				return fmt.Errorf("importing line %d: %w", n, err)
			}
			chunk = append(chunk, line)
		}
		if err := d.importLines(ctx, chunk, replace); err != nil {
			return fmt.Errorf("importing lines up to %d: %w", n, err)
		}
	}
	return nil
}

func (d *Directory) importLines(ctx context.Context, lines []exported, replace []string) error {
	return d.submit(ctx, func(b *batch) error {
		for _, line := range lines {
			delta, err := line.delta()
			if err != nil {
				return err
			}
			if b.has(delta) && !line.among(replace) {
				continue
			}
			if err := b.admit(line); err != nil {
				return err
			}
			if err := b.emitAt(delta); err != nil {
				return err
			}
			connection, link := line.Connection, line.ExternalID
			if line.Kind == lineLock { // one that waited may be that of somebody who is there by now
				connection, link, _ = strings.Cut(line.ID, linkSeparator)
			}
			if link == "" || line.Kind != lineUser && line.Subject != SubjectUser.String() {
				continue
			}
			if err := (&planner{batch: b, connection: connection}).takeWaiting(link); err != nil {
				return err
			}
		}
		return nil
	})
}

// has reports whether there is a lock, token or entry where a delta puts one.
func (b *batch) has(d Delta) bool {
	switch d.Kind {
	case KindPutLock:
		subject, err := decodeSubject(d)
		return err == nil && b.lock(subject) != nil
	case KindPutToken:
		return b.token(d.Subject) != nil
	case KindPutEntry:
		class, name, _ := strings.Cut(d.Subject, "\x00")
		return b.entry(entryKey{class, name}) != nil
	default:
		return false
	}
}

// admit applies the rules of Apply to an imported record.
func (b *batch) admit(line exported) error {
	p := planner{batch: b, connection: line.Connection}
	switch line.Kind {
	case lineUser:
		return p.free(User{Connection: line.Connection, UserName: line.UserName, ExternalID: line.ExternalID}, "")
	case lineGroup:
		return p.freeGroup(GroupRecord{
			Connection: line.Connection, DisplayName: line.DisplayName, ExternalID: line.ExternalID,
		}, "")
	case lineMembers:
		for _, id := range line.Members {
			if _, known := p.edge(0, id); !known {
				return &UnknownMemberError{Member: string(id)}
			}
		}
	}
	return nil
}

// delta is the log's form of a line.
func (l exported) delta() (Delta, error) {
	d := Delta{Connection: l.Connection, Subject: l.ID, Revision: l.Revision, Time: l.Modified}
	if _, valid := ID(l.ID).key(); !valid && l.Kind != lineToken && l.Kind != lineLock && l.Kind != lineEntry {
		return d, fmt.Errorf("%w: %s has no valid id", errPlan, l.Kind)
	}
	if len(l.ID) > maxSubjectName {
		return d, fmt.Errorf("%w: %s has an id of %d bytes, at most %d", ErrLimit, l.Kind, len(l.ID), maxSubjectName)
	}
	switch l.Kind {
	case lineUser:
		d.Kind, d.Payload = KindPutUser, encodeUser(User{
			ExternalID: l.ExternalID, UserName: l.UserName, Active: l.Active, Emails: l.Emails,
			Attributes: l.Attributes, Document: []byte(l.Document), Created: l.Created,
		})
	case lineGroup:
		d.Kind, d.Payload = KindPutGroup, encodeGroup(GroupRecord{
			ExternalID: l.ExternalID, DisplayName: l.DisplayName, Document: []byte(l.Document), Created: l.Created,
		})
	case lineMembers:
		d.Kind, d.Payload = KindAddMembers, encodeMembers(l.Members)
	case lineLock:
		subject, err := ParseSubject(l.Subject, l.ID)
		if err != nil {
			return d, err
		}
		d.Kind, d.Subject, d.Time = KindPutLock, subject.encode(), l.Created
		d.Payload = encodeLock(&Lock{Message: l.Message, By: l.By, Created: l.Created, Expires: l.Expires})
	case lineToken:
		hash, err := hex.DecodeString(l.Hash)
		t := tokenRecord{Token: Token{Created: l.Created, Expires: l.Expires}}
		if err != nil || copy(t.hash[:], hash) != len(t.hash) {
			return d, fmt.Errorf("%w: token %s has no valid hash", errPlan, l.ID)
		}
		d.Kind, d.Time, d.Payload = KindPutToken, l.Created, encodeToken(&t)
	case lineEntry:
		return l.entryDelta()
	default:
		return d, fmt.Errorf("%w: unknown kind %q", errPlan, l.Kind)
	}
	return d, nil
}

func (l exported) entryDelta() (Delta, error) {
	switch {
	case l.Class == "" || l.ID == "" || strings.ContainsRune(l.Class, 0):
		return Delta{}, fmt.Errorf("%w: entry without class and name", errPlan)
	case len(l.Class)+len(l.ID) > maxEntryName:
		return Delta{}, fmt.Errorf("%w: the name of an entry has %d bytes, at most %d", ErrLimit, len(l.Class)+len(l.ID), maxEntryName)
	}
	return Delta{
		Kind: KindPutEntry, Subject: entrySubject(l.Class, l.ID), Revision: l.Revision,
		Payload: encodeEntry(&Entry{Expires: l.Expires, Value: l.Value}),
	}, nil
}

// maxSubjectName bounds what becomes a key of the log: a connection and a link.
const maxSubjectName = 4 * maxEntryName

// ParseSubject reads a subject as commands write it: its kind's word and its
// name.
func ParseSubject(kind, name string) (Subject, error) {
	for k := SubjectUser; k <= SubjectKey; k++ {
		if k.String() == kind && name != "" && len(name) <= maxSubjectName {
			return Subject{Kind: k, Name: name}, nil
		}
	}
	return Subject{}, fmt.Errorf("%w: no subject %q %q", errPlan, kind, name[:min(len(name), maxEntryName)])
}
