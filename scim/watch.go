package scim

import (
	"context"
	"time"
)

// watchEvery is how often a connection's records are looked over.
const watchEvery = time.Minute

// Run brings records up to date with the configured schemas, and then looks
// after the connections until ctx ends: it surveys their records and tells the
// log what an administrator should change, once, and again when it is over.
func (s *Server) Run(ctx context.Context) error {
	for _, c := range s.connections {
		changed, err := c.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.config.Logger.Error("attributes not brought up to date with the schemas", "connection", c.Name, "error", err)
		case changed > 0:
			s.config.Logger.Info("attributes brought up to date with the schemas", "connection", c.Name, "people", changed)
		}
	}
	told := map[string]bool{}
	s.watch(told)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, c := range s.connections {
				c.tell(ctx)
			}
			_ = s.config.Directory.NoteUse(ctx) // a directory that takes no writes says so itself
			s.watch(told)
		}
	}
}

// watch surveys every connection and logs what is new, or over.
func (s *Server) watch(told map[string]bool) {
	for _, c := range s.connections {
		c.lookOver()
		present := map[string]bool{}
		for _, w := range c.status(s.config.Clock()).Warnings {
			key := c.Name + "/" + w.Kind
			present[key] = true
			if !told[key] {
				s.config.Logger.Warn("scim connection needs attention", "connection", c.Name, "kind", w.Kind, "count", w.Count, "warning", w.Text)
			}
			told[key] = true
		}
		for _, kind := range warningKinds {
			if key := c.Name + "/" + kind; told[key] && !present[key] {
				s.config.Logger.Info("scim connection is in order again", "connection", c.Name, "kind", kind)
				delete(told, key)
			}
		}
	}
}

// lookOver surveys the records if something was written since the last time. A
// survey takes at most a hundredth of the time.
func (c *connection) lookOver() {
	const share = 100
	began := c.clock()
	_, write := c.contact.times()
	elsewhere, _ := c.signs()
	if last := c.surveyed.Load(); last != nil &&
		(!write.After(last.at) && !elsewhere.Write.After(last.told) || began.Sub(last.at) < share*last.took) {
		return
	}
	found := c.survey()
	found.at, found.told, found.took = began, elsewhere.Write, c.clock().Sub(began)
	c.surveyed.Store(&found)
}

// warningKinds are all there are.
var warningKinds = []string{WarnExternalID, WarnUnlinked, WarnGroupIDs, WarnSilent, WarnQuarantine, WarnDialect, WarnParked}
