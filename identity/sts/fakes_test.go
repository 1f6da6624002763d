package sts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/directory"
)

// provider serves discovery and keys of an issuer without a network.
type provider struct {
	url  string
	keys []jose.JSONWebKey
}

func (p provider) RoundTrip(r *http.Request) (*http.Response, error) {
	var body any = object{"keys": p.keys}
	if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		body = object{"issuer": p.url, "jwks_uri": p.url + "/keys", "authorization_endpoint": p.url, "token_endpoint": p.url}
	}

	text, err := json.Marshal(body)

	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text))}, err
}

// shelf is a directory's entries in memory.
type shelf struct {
	mu          sync.Mutex
	entries     map[[2]string]directory.Entry
	generations map[string]uint64
	broken      error
}

func newShelf() *shelf {
	return &shelf{entries: map[[2]string]directory.Entry{}, generations: map[string]uint64{}}
}

func (s *shelf) Entry(class, name string) (directory.Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	e, found := s.entries[[2]string{class, name}]

	return e, found && (e.Expires.IsZero() || time.Now().Before(e.Expires))
}

func (s *shelf) Entries(class string) []directory.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()

	var list []directory.Entry

	for key, e := range s.entries {
		if key[0] == class {
			list = append(list, e)
		}
	}

	return list
}

func (s *shelf) EntryGeneration(class string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.generations[class]
}

func (s *shelf) PutEntry(_ context.Context, e directory.Entry, ifRevision uint64) (directory.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	key := [2]string{e.Class, e.Name}
	old, found := s.entries[key]

	switch {
	case s.broken != nil:
		return directory.Entry{}, s.broken
	case ifRevision == directory.CreateOnly && found:
		return directory.Entry{}, directory.ErrExists
	case ifRevision != directory.CreateOnly && ifRevision != directory.AnyRevision && old.Revision != ifRevision:
		return directory.Entry{}, directory.ErrRevision
	}

	e.Revision = old.Revision + 1
	s.entries[key] = e
	s.generations[e.Class]++

	return e, nil
}

func (s *shelf) DeleteEntry(_ context.Context, class, name string, _ uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.entries, [2]string{class, name})
	s.generations[class]++

	return nil
}

// people is the part of a directory that is asked about people and locks.
type people struct {
	mu     sync.Mutex
	linked map[directory.LinkKey]directory.UserView
	locked map[directory.Subject]*directory.Lock
}

func (p *people) Lookup(k directory.LinkKey) (directory.UserView, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	user, found := p.linked[k]

	return user, found
}

func (p *people) Locked(s directory.Subject) (*directory.Lock, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	lock, found := p.locked[s]

	return lock, found
}
