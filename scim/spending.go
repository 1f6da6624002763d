package scim

import "time"

// What one token of a connection's rate pays for. A request costs one, and
// afterwards what it took beyond that, so that dear requests are slowed down as
// many cheap ones are.
const (
	comparisonsPerToken = 20_000
	documentsPerToken   = 500
	membersPerToken     = 20_000
	// longestDebt is how long a connection may have to wait for one request.
	longestDebt = time.Minute
	// maxShown is how many members the groups of one answer may have together.
	maxShown = 200_000
)

// spending is what a request costs. A nil spending counts nothing.
type spending struct {
	compared int // values, members and memberships that were compared
	decoded  int // documents that were read
	shown    int // members in the answer
}

// compare counts comparisons.
func (s *spending) compare(n int) {
	if s != nil {
		s.compared += n
	}
}

// decode counts documents.
func (s *spending) decode(n int) {
	if s != nil {
		s.decoded += n
	}
}

// show counts members of an answer, and refuses too many.
func (s *spending) show(members int) error {
	if s == nil {
		return nil
	}
	if s.shown += members; s.shown > maxShown {
		return refusal(KindTooMany, "more than %d members in one answer: ask with excludedAttributes=members, or for fewer groups", maxShown)
	}
	return nil
}

// tokens is what is owed beyond the request's own token.
func (s *spending) tokens() int {
	return s.compared/comparisonsPerToken + s.decoded/documentsPerToken + s.shown/membersPerToken
}

// charge takes tokens that are owed, also those that are not there yet: requests
// wait until they are.
func (c *connection) charge(tokens int) {
	now := c.clock()
	tokens = min(tokens, int(longestDebt.Seconds()*c.Rate))
	for tokens > 0 {
		some := min(tokens, c.known.Burst())
		if some == 0 || !c.known.ReserveN(now, some).OK() {
			return
		}
		tokens -= some
	}
}
