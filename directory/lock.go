package directory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// PutLock suspends a subject at once; an earlier lock of the same subject is
// replaced. Expires zero means until it is lifted.
func (d *Directory) PutLock(ctx context.Context, lock Lock) error {
	if lock.Subject.Kind < SubjectUser || lock.Subject.Kind > SubjectKey || lock.Subject.Name == "" {
		return fmt.Errorf("locking: %w", ErrNotFound)
	}
	return d.submit(ctx, func(b *batch) error {
		if lock.Subject.Kind == SubjectUser && !b.isUser(ID(lock.Subject.Name)) {
			return fmt.Errorf("locking user %s: %w", lock.Subject.Name, ErrNotFound)
		}
		lock.Created = b.now
		return b.emit(Delta{Kind: KindPutLock, Subject: lock.Subject.encode(), Payload: encodeLock(&lock)})
	})
}

// DeleteLock lifts a lock. Lifting none succeeds.
func (d *Directory) DeleteLock(ctx context.Context, s Subject) error {
	return d.submit(ctx, func(b *batch) error {
		if b.lock(s) == nil {
			return nil
		}
		return b.emit(Delta{Kind: KindDeleteLock, Subject: s.encode()})
	})
}

// Locked returns the lock in force on a subject.
func (d *Directory) Locked(s Subject) (*Lock, bool) {
	lock := (*d.state.locks.Load())[s]
	if lock == nil || lock.expired(d.config.Clock()) {
		return nil, false
	}
	return lock, true
}

// Locks lists the locks in force, oldest first.
func (d *Directory) Locks() []*Lock {
	now := d.config.Clock()
	locks := slices.Collect(maps.Values(*d.state.locks.Load()))
	locks = slices.DeleteFunc(locks, func(l *Lock) bool { return l.expired(now) })
	slices.SortFunc(locks, func(a, b *Lock) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Subject.Name, b.Subject.Name))
	})
	return locks
}

// lock returns a subject's lock as the batch will leave it, expired or not.
func (b *batch) lock(s Subject) *Lock {
	if l, ok := b.locks[s]; ok {
		return l
	}
	return (*b.state.locks.Load())[s]
}

func (b *batch) changeLock(d Delta) error {
	subject, err := decodeSubject(d)
	if err != nil {
		return err
	}
	var lock *Lock
	if d.Kind == KindPutLock {
		if lock, err = decodeLock(d); err != nil {
			return err
		}
	}
	record(b, b.locks, subject, lock)
	if subject.Kind != SubjectUser {
		return nil
	}
	if ordinal, ok := b.findID(ID(subject.Name)); ok {
		if u := b.user(ordinal); u != nil {
			b.setUser(ordinal, u.with(u.direct(), d.Version))
		}
	}
	return nil
}

// isUser reports whether there is a user with an id.
func (b *batch) isUser(id ID) bool {
	ordinal, ok := b.findID(id)
	return ok && b.user(ordinal) != nil
}

func (s *state) publishLocks(b *batch) {
	if len(b.locks) == 0 {
		return
	}
	next := maps.Clone(*s.locks.Load())
	for subject, lock := range b.locks {
		if lock == nil {
			delete(next, subject)
		} else {
			next[subject] = lock
		}
	}
	s.locks.Store(&next)
}
