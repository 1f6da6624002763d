package directory

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"

	"github.com/google/uuid"
)

const (
	// maxImportLine bounds one line: a group's, with a few million members.
	maxImportLine = 256 << 20
	// maxImportFaults is how many faults of an import are told at once.
	maxImportFaults = 100
)

var (
	errLineTooLong = errors.New("line is too long")
	errTwice       = errors.New("is there already, further up")
	errUnknown     = errors.New("is not further up in this connection")
)

// CheckImport reads an export as [Directory.Import] would, and reports every
// fault with its line, up to a hundred. It changes nothing, so that an import
// that was checked is taken whole.
func CheckImport(r io.Reader) error {
	c := importCheck{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, records: map[ID]importedRecord{}}
	lines := bufio.NewReaderSize(r, 1<<20)
	var faults []error
	for n := 1; ; n++ {
		text, err := readLine(lines)
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return errors.Join(faults...)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(append(faults, fmt.Errorf("line %d: %w", n, err))...)
		}
		for _, fault := range c.line(text) {
			if faults = append(faults, fmt.Errorf("line %d: %w", n, fault)); len(faults) == maxImportFaults {
				return errors.Join(append(faults, errors.New("further lines were not read"))...)
			}
		}
	}
}

// readLine returns a line without its end; with io.EOF if it is the last.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxImportLine:
			return nil, errLineTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		default:
			return bytes.Trim(line, " \t\r\n"), err
		}
	}
}

// importCheck remembers what earlier lines hold: of names only a hash, since
// there may be millions.
type importCheck struct {
	seed    maphash.Seed
	seen    map[uint64]struct{}
	records map[ID]importedRecord
}

type importedRecord struct {
	connection string
	group      bool
}

func (c *importCheck) line(text []byte) []error {
	if len(text) == 0 {
		return nil
	}
	var l exported
	if err := json.Unmarshal(text, &l); err != nil {
		return []error{fmt.Errorf("is no JSON of an export: %w", err)}
	}
	var faults []error
	if _, err := l.delta(); err != nil {
		faults = append(faults, err)
	}
	once := func(what, value string) {
		if value != "" && !c.first(l.Kind, what, l.Connection, value) {
			faults = append(faults, fmt.Errorf("%s %s %q %w", l.Kind, what, value, errTwice))
		}
	}
	switch l.Kind {
	case lineUser, lineGroup:
		faults = append(faults, c.record(l)...)
		once("externalId", l.ExternalID)
		once("userName", Fold(l.UserName))
		once("displayName", Fold(l.DisplayName))
	case lineMembers:
		faults = append(faults, c.members(l)...)
	case lineLock:
		once(l.Subject, l.ID)
		_, known := c.records[ID(l.ID)]
		if l.Subject == SubjectUser.String() && !known && !strings.Contains(l.ID, linkSeparator) {
			faults = append(faults, fmt.Errorf("locked user %q %w", l.ID, errUnknown))
		}
	case lineToken:
		once("id", l.ID)
	case lineEntry:
		once(l.Class, l.ID)
	}
	return faults
}

// record checks and remembers a user or a group.
func (c *importCheck) record(l exported) []error {
	var faults []error
	switch {
	case l.Connection == "":
		faults = append(faults, fmt.Errorf("%w: %s without connection", errPlan, l.Kind))
	case l.Kind == lineUser && l.UserName == "":
		faults = append(faults, fmt.Errorf("%w: user without userName", errPlan))
	case l.Kind == lineGroup && l.DisplayName == "":
		faults = append(faults, fmt.Errorf("%w: group without displayName", errPlan))
	}
	if parsed, err := uuid.Parse(l.ID); err == nil && parsed.String() != l.ID {
		faults = append(faults, fmt.Errorf("%w: id %q is not as a directory writes it (%s)", errPlan, l.ID, parsed))
	}
	if _, twice := c.records[ID(l.ID)]; twice {
		faults = append(faults, fmt.Errorf("%s id %q %w", l.Kind, l.ID, errTwice))
	}
	c.records[ID(l.ID)] = importedRecord{l.Connection, l.Kind == lineGroup}
	return faults
}

func (c *importCheck) members(l exported) []error {
	var faults []error
	if r, known := c.records[ID(l.ID)]; !known || !r.group || r.connection != l.Connection {
		faults = append(faults, fmt.Errorf("group %q %w", l.ID, errUnknown))
	}
	for _, m := range l.Members {
		if r, known := c.records[m]; !known || r.connection != l.Connection {
			faults = append(faults, fmt.Errorf("member %q %w", m, errUnknown))
		}
	}
	return faults
}

// first reports whether a value has not been there before.
func (c *importCheck) first(parts ...string) bool {
	var h maphash.Hash
	h.SetSeed(c.seed)
	for _, part := range parts {
		_, _ = h.WriteString(part) // a hash never fails
		_ = h.WriteByte(0)
	}
	sum := h.Sum64()
	_, twice := c.seen[sum]
	c.seen[sum] = struct{}{}
	return !twice
}
