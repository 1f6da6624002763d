package scim

import (
	"context"
	"net/http"
	"time"
)

// What one token of a connection's rate pays for, a few milliseconds of work. A
// request costs one, and what it takes beyond that it pays while it works.
const (
	comparisonsPerToken = 20_000
	documentsPerToken   = 500
	membersPerToken     = 20_000
	bytesPerToken       = 128 << 10
	// bytesPerDocument is what counts as one document that is read.
	bytesPerDocument = 2 << 10
	// longestDebt is how long a connection may have to wait for what was spent.
	longestDebt = time.Minute
)

// comparisonsPerGroup is what finding the groups above a group anew counts as.
const comparisonsPerGroup = 20

// What one answer may hold.
const (
	// maxShown is how many members, or memberships, an answer may hold together.
	maxShown = 200_000
	// maxAnswer is how many bytes its documents may have together.
	maxAnswer = 16 << 20
)

// Memory that is taken for what is held at once, in bytes: a body that arrives and
// a resource in the making are that much larger than their text.
const (
	roomPerTextByte     = 2
	roomPerDocumentByte = 8
	roomPerMember       = 1 << 10
	// freeBody, and what takes freeRoom, needs no room: the bound of requests under
	// way is theirs.
	freeBody = 64 << 10
	freeRoom = 1 << 20
)

// spending is what one request takes of its connection's account. It works off
// what is dear in pieces: each is paid before the next is begun. A nil spending
// counts nothing.
type spending struct {
	account *account
	done    <-chan struct{}

	compared int // values, members and memberships that were compared
	decoded  int // documents that were read, large ones as several
	shown    int // members and memberships in the answer
	bytes    int // of documents in the answer
	received int // bytes of the body
	paid     int // tokens

	room    int64
	placed  bool // it has one of the places of the connection
	dear    bool // it is the connection's one request that works on credit
	working bool // it has one of the turns of all connections
	debtor  bool // the connection's debt is its own
	// written is true once it has changed something: what is left is its answer,
	// which is owed and never refused.
	written bool
}

// spend returns the spending of a request.
func (a *account) spend(ctx context.Context) *spending {
	return &spending{account: a, done: ctx.Done()}
}

// admit waits for a place of the connection.
func (s *spending) admit() error {
	select {
	case s.account.places <- struct{}{}: // nearly always, and without a timer
		s.placed = true
		return nil
	default:
	}
	patient := time.NewTimer(patience)
	defer patient.Stop()
	if s.placed = enter(s.account.places, s.done, patient.C); !s.placed {
		return busy(time.Second, "too many requests of this connection are under way")
	}
	return nil
}

// compare counts comparisons.
func (s *spending) compare(n int) error {
	if s == nil {
		return nil
	}
	s.compared += n
	return s.settle()
}

// decode counts a document of a size that was read.
func (s *spending) decode(size int) error {
	if s == nil {
		return nil
	}
	s.decoded += documents(size)
	return s.settle()
}

// documents is how many documents one of a size counts as.
func documents(size int) int { return 1 + size/bytesPerDocument }

// receive counts a body that has arrived and is about to be parsed.
func (s *spending) receive(size int) error {
	s.received += size
	return s.settle()
}

// render counts a document of a size in the answer, and refuses too much.
func (s *spending) render(size int) error {
	if s == nil {
		return nil
	}
	s.bytes += size
	if s.bytes > s.account.mostBytes && s.bytes > size && !s.written {
		return refusal(KindTooMany, "more than %d bytes in one answer: ask for fewer resources", s.account.mostBytes)
	}
	if err := s.hold(int64(size) * roomPerDocumentByte); err != nil {
		return err
	}
	return s.decode(size)
}

// show counts members of an answer, and refuses too many.
func (s *spending) show(members int, of string) error {
	if s == nil {
		return nil
	}
	if s.shown += members; s.shown > s.account.mostShown && !s.written {
		return s.account.tooMany(of)
	}
	if err := s.hold(int64(members) * roomPerMember); err != nil {
		return err
	}
	return s.settle()
}

// hold takes memory until the request ends.
func (s *spending) hold(bytes int64) error {
	if !s.account.room.take(bytes) {
		if s.written {
			return nil
		}
		return busy(time.Second, "other requests hold all the memory that there is for this: send this one again")
	}
	s.room += bytes
	return nil
}

// tokens is what is owed beyond the request's own token.
func (s *spending) tokens() int {
	return s.compared/comparisonsPerToken + s.decoded/documentsPerToken + s.shown/membersPerToken + s.received/bytesPerToken
}

// owe counts comparisons that the directory has made: they wait for no turn, and
// refuse nothing.
func (s *spending) owe(comparisons int) {
	s.compared += comparisons
	owed := max(0, s.tokens()-s.paid)
	s.paid += owed
	s.account.take(owed)
}

// settle pays what is owed and not paid yet.
func (s *spending) settle() error {
	owed := s.tokens() - s.paid
	if owed <= 0 {
		return nil
	}
	s.paid += owed
	return s.pay(owed)
}

// pay takes tokens, and waits for the turn to do the work they are for. One
// request of a connection may spend what has not come in yet; the others are
// refused until it has.
func (s *spending) pay(tokens int) error {
	if tokens <= 0 {
		return nil
	}
	err := s.turn()
	if s.written { // its answer can't be refused any more
		s.account.take(tokens)
		return nil
	}
	if err != nil {
		return err
	}
	if s.account.indebted() && !s.debtor {
		return busy(s.account.wait(), "this connection has spent what it had: send this request again later")
	}
	s.account.take(tokens)
	s.debtor = s.account.indebted()
	return nil
}

// turn waits until the request may go on with dear work: one of a connection at
// a time, which takes turns with those of other connections.
func (s *spending) turn() error {
	s.yield()
	patient := time.NewTimer(patience)
	defer patient.Stop()
	if !s.dear {
		if !enter(s.account.dear, s.done, patient.C) {
			return busy(time.Second, "another dear request of this connection is under way: send them one after the other")
		}
		s.dear = true
	}
	if s.working = enter(s.account.turns, s.done, patient.C); !s.working {
		return busy(time.Second, "dear requests of other connections are under way: send this one again")
	}
	return nil
}

// yield lets dear requests of other connections work.
func (s *spending) yield() {
	if s.working {
		<-s.account.turns
		s.working = false
	}
}

// rest lets all others work while this request waits for its change to be
// durable.
func (s *spending) rest() {
	if s == nil {
		return
	}
	s.yield()
	if s.dear {
		<-s.account.dear
		s.dear = false
	}
}

// end gives back all that the request held.
func (s *spending) end() {
	s.rest()
	s.account.room.give(s.room)
	s.room = 0
	if s.placed {
		<-s.account.places
		s.placed = false
	}
}

// enter takes a place, and reports whether it got one in time.
func enter(places chan struct{}, done <-chan struct{}, late <-chan time.Time) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
	}
	select {
	case places <- struct{}{}:
		return true
	case <-done:
	case <-late:
	}
	return false
}

// busy refuses a request that may succeed after a while.
func busy(wait time.Duration, detail string) *Error {
	return &Error{Status: http.StatusTooManyRequests, Detail: detail, wait: wait}
}
