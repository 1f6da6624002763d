package devidp

import (
	"crypto/rand"
	"errors"
	"sync"
	"time"
)

// maxShelved bounds each kind of pending grant.
const maxShelved = 10_000

var errFull = errors.New("too many sign-ins are pending")

// shelf keeps what was handed out under a random name until it expires.
type shelf[T any] struct {
	clock func() time.Time

	mu    sync.Mutex
	items map[string]shelved[T]
}

type shelved[T any] struct {
	value   T
	expires time.Time
}

func newShelf[T any](clock func() time.Time) *shelf[T] {
	return &shelf[T]{clock: clock, items: map[string]shelved[T]{}}
}

// put keeps value for ttl and returns its name.
func (s *shelf[T]) put(value T, ttl time.Duration) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.clock()

	if len(s.items) >= maxShelved {
		for name, item := range s.items {
			if !now.Before(item.expires) {
				delete(s.items, name)
			}
		}
	}

	if len(s.items) >= maxShelved {
		return "", errFull
	}

	name := rand.Text()
	s.items[name] = shelved[T]{value: value, expires: now.Add(ttl)}

	return name, nil
}

// get returns what is kept under name.
func (s *shelf[T]) get(name string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.live(name)
}

// take returns what is kept under name and forgets it, so that nobody else gets it.
func (s *shelf[T]) take(name string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	value, found := s.live(name)
	delete(s.items, name)

	return value, found
}

// find returns the first live value that fits.
func (s *shelf[T]) find(fits func(T) bool) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for name := range s.items {
		if value, found := s.live(name); found && fits(value) {
			return value, true
		}
	}

	var none T

	return none, false
}

// live returns what is kept under name and not expired. The lock is held.
func (s *shelf[T]) live(name string) (T, bool) {
	item, found := s.items[name]
	if !found || !s.clock().Before(item.expires) {
		var none T

		return none, false
	}

	return item.value, true
}
