package main

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/internal/control"
	"github.com/cosmosgate/cosmosgate/scim"
)

// The reasons in the record of what was left open, and of what came of it (docs/audit.md).
const (
	reasonUnknownOutcome = control.ReasonUnknown
	reasonTookEffect     = "took_effect"
	reasonNoEffect       = control.ReasonNoEffect
)

// recordWrite records what a provider changed. It has happened, and may have shut somebody out: if it cannot be recorded that is said
// where it can. What may have happened is recorded as that, and again when the directory knows.
func (g *gate) recordWrite(w scim.Written) {
	r := writtenRecord(&w)
	if w.OnSettled == nil {
		g.recordProvisioning(&r)
		return
	}
	r.Decision, r.Status, r.Reason, r.Outcome = audit.Error, http.StatusServiceUnavailable, reasonUnknownOutcome, audit.Unknown
	g.recordProvisioning(&r)
	w.OnSettled(func(done bool) {
		settled := writtenRecord(&w)
		settled.Time, settled.Settles, settled.Reason = time.Now(), r.DecisionID, reasonTookEffect
		if !done {
			settled.Decision, settled.Status, settled.Reason, settled.Outcome = audit.Error, http.StatusServiceUnavailable, reasonNoEffect, audit.Refused
		}
		g.recordProvisioning(&settled)
	})
}

func writtenRecord(w *scim.Written) audit.Record {
	return audit.Record{
		Event: audit.Provisioning, Time: w.Time, DecisionID: newID(), Principal: audit.Principal{Kind: "provider", Subject: w.Connection},
		Operation: "scim.write", Actions: w.Actions, Target: w.Target, Detail: w.Detail,
		Decision: audit.Allow, Status: http.StatusOK, Outcome: audit.Answered,
	}
}

func (g *gate) recordProvisioning(record *audit.Record) {
	r, err := g.audit.Reserve()
	if err != nil {
		g.unrecorded.Inc()
		g.log.Error("a change by an identity provider is not in the record",
			"connection", record.Principal.Subject, "actions", record.Actions, "target", record.Target, "reason", record.Reason, "error", err)
		return
	}
	r.Commit(*record)
}

// newUnrecorded counts what could not be recorded.
func newUnrecorded() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "cosmosgate_scim_unrecorded_total", Help: "Changes by identity providers that could not be recorded.",
	})
}
