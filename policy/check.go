package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// checker checks what documents say about each other and about the world.
type checker struct {
	docs     *documents
	options  Options
	faults   Faults
	warnings Faults
}

func (c *checker) fault(at Position, format string, args ...any) {
	c.faults = append(c.faults, Fault{Position: at, What: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(at Position, format string, args ...any) {
	c.warnings = append(c.warnings, Fault{Position: at, What: fmt.Sprintf(format, args...)})
}

func (c *checker) check() {
	d := c.docs
	c.unique(kindRole, headers(d.roles, func(r *role) header { return r.header }))
	c.unique(kindRoleBinding, headers(d.bindings, func(b *binding) header { return b.header }))
	c.unique(kindApplication, headers(d.applications, func(a *application) header { return a.header }))
	c.unique(kindAgentGrant, headers(d.agents, func(a *agentGrant) header { return a.header }))
	c.unique(kindGuardrail, headers(d.guardrails, func(g *guardrail) header { return g.header }))
	c.unique(kindPolicyTest, headers(d.tests, func(t *testDocument) header { return t.header }))
	c.identities()
	c.accounts()
	c.references()
	c.connections()
	c.applications()
	c.attributes()
	c.expiry()
	c.testApplications()
}

func headers[T any](list []T, of func(T) header) []header {
	out := make([]header, len(list))
	for i, item := range list {
		out[i] = of(item)
	}
	return out
}

func (c *checker) unique(kind string, list []header) {
	first := make(map[string]Position, len(list))
	for _, h := range list {
		if h.name == "" {
			continue
		}
		if before, ok := first[h.name]; ok {
			c.fault(h.pos, "%s %q is already defined at %s", kind, h.name, before)
			continue
		}
		first[h.name] = h.pos
	}
}

func (c *checker) identities() {
	if c.options.Identities == nil {
		return
	}
	for _, r := range c.docs.roles {
		if r.identity != "" && !slices.Contains(c.options.Identities, r.identity) {
			c.fault(r.identityPos, "no account has the identity %q (%s)", r.identity, suggest(r.identity, c.options.Identities))
		}
	}
}

func (c *checker) accounts() {
	if c.options.Accounts == nil {
		return
	}
	for _, s := range c.docs.scopes {
		if s.account != wildcard && !slices.Contains(c.options.Accounts, s.account) {
			c.fault(s.pos, "there is no account %q (%s)", s.account, suggest(s.account, c.options.Accounts))
		}
	}
}

// references checks that roles and applications that are named exist, and
// warns about roles that nobody is given.
func (c *checker) references() {
	bound := make(map[string]bool)
	exists := make(map[string]bool)
	for _, r := range c.docs.roles {
		exists[r.name] = r.name != ""
	}
	needRole := func(name string, at Position) {
		if name != "" && !exists[name] {
			delete(exists, "")
			c.fault(at, "there is no role %q (%s)", name, suggest(name, slices.Sorted(maps.Keys(exists))))
		}
	}
	for _, b := range c.docs.bindings {
		needRole(b.role, b.rolePos)
		bound[b.role] = true
		c.subjects(b.subjects)
	}
	for _, a := range c.docs.agents {
		needRole(a.role, a.rolePos)
		bound[a.role] = true
	}
	for _, g := range c.docs.guardrails {
		c.subjects(g.subjects)
	}
	for _, r := range c.docs.roles {
		if r.name != "" && !bound[r.name] {
			c.warn(r.pos, "role %q is bound to nobody", r.name)
		}
	}
	for _, e := range c.docs.expected {
		needRole(e.name, e.pos)
	}
}

func (c *checker) subjects(list []subject) {
	for _, s := range list {
		if s.kind == applicationReference {
			c.declared(s.text, s.pos)
		}
	}
}

// declared checks that an application is declared and returns it, or nil.
func (c *checker) declared(name string, at Position) *application {
	var names []string
	for _, a := range c.docs.applications {
		if a.name == name {
			return a
		}
		names = append(names, a.name)
	}
	c.fault(at, "there is no application %q (%s)", name, suggest(name, names))
	return nil
}

func (c *checker) connections() {
	if c.options.Connections == nil {
		return
	}
	for _, n := range c.docs.connections {
		if !slices.Contains(c.options.Connections, n.name) {
			c.fault(n.pos, "there is no connection %q (%s)", n.name, suggest(n.name, c.options.Connections))
		}
	}
	if len(c.options.Connections) > 1 {
		for _, n := range c.docs.unconfined {
			c.warn(n.pos, "group %s is an external id of any connection, so that each of them can fill it (add connection, or use the group's id)", strconv.Quote(n.name))
		}
	}
}

// applications refuses declarations of which one matches whatever another
// matches: a token must not be two callers.
func (c *checker) applications() {
	for i, a := range c.docs.applications {
		for j, b := range c.docs.applications {
			if i == j || a.Issuer != b.Issuer || len(a.Claims) == 0 || !includes(b.Claims, a.Claims) {
				continue
			}
			if len(a.Claims) == len(b.Claims) && j > i {
				continue // the same claims: say it once, at the later
			}
			c.fault(a.pos, "application %q matches every token of application %q (add a claim that tells them apart)", a.name, b.name)
		}
	}
}

func includes(all, some map[string]string) bool {
	for name, value := range some {
		if have, ok := all[name]; !ok || have != value {
			return false
		}
	}
	return true
}

// attributes warns about `${user.…}` that nothing is known to fill.
func (c *checker) attributes() {
	known := slices.Clone(knownAttributes)
	for _, a := range c.docs.applications {
		known = slices.AppendSeq(known, maps.Keys(a.Attributes))
	}
	for _, n := range c.docs.attributes {
		if !slices.Contains(known, n.name) && !strings.HasPrefix(n.name, "urn:") {
			c.warn(n.pos, "${user.%s}: the directory fills no such attribute by itself (%s)", n.name, suggest(n.name, known))
		}
	}
}

func (c *checker) expiry() {
	if c.options.Now.IsZero() {
		return
	}
	for _, b := range c.docs.bindings {
		if !b.expires.IsZero() && !c.options.Now.Before(b.expires) {
			c.warn(b.pos, "binding %q has expired (remove it)", b.name)
		}
	}
}

// testApplications gives the applications in tests their declared attributes.
func (c *checker) testApplications() {
	for _, t := range c.docs.tests {
		for _, item := range t.cases {
			p := &item.request.Principal
			if p.Kind != KindApplication || p.ID == "" {
				continue
			}
			if a := c.declared(p.ID, item.pos); a != nil {
				p.Attributes = a.Attributes
			}
		}
	}
}

// rank orders the roles by preference for requests that several allow: fewest
// obligations, narrowest identity (fewest data actions, then narrowest
// resources), name.
func rank(roles []*role) {
	type width struct {
		actions         Actions
		breadth, scopes int
		seen            map[scope]bool
	}
	identities := make(map[string]*width)
	for _, r := range roles {
		w := identities[r.identity]
		if w == nil {
			w = &width{seen: make(map[scope]bool)}
			identities[r.identity] = w
		}
		for _, rule := range r.rules {
			w.actions |= rule.actions | ReadMetadata
			for _, s := range rule.scopes {
				w.breadth = max(w.breadth, s.breadth())
				w.seen[s] = true
			}
		}
		w.scopes = len(w.seen)
	}
	ordered := slices.SortedFunc(slices.Values(roles), func(a, b *role) int {
		v, w := identities[a.identity], identities[b.identity]
		return cmp.Or(
			cmp.Compare(a.obligations.count(), b.obligations.count()),
			cmp.Compare(len(v.actions.Names()), len(w.actions.Names())),
			cmp.Compare(v.breadth, w.breadth),
			cmp.Compare(v.scopes, w.scopes),
			strings.Compare(a.name, b.name),
		)
	})
	for i, r := range ordered {
		r.rank = i
	}
}
