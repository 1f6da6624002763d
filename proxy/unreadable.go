package proxy

import (
	"net/http"
	"net/netip"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

// Unreadable records a request that the server could not read as HTTP, so that no
// handler has seen it, and answers it natively. The status and the reason are the
// server's; source is the caller's host:port. Whether it can be recorded changes
// nothing: it is refused.
func (p *Proxy) Unreadable(w http.ResponseWriter, status int, reason, source string) {
	began, id := p.now(), p.newID()
	native := cosmos.Malformed("it cannot be read as HTTP")
	native.Status = status
	native.Reason = "unreadable: " + reason
	answer := countingWriter{ResponseWriter: w}
	native.Write(&answer, id)

	p.metrics.requests.WithLabelValues("unknown", string(audit.Deny), class(status)).Inc()
	reservation, err := p.reserveSlot()
	if err != nil {
		p.metrics.unrecorded.Inc()
		return
	}
	r := audit.Record{
		Time: began, DecisionID: id, ActivityID: id,
		Decision: audit.Deny, Reason: native.Code, Detail: native.Reason, PolicyHash: p.policyHash(),
		Status: status, BytesOut: answer.bytes, Outcome: audit.Refused, Duration: p.now().Sub(began),
	}
	if from, err := netip.ParseAddrPort(source); err == nil {
		r.Source = from.Addr().Unmap().WithZone("").String()
	}
	reservation.Commit(r)
}
