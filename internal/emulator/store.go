package emulator

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// store is everything the account holds. Its lock guards all that hangs from it; items themselves
// never change once they are stored, so a reader may keep them after unlocking.
type store struct {
	mu        sync.RWMutex
	clock     func() time.Time
	random    io.Reader
	databases []*database
	offers    []*offer
	// lastDatabase and lastOffer number the resource ids given out.
	lastDatabase uint32
	lastOffer    uint32
	lastChild    uint64
}

type database struct {
	name          string
	rid           []byte
	properties    document.Value
	containers    []*container
	children      childSet
	lastContainer uint32
}

func newStore(clock func() time.Time, random io.Reader) *store {
	const firstRID = 0x1a2b3c4d
	return &store{clock: clock, random: random, lastDatabase: firstRID}
}

// etag returns a fresh entity tag in quotes, as the service writes them.
func (s *store) etag() string {
	const size = 8
	var raw [size]byte
	if _, err := io.ReadFull(s.random, raw[:]); err != nil {
		binary.BigEndian.PutUint64(raw[:], uint64(s.clock().UnixNano()))
	}
	text := hex.EncodeToString(raw[:])
	return `"` + text[:8] + "-0000-0700-0000-" + text[8:] + `0000"`
}

// system adds the properties every resource has.
func (s *store) system(value document.Value, rid []byte, self string) document.Value {
	return value.
		With("_rid", document.StringValue(encodeRID(rid))).
		With("_self", document.StringValue(self)).
		With("_etag", document.StringValue(s.etag())).
		With("_ts", document.NumberValue(float64(s.clock().Unix())))
}

// database finds a database by name, or by resource id when the address is of ids.
func (s *store) database(a *address) (*database, bool) {
	for _, one := range s.databases {
		if a.rids && bytes.HasPrefix(leafRID(a), one.rid) || !a.rids && one.name == a.database {
			return one, true
		}
	}
	return nil, false
}

func leafRID(a *address) []byte {
	rid, _ := decodeRID(a.leaf)
	return rid
}

// container finds the container an address lies in. By resource id only the last id of the path
// counts, as with the service.
func (s *store) container(a *address) (*container, bool) {
	parent, ok := s.database(a)
	if !ok {
		return nil, false
	}
	rid := leafRID(a)
	for _, one := range parent.containers {
		if a.rids && len(rid) >= ridContainer && string(rid[:ridContainer]) == string(one.rid) || !a.rids && one.name == a.container {
			return one, true
		}
	}
	return nil, false
}

// addDatabase stores a new database. The caller holds the lock.
func (s *store) addDatabase(properties document.Value) (*database, error) {
	name, err := resourceName(properties)
	if err != nil {
		return nil, err
	}
	if _, exists := s.database(&address{database: name}); exists {
		return nil, conflict()
	}
	s.lastDatabase += 0x01000193
	added := &database{name: name, rid: binary.BigEndian.AppendUint32(nil, s.lastDatabase)}
	added.properties = s.system(document.ObjectValue([]document.Member{{Name: "id", Value: document.StringValue(name)}}),
		added.rid, "dbs/"+encodeRID(added.rid)+"/").
		With("_colls", document.StringValue("colls/")).
		With("_users", document.StringValue("users/"))
	s.databases = append(s.databases, added)
	return added, nil
}

func (s *store) removeDatabase(gone *database) {
	for _, one := range gone.containers {
		s.removeOffer(encodeRID(one.rid))
	}
	s.removeOffer(encodeRID(gone.rid))
	s.databases = slices.DeleteFunc(s.databases, func(one *database) bool { return one == gone })
}

// longestName bounds the names of databases and containers, in bytes.
const longestName = 255

// resourceName reads and checks the id of a database, container or script.
func resourceName(properties document.Value) (string, error) {
	name, ok := properties.Get("id").Text()
	switch {
	case !ok || name == "":
		return "", badRequest(`Message: {"Errors":["One of the specified inputs is invalid: the id is missing."]}`)
	case len(name) > longestName || strings.ContainsAny(name, `/\?#`) || strings.HasSuffix(name, " "):
		return "", badRequest(`Message: {"Errors":["The specified id '%s' is invalid."]}`, name)
	default:
		return name, nil
	}
}

func (d *database) removeContainer(gone *container) {
	d.containers = slices.DeleteFunc(d.containers, func(one *container) bool { return one == gone })
}
