package policy

import (
	"slices"
	"time"
)

// MayActFor reports whether an AgentGrant that is in force at a time names the
// agent and the person; without a person, whether one lets the agent act for
// itself. It says nothing about what the agent may do: each request is decided.
func (s *Set) MayActFor(agent string, person *Principal, now time.Time) bool {
	if s == nil {
		return false
	}
	acting := Principal{ID: agent, Kind: KindAgent}
	return slices.ContainsFunc(s.docs.grants, func(g *agentGrant) bool {
		if now.Before(g.starts) || (!g.expires.IsZero() && !now.Before(g.expires)) || !anyMeans(g.subjects, &acting) {
			return false
		}
		if person == nil {
			return len(g.people) == 0
		}
		return anyMeans(g.people, person)
	})
}

func anyMeans(subjects []subject, p *Principal) bool {
	return slices.ContainsFunc(subjects, func(s subject) bool { return s.means(*p) })
}
