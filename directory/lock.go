package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// linkSubject is what the lock of somebody waits under whom an identity provider
// has deleted, until it makes another record of them: no push lifts a lock. No id
// has a slash, and no connection's name. Of a long externalId it is a hash: a provider
// may push one that is too long for a key of the log.
func linkSubject(connection, externalID string) Subject {
	if len(externalID) > maxEntryName {
		sum := sha256.Sum256([]byte(externalID))
		externalID = "sha256:" + hex.EncodeToString(sum[:])
	}
	return Subject{Kind: SubjectUser, Name: connection + linkSeparator + externalID}
}

const linkSeparator = "/"

// waits takes a name apart that is one of linkSubject; false for any other.
func (s Subject) waits() (connection, externalID string, waits bool) {
	if s.Kind != SubjectUser {
		return "", "", false
	}
	return strings.Cut(s.Name, linkSeparator)
}

// maxWaiting is how many locks of a connection may wait before nobody who is locked
// is linked anew there: each time leaves another, and every gate keeps them all.
const maxWaiting = 1000

// boundWaiting refuses a change after which too many locks would wait, and takes
// away those that have expired.
func (p *planner) boundWaiting() error {
	all := maps.Clone(*p.state.locks.Load())
	maps.Copy(all, p.locks)
	waiting := 0
	for subject, l := range all {
		connection, _, waits := subject.waits()
		switch {
		case !waits || connection != p.connection || l == nil:
		case !l.expired(p.now):
			waiting++
		default:
			if err := p.emit(Delta{Kind: KindDeleteLock, Subject: subject.encode()}); err != nil {
				return err
			}
		}
	}
	if waiting > maxWaiting {
		return fmt.Errorf("%w: %d locks would wait for others who get an earlier externalId", ErrLocked, waiting)
	}
	return nil
}

// keepLock has a lock on somebody who loses a link wait under that, and tells
// whether there was one.
func (b *batch) keepLock(id ID, connection, externalID string) (bool, error) {
	l := b.lock(Subject{Kind: SubjectUser, Name: string(id)})
	if l == nil || l.expired(b.now) || externalID == "" {
		return false, nil
	}
	return true, b.emit(Delta{Kind: KindPutLock, Subject: linkSubject(connection, externalID).encode(), Payload: encodeLock(l)})
}

// takeLock gives the lock that waits under a link to who has the link now, unless
// their own holds for longer.
func (b *batch) takeLock(u User) error {
	link, own := linkSubject(u.Connection, u.ExternalID), Subject{Kind: SubjectUser, Name: string(u.ID)}
	waiting := b.lock(link)
	if waiting == nil {
		return nil
	}
	if l := b.lock(own); !waiting.expired(b.now) && (l == nil || waiting.outlasts(l)) {
		if err := b.emit(Delta{Kind: KindPutLock, Subject: own.encode(), Payload: encodeLock(waiting)}); err != nil {
			return err
		}
	}
	return b.emit(Delta{Kind: KindDeleteLock, Subject: link.encode()})
}

// takeWaiting is takeLock for whoever has a link, if anybody does.
func (p *planner) takeWaiting(externalID string) error {
	holder, held := p.holder(spaceUserLink, nameKey{p.state.population(p.connection), externalID})
	if !held {
		return nil
	}
	id, _ := p.idOf(holder)
	return p.takeLock(User{ID: id, Connection: p.connection, ExternalID: externalID})
}

// outlasts reports whether a lock ends later than another.
func (l *Lock) outlasts(other *Lock) bool {
	return !other.Expires.IsZero() && (l.Expires.IsZero() || l.Expires.After(other.Expires))
}

// isUser reports whether there is a user with an id.
func (b *batch) isUser(id ID) bool {
	ordinal, ok := b.findID(id)
	return ok && b.user(ordinal) != nil
}

// publishLocks makes the locks of a batch visible, or what it lifts: those before
// the people, this after them, so that nobody is seen without a lock that follows
// them from one record to another.
func (s *state) publishLocks(b *batch, lifted bool) {
	next := maps.Clone(*s.locks.Load())
	for subject, lock := range b.locks {
		switch {
		case lifted && lock == nil:
			delete(next, subject)
		case !lifted && lock != nil:
			next[subject] = lock
		}
	}
	s.locks.Store(&next)
}
