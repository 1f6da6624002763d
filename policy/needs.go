package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Need is what one upstream identity must be able to do at one place, so that
// every request that the policy allows can be forwarded under it.
type Need struct {
	// Identity is the upstream identity of the roles.
	Identity string
	// Account is where, and below it Database and Container; both are empty for
	// the whole account, Container alone for the whole database.
	Account, Database, Container string
	// Actions that are needed here, without those that the same identity needs
	// above already.
	Actions Actions
	// Widened says that Cosmos DB cannot be told the resources as the policy
	// names them (`prod/*/orders`), so that this is more than the policy allows.
	Widened bool
}

// Needs returns what the upstream identities need on the given accounts, by
// account and identity: what roles allow that somebody is bound to, less what
// guardrails deny to everybody. Cosmos DB lets nobody query without
// ReadChangeFeed, which is therefore needed with ExecuteQuery. Every identity needs ReadMetadata on the whole
// account, because lists of databases and containers are read under it.
// Bindings that have ended by now do not count.
func (s *Set) Needs(accounts []string, now time.Time) []Need {
	if s == nil {
		return nil
	}
	found := map[Need]Actions{}
	for _, st := range s.statements {
		ended := !st.expires.IsZero() && !now.Before(st.expires)
		if st.role == nil || ended || st.scope.container == "" {
			continue
		}
		for _, account := range accounts {
			if matches(st.scope.account, account) {
				s.need(found, st, account)
			}
		}
	}
	var needs []Need
	for n, actions := range found {
		n.Actions = actions &^ above(found, n)
		if n.Actions != 0 {
			needs = append(needs, n)
		}
	}
	slices.SortFunc(needs, func(a, b Need) int {
		return cmp.Or(
			strings.Compare(a.Account, b.Account), strings.Compare(a.Identity, b.Identity),
			strings.Compare(a.Database, b.Database), strings.Compare(a.Container, b.Container),
		)
	})
	return joined(needs)
}

// need adds what one statement needs on an account.
func (s *Set) need(found map[Need]Actions, st *statement, account string) {
	whole := Need{Identity: st.role.identity, Account: account}
	found[whole] |= ReadMetadata
	at := whole
	switch {
	case st.scope.database == wildcard:
		at.Widened = st.scope.container != wildcard
	case st.scope.container == wildcard:
		at.Database = st.scope.database
	default:
		at.Database, at.Container = st.scope.database, st.scope.container
	}
	place := st.scope
	place.account = account
	actions := st.actions &^ s.deniedToAll(place) &^ ReadMetadata
	if !st.role.writes() {
		actions &^= ExecuteStoredProcedure // which the gate forwards to roles that may write as they like only
	}
	if actions.Has(ExecuteQuery) {
		actions |= ReadChangeFeed // Cosmos DB asks for both when it is queried
	}
	if actions != 0 {
		found[at] |= actions
	}
}

// writes reports whether the rules of the role, together, allow every write.
func (r *role) writes() bool {
	var all Actions
	for _, rule := range r.rules {
		all |= r.offers(rule)
	}
	return all.Has(writeActions)
}

// deniedToAll returns the actions that guardrails without conditions deny to
// everybody in the whole scope. A stored procedure needs all of what it may do.
func (s *Set) deniedToAll(at scope) Actions {
	var denied Actions
	for _, g := range s.docs.guardrails {
		if !g.deny || g.when != nil || len(g.subjects) > 0 {
			continue
		}
		for _, over := range g.scopes {
			if both, ok := at.intersect(over); ok && both == at {
				denied |= g.actions
			}
		}
	}
	if denied&scriptActions != 0 {
		denied |= ExecuteStoredProcedure
	}
	return denied
}

// above returns the actions that the identity needs anyway: on the database or
// account around the place.
func above(found map[Need]Actions, n Need) Actions {
	var actions Actions
	for other, needed := range found {
		outer := other.Identity == n.Identity && other.Account == n.Account &&
			(other.Database == "" && n.Database != "" ||
				other.Database == n.Database && other.Database != "" && other.Container == "" && n.Container != "")
		if outer {
			actions |= needed
		}
	}
	return actions
}

// joined puts what is needed at one place together.
func joined(needs []Need) []Need {
	var out []Need
	for _, n := range needs {
		if last := len(out) - 1; last >= 0 && out[last].place() == n.place() {
			out[last].Actions |= n.Actions
			out[last].Widened = out[last].Widened || n.Widened
			continue
		}
		out = append(out, n)
	}
	return out
}

func (n *Need) place() [4]string { return [4]string{n.Identity, n.Account, n.Database, n.Container} }
