package directory

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Adopted counts the records of an export that changed hands.
type Adopted struct {
	Users  int `json:"users"`
	Groups int `json:"groups"`
	// Left counts the lines that were left out.
	Left int `json:"left,omitempty"`
}

// Adopt copies an export with the users and groups of some connections given to
// others: owners maps old names to new ones. Ids, memberships and locks stay, so
// policy applies as before; from then on the new connection's issuer names these
// people, and its provider manages them. Tokens stay with the old connection: a
// credential made for one is none for another. Entries of the classes of without,
// and [Tokens], are left out. Lines that cannot be read are copied as they are, for
// [CheckImport] to complain about.
func Adopt(w io.Writer, r io.Reader, owners map[string]string, without ...string) (Adopted, error) {
	var done Adopted
	in, out := bufio.NewReaderSize(r, 1<<20), bufio.NewWriterSize(w, 1<<20)
	for {
		text, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return done, fmt.Errorf("adopting: %w", err)
		}
		over := err != nil
		if over && len(text) == 0 {
			break
		}
		if text, err = adoptLine(text, owners, without, &done); err != nil {
			return done, err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return done, fmt.Errorf("adopting: %w", err)
		}
		if over {
			break
		}
	}
	if err := out.Flush(); err != nil {
		return done, fmt.Errorf("adopting: %w", err)
	}
	return done, nil
}

func adoptLine(text []byte, owners map[string]string, without []string, done *Adopted) ([]byte, error) {
	var l exported
	if broken := json.Unmarshal(text, &l); broken != nil {
		return text, nil //nolint:nilerr // copied as it is, see Adopt
	}
	connection, link, waits := l.Connection, "", false
	if l.Kind == lineLock && l.Subject == SubjectUser.String() {
		connection, link, waits = strings.Cut(l.ID, linkSeparator) // of who may come back
	}
	owner, adopted := owners[connection]
	switch {
	case l.among(without):
		done.Left++
		return nil, nil // an empty line is none
	case !adopted:
		return text, nil
	case l.Kind == lineUser:
		done.Users++
	case l.Kind == lineGroup:
		done.Groups++
	case waits:
		l.ID = linkSubject(owner, link).Name
	case l.Kind != lineMembers:
		return text, nil
	}
	if !waits {
		l.Connection = owner
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("adopting %s %s: %w", l.Kind, l.ID, err)
	}
	return text, nil
}
