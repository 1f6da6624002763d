package proxy

import (
	"net/http"
	"net/netip"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

// Unreadable is a request that the server could not read as HTTP, so that no handler has seen it.
type Unreadable struct {
	Status int    // of the answer; 0 if there is none: the stream was reset, or the connection ended
	Reason string // the server's own words
	Source string // the caller's host:port
	Room   int    // how long the answer's body may be; 0 if there is no bound
}

// RefuseUnreadable records such a request and answers it natively, if there is an answer. Whether it can be recorded changes
// nothing: it is refused.
func (p *Proxy) RefuseUnreadable(w http.ResponseWriter, u Unreadable) {
	began, id := p.now(), p.newID()
	native := cosmos.Malformed("it cannot be read as HTTP")
	native.Reason = "unreadable: " + u.Reason
	answer := countingWriter{ResponseWriter: w}
	status := http.StatusBadRequest
	if u.Status != 0 {
		native.Status, status = u.Status, u.Status
		if u.Room > 0 {
			native.Message = "invalid HTTP/2"
		}
		native.WriteWithin(&answer, id, u.Room)
	}

	p.metrics.requests.WithLabelValues("unknown", string(audit.Deny), class(status)).Inc()
	reservation, err := p.reserveSlot()
	if err != nil {
		p.metrics.unrecorded.Inc()
		return
	}
	r := audit.Record{
		Time: began, DecisionID: id, ActivityID: id,
		Decision: audit.Deny, Reason: native.Code, Detail: native.Reason, PolicyHash: p.policyHash(),
		Status: u.Status, BytesOut: answer.bytes, Outcome: audit.Refused, Duration: p.now().Sub(began),
	}
	if from, err := netip.ParseAddrPort(u.Source); err == nil {
		r.Source = from.Addr().Unmap().WithZone("").String()
	}
	reservation.Commit(r)
}
