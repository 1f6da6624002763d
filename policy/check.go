package policy

import (
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
	c.unique(kindRoleBinding, headers(slices.DeleteFunc(slices.Clone(d.bindings), func(b *binding) bool { return b.kind != "" }),
		func(b *binding) header { return b.header }))
	c.unique(kindCedar, d.raw())
	c.unique(kindApplication, headers(d.applications, func(a *application) header { return a.header }))
	c.unique(kindAgent, headers(d.agents, func(a *agent) header { return a.header }))
	c.unique(kindAgentGrant, headers(d.grants, func(g *agentGrant) header { return g.header }))
	c.unique(kindGuardrail, headers(slices.DeleteFunc(slices.Clone(d.guardrails), func(g *guardrail) bool { return g.kind != "" }),
		func(g *guardrail) header { return g.header }))
	c.unique(kindPolicyTest, headers(d.tests, func(t *testDocument) header { return t.header }))
	c.identities()
	c.accounts()
	c.references()
	c.connections()
	c.callers()
	c.attributes()
	c.expiry()
	c.redactions()
	c.testCallers()
}

// raw returns the headers of what .cedar files hold.
func (d *documents) raw() []header {
	var all []header
	for _, b := range d.bindings {
		if b.kind != "" {
			all = append(all, b.header)
		}
	}
	for _, g := range d.guardrails {
		if g.kind != "" {
			all = append(all, g.header)
		}
	}
	slices.SortStableFunc(all, func(a, b header) int { return a.pos.compare(b.pos) })
	return all
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
	for _, g := range c.docs.grants {
		needRole(g.role, g.rolePos)
		bound[g.role] = true
		c.subjects(g.subjects)
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
		switch s.kind {
		case applicationReference:
			c.declared(s.text, s.pos)
		case agentReference:
			c.declaredAgent(s.text, s.pos)
		default:
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

// declaredAgent checks that an agent is declared.
func (c *checker) declaredAgent(name string, at Position) {
	names := make([]string, len(c.docs.agents))
	for i, a := range c.docs.agents {
		names[i] = a.name
	}
	if !slices.Contains(names, name) {
		c.fault(at, "there is no agent %q (%s)", name, suggest(name, names))
	}
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

// caller is what applications and agents have in common.
type caller struct {
	what   string
	pos    Position
	issuer string
	claims map[string]string
}

// callers refuses declarations of which one matches whatever another matches: a
// token must not be two callers.
func (c *checker) callers() {
	var all []caller
	for _, a := range c.docs.applications {
		all = append(all, caller{fmt.Sprintf("application %q", a.name), a.pos, a.Issuer, a.Claims})
	}
	for _, a := range c.docs.agents {
		all = append(all, caller{fmt.Sprintf("agent %q", a.name), a.pos, a.Issuer, a.Claims})
	}
	for _, a := range c.docs.agents {
		for _, b := range c.docs.applications {
			if a.name != "" && a.name == b.name {
				c.fault(a.pos, "agent %q has the name of an application, defined at %s (name it apart)", a.name, b.pos)
			}
		}
	}
	for i, a := range all {
		for j, b := range all {
			if i == j || a.issuer != b.issuer || len(a.claims) == 0 || !includes(b.claims, a.claims) {
				continue
			}
			if len(a.claims) == len(b.claims) && j > i {
				continue // the same claims: say it once, at the later
			}
			c.fault(a.pos, "%s matches every token of %s (add a claim that tells them apart)", a.what, b.what)
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
	for _, a := range c.docs.agents {
		known = slices.AppendSeq(known, maps.Keys(a.Attributes))
	}
	for _, n := range c.docs.attributes {
		if !slices.Contains(known, n.name) && !strings.HasPrefix(n.name, "urn:") {
			c.warn(n.pos, "${user.%s}: the directory fills no such attribute by itself (%s)", n.name, suggest(n.name, known))
		}
	}
}

// redactions warns about rules that lose actions because their role redacts.
func (c *checker) redactions() {
	for _, r := range c.docs.roles {
		for _, rule := range r.rules {
			if lost := rule.actions &^ r.offers(rule); lost != 0 && rule.actions != AllActions {
				c.warn(rule.pos, "role %q redacts, so that it does not allow %s, which would show what it redacts or write over it", r.name, lost)
			}
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
	for _, g := range c.docs.grants {
		if !g.expires.IsZero() && !c.options.Now.Before(g.expires) {
			c.warn(g.pos, "grant %q has expired (remove it)", g.name)
		}
	}
}

// testCallers gives the applications and agents in tests their declared
// attributes.
func (c *checker) testCallers() {
	for _, t := range c.docs.tests {
		for _, item := range t.cases {
			c.testCaller(&item.request.Principal, item.pos)
			for i := range item.request.Actors {
				c.testCaller(&item.request.Actors[i], item.pos)
			}
		}
	}
}

func (c *checker) testCaller(p *Principal, at Position) {
	switch {
	case p.ID == "":
	case p.Kind == KindApplication:
		if a := c.declared(p.ID, at); a != nil {
			p.Attributes = a.Attributes
		}
	case p.Kind == KindAgent:
		c.declaredAgent(p.ID, at) // its attributes are found when it is decided
	}
}
