package policy

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
)

// maxStatements bounds what a policy may grow to once every role is spread over
// its bindings, subjects and resources.
const maxStatements = 100_000

var errTooLarge = errors.New("the policy has more than 100000 combinations of rule, resource and subject: bind groups instead of people, or use *")

// statement is one Cedar policy together with what the gate must know about it.
// Each rule of a role becomes one for every resource and subject.
type statement struct {
	policy *cedar.Policy
	// scope and subject are where the index files it.
	scope   scope
	subject reference
	actions Actions
	// role is set if the statement permits, guardrail if it does not. grant is set too if it permits an agent.
	role      *role
	guardrail *guardrail
	grant     *agentGrant
	key       *keyGrant
	// origin names the document, such as `RoleBinding/support-reads-orders`.
	origin string
	// when is the condition as written, if there is one.
	when *condition
	// starts and expires are when the binding begins and ceases to count.
	starts, expires time.Time
}

// compiler turns checked documents into statements.
type compiler struct {
	statements map[cedar.PolicyID]*statement
	deciding   *index
	obliging   *index
	subjects   *subjects
	// readsNetwork says that some condition reads the address of the caller.
	readsNetwork bool
}

func newCompiler() *compiler {
	return &compiler{
		statements: make(map[cedar.PolicyID]*statement),
		deciding:   newIndex(),
		obliging:   newIndex(),
		subjects:   newSubjects(),
	}
}

// compile spreads every rule and guardrail over its subjects and resources, and
// only if that is not too much, builds Cedar policies.
func (c *compiler) compile(docs *documents) error {
	roles := make(map[string]*role, len(docs.roles))
	for _, r := range docs.roles {
		roles[r.name] = r
	}
	var all []*statement
	for _, b := range docs.bindings {
		for _, rule := range roles[b.role].rules {
			all = append(all, bind(b, roles[b.role], rule)...)
		}
		if len(all) > maxStatements {
			return errTooLarge
		}
	}
	for _, g := range docs.grants {
		for _, rule := range g.as.rules {
			all = append(all, g.statements(rule)...)
		}
		if len(all) > maxStatements {
			return errTooLarge
		}
	}
	for _, g := range docs.guardrails {
		all = append(all, guard(g)...)
		if len(all) > maxStatements {
			return errTooLarge
		}
	}
	for _, s := range all {
		c.add(s)
	}
	return nil
}

// bind spreads one rule of a role over the subjects of a binding. Besides the
// containers, the account and the databases above them become visible.
func bind(b *binding, r *role, rule *rule) []*statement {
	subjects := b.subjects
	if len(subjects) == 0 {
		subjects = []subject{{reference: reference{kind: everybody}}}
	}
	all := grantTo(subjects, rule, statement{role: r, origin: b.origin(), starts: b.starts, expires: b.expires})
	if b.when == nil {
		return all
	}
	when := b.when.and(rule.when)
	return slices.DeleteFunc(all, func(s *statement) bool {
		s.when = when
		s.actions &= b.actions
		return s.actions == 0
	})
}

// statements spreads one rule over the agents of a grant.
func (g *agentGrant) statements(rule *rule) []*statement {
	return grantTo(g.subjects, rule, statement{role: g.as, grant: g, origin: g.origin(), starts: g.starts, expires: g.expires})
}

func grantTo(subjects []subject, rule *rule, like statement) []*statement {
	scopes := spread(rule.scopes, func(at scope) []scope {
		return []scope{at, {at.account, at.database, ""}, {at.account, "", ""}}
	})
	all := make([]*statement, 0, len(subjects)*len(scopes))
	for _, to := range subjects {
		for _, s := range scopes {
			one := like
			one.scope, one.subject, one.actions = s, to.reference, ReadMetadata
			if s.container != "" {
				one.actions |= like.role.offers(rule)
			}
			one.key, one.when = rule.key, rule.when
			all = append(all, &one)
		}
	}
	return all
}

// offers returns what a rule allows under the obligations of its role: where
// properties are redacted, nothing that would show them or write over them.
func (r *role) offers(rule *rule) Actions {
	if len(r.obligations.Redact) > 0 {
		return rule.actions &^ unredactable
	}
	return rule.actions
}

// spread returns the scopes and what levels adds to them, each once.
func spread(scopes []scope, levels func(scope) []scope) []scope {
	seen := make(map[scope]bool, len(scopes))
	var out []scope
	for _, at := range scopes {
		for _, s := range levels(at) {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// guard spreads a guardrail. One that denies readMetadata on everything in a
// database or account denies it on the database or account too.
func guard(g *guardrail) []*statement {
	subjects := g.subjects
	if len(subjects) == 0 {
		subjects = []subject{{reference: reference{kind: everybody}}}
	}
	scopes := spread(g.scopes, g.levels)
	all := make([]*statement, 0, len(subjects)*len(scopes))
	for _, to := range subjects {
		for _, s := range scopes {
			actions := g.actions
			if s.container == "" {
				actions = ReadMetadata
			}
			all = append(all, &statement{
				scope: s, subject: to.reference, actions: actions,
				guardrail: g, key: g.key, when: g.when, origin: g.origin(),
			})
		}
	}
	return all
}

func (b *binding) origin() string   { return cmp.Or(b.kind, kindRoleBinding) + "/" + b.name }
func (g *guardrail) origin() string { return cmp.Or(g.kind, kindGuardrail) + "/" + g.name }

func (g *agentGrant) origin() string { return kindAgentGrant + "/" + g.name }

// levels returns the scope and what above it the guardrail concerns.
func (g *guardrail) levels(at scope) []scope {
	levels := []scope{at}
	if !g.deny || !g.actions.Has(ReadMetadata) || at.container != wildcard {
		return levels
	}
	levels = append(levels, scope{at.account, at.database, ""})
	if at.database == wildcard {
		levels = append(levels, scope{at.account, "", ""})
	}
	return levels
}

// readsContext reports whether the Cedar policy reads `context`.
func (s *statement) readsContext() bool {
	return s.when != nil || s.grant != nil || !s.starts.IsZero() || !s.expires.IsZero()
}

// add builds the Cedar policy of the statement and files it. Cedar evaluates
// the parts in this order, so that a condition is not evaluated, and cannot
// fail, for a request that the statement does not concern.
func (c *compiler) add(s *statement) {
	p, into := ast.Permit(), c.deciding
	switch {
	case s.guardrail == nil:
	case s.guardrail.deny:
		p = ast.Forbid()
	default:
		into = c.obliging
	}
	scopeSubject(p, s.subject)
	scopeActions(p, s.actions)
	scopeResource(p, s.scope)
	if !s.starts.IsZero() {
		p.When(ast.Context().Access("time").GreaterThanOrEqual(instant(s.starts)))
	}
	if !s.expires.IsZero() {
		p.When(ast.Context().Access("time").LessThan(instant(s.expires)))
	}
	if s.grant != nil {
		p.When(c.actsFor(s.grant.people))
	}
	if when := s.when; when != nil {
		p.Conditions = append(p.Conditions, when.alone.AST().Conditions...)
		c.readsNetwork = c.readsNetwork || when.readsNetwork
		for _, group := range when.groups {
			c.subjects.needed[c.subjects.intern(groupReference(group))] = true
		}
	}
	s.policy = cedar.NewPolicyFromAST(p)
	id := cedar.PolicyID(strconv.Itoa(len(c.statements)))
	c.statements[id] = s
	into.add(filed{statement: s, id: id, who: c.subjects.intern(s.subject)})
}

// instant writes a time as Cedar text does; the validator does not know the
// value by itself.
func instant(t time.Time) ast.Node {
	return ast.DatetimeExtensionCall(ast.String(t.UTC().Format("2006-01-02T15:04:05Z")))
}

// actsFor is true while an agent acts for one of the people, or if there are
// none, for itself.
func (c *compiler) actsFor(people []subject) ast.Node {
	if len(people) == 0 {
		return ast.Not(ast.Context().Has(contextPerson))
	}
	named := c.isPerson(people[0].reference)
	for _, s := range people[1:] {
		named = named.Or(c.isPerson(s.reference))
	}
	return ast.Context().Has(contextPerson).And(named)
}

// contextPerson is whom an agent acts for.
const contextPerson = "person"

func (c *compiler) isPerson(r reference) ast.Node {
	c.subjects.intern(r)
	person := ast.Context().Access(contextPerson)
	if r.kind == userReference {
		return person.Equal(ast.Value(r.uid()))
	}
	return person.In(ast.Value(r.uid()))
}

func scopeSubject(p *ast.Policy, to reference) {
	switch to.kind {
	case everybody:
	case groupIDReference, groupExternalReference, groupNameReference:
		p.PrincipalIsIn(userType, to.uid())
	default:
		p.PrincipalEq(to.uid())
	}
}

func scopeActions(p *ast.Policy, actions Actions) {
	names := actions.Names()
	uids := make([]cedar.EntityUID, len(names))
	for i, name := range names {
		uids[i] = cedar.NewEntityUID(actionType, cedar.String(name))
	}
	if len(uids) == 1 {
		p.ActionEq(uids[0])
		return
	}
	// `action in […]` would mean the same; Cedar evaluates it by building a set
	// for every request.
	set := make([]cedar.Value, len(uids))
	for i, uid := range uids {
		set[i] = uid
	}
	p.When(ast.Value(cedar.NewSet(set...)).Contains(ast.Action()))
}

// scopeResource confines the policy to the scope: by hierarchy if the names
// come before the wildcards, else by comparing names.
func scopeResource(p *ast.Policy, s scope) {
	level := levelOf(s)
	switch {
	case s.account != wildcard && s.database != wildcard && s.container != wildcard:
		p.ResourceEq(resourceUID(Resource{s.account, s.database, s.container}))
	case s.account != wildcard && s.database != wildcard:
		p.ResourceIsIn(level, resourceUID(Resource{Account: s.account, Database: s.database}))
	default:
		p.ResourceIs(level)
		sameName(p, "account", s.account)
		sameName(p, "database", s.database)
		sameName(p, "container", s.container)
	}
}

func levelOf(s scope) cedar.EntityType {
	switch {
	case s.database == "":
		return accountType
	case s.container == "":
		return databaseType
	default:
		return containerType
	}
}

func sameName(p *ast.Policy, attribute cedar.String, name string) {
	if name != wildcard && name != "" {
		p.When(ast.Resource().Access(attribute).Equal(ast.String(name)))
	}
}
