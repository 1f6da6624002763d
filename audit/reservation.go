package audit

import "time"

// reasonNotCommitted is the reason of an abandoned record.
const reasonNotCommitted = "not_committed"

// Reservation is a promise of room for one record.
type Reservation struct {
	log   *Log
	since time.Time

	// The neighbours in the list of open reservations, guarded by the log's mutex.
	older, newer *Reservation
	open         bool
}

// Commit hands over the record of the reserved slot. It never waits for the disk and never fails; only the first call counts.
// The record is encoded before Commit returns, so the caller may reuse its slices.
func (r *Reservation) Commit(record Record) {
	if !r.log.commit(r, &record) {
		r.log.metrics.late.Inc()
	}
}

// Abandon writes a record with the outcome "abandoned" unless the reservation has been committed. It is meant for defer.
func (r *Reservation) Abandon() {
	if !r.log.isOpen(r) {
		return
	}
	abandoned := Record{
		Time: r.since, Decision: Error, Reason: reasonNotCommitted, Outcome: Abandoned,
		Duration: r.log.config.Clock().Sub(r.since),
	}
	if r.log.commit(r, &abandoned) {
		r.log.metrics.abandoned.Inc()
	}
}

// reservations lists what has been reserved and not committed, oldest first.
type reservations struct {
	oldest, newest *Reservation
	count          int
}

func (rs *reservations) add(r *Reservation) {
	r.open = true
	r.older = rs.newest
	if rs.newest == nil {
		rs.oldest = r
	} else {
		rs.newest.newer = r
	}
	rs.newest = r
	rs.count++
}

// remove takes r out of the list, and returns false if it was not in it.
func (rs *reservations) remove(r *Reservation) bool {
	if !r.open {
		return false
	}
	r.open = false
	if r.older == nil {
		rs.oldest = r.newer
	} else {
		r.older.newer = r.newer
	}
	if r.newer == nil {
		rs.newest = r.older
	} else {
		r.newer.older = r.older
	}
	r.older, r.newer = nil, nil
	rs.count--
	return true
}

func (rs *reservations) all() []*Reservation {
	list := make([]*Reservation, 0, rs.count)
	for r := rs.oldest; r != nil; r = r.newer {
		list = append(list, r)
	}
	return list
}
