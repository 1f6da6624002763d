package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
)

// A .cedar file holds policies for what YAML cannot say. A forbid is a guardrail
// that denies; a permit is a binding: it gives the role that @role names to
// whom, for what and while it permits, within the rules of that role.

const (
	cedarExtension = ".cedar"
	kindCedar      = "Cedar"
	// What annotations of raw policies are called.
	annotationID, annotationRole, annotationReason = "id", "role", "reason"
)

// isCedar reports whether a file holds Cedar instead of YAML.
func isCedar(name string) bool { return filepath.Ext(name) == cedarExtension }

// rawPolicy is the JSON form of a Cedar policy, as far as it is taken apart.
type rawPolicy struct {
	Effect     string         `json:"effect"`
	Principal  rawScope       `json:"principal"`
	Action     rawScope       `json:"action"`
	Resource   rawScope       `json:"resource"`
	Conditions []rawCondition `json:"conditions"`
}

type rawScope struct {
	Op       string      `json:"op"`
	Entity   *rawEntity  `json:"entity,omitempty"`
	Entities []rawEntity `json:"entities,omitempty"`
	Type     string      `json:"entity_type,omitempty"`
	In       *rawScope   `json:"in,omitempty"`
}

type rawEntity struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type rawCondition struct {
	Kind string `json:"kind"`
	Body any    `json:"body"`
}

// cedar reads every policy of one .cedar file.
func (r *reader) cedar(source Source) {
	start := Position{File: source.Name, Line: 1, Column: 1}
	if len(source.Text) > maxFileSize {
		r.faults = append(r.faults, Fault{start, fmt.Sprintf("the file is larger than %d MiB (split it)", maxFileSize>>20)})
		return
	}
	list, err := cedar.NewPolicyListFromBytes(source.Name, []byte(expandInRange(string(source.Text))))
	if err != nil {
		at, what := cedarError(err, start)
		r.faults = append(r.faults, Fault{at, "not Cedar: " + what})
		return
	}
	for _, p := range list {
		place := p.Position()
		raw := rawReader{reader: r, at: Position{source.Name, max(place.Line, 1), max(place.Column, 1)}}
		raw.read(p)
	}
}

// cedarError splits the place off an error of Cedar's parser.
func cedarError(err error, start Position) (Position, string) {
	_, text, found := strings.Cut(err.Error(), "<input>:")
	line, rest, hasLine := strings.Cut(text, ":")
	column, what, hasColumn := strings.Cut(rest, " ")
	l, lineErr := strconv.Atoi(line)
	c, columnErr := strconv.Atoi(strings.TrimSuffix(column, ":"))
	if !found || !hasLine || !hasColumn || lineErr != nil || columnErr != nil {
		return start, err.Error()
	}
	return Position{start.File, max(l, 1), max(c, 1)}, what
}

// rawReader reads one policy.
type rawReader struct {
	*reader

	at Position
}

func (r *rawReader) fault(format string, args ...any) {
	r.faults = append(r.faults, Fault{r.at, fmt.Sprintf(format, args...)})
}

func (r *rawReader) read(p *cedar.Policy) {
	name := r.annotation(p, annotationID)
	if name != "" && !validName(name) {
		r.fault("the id %q must be letters, digits, '.', '_' or '-', at most 128, and begin with a letter or digit", name)
	}
	if err := r.conditions.validator.check(p); err != nil {
		r.fault("the policy does not fit the schema: %v", err)
		return
	}
	var form rawPolicy
	text, err := p.MarshalJSON()
	err = errors.Join(err, json.Unmarshal(text, &form))
	when, fault := form.condition(kindCedar + "/" + name)
	if err = errors.Join(err, fault); err != nil {
		r.fault("%v", err)
		return
	}
	actions := form.Action.actions()
	if form.Effect == "forbid" {
		r.docs.guardrails = append(r.docs.guardrails, &guardrail{
			header: header{name, r.at}, kind: kindCedar, deny: true, actions: actions,
			scopes: []scope{{wildcard, wildcard, wildcard}}, subjects: form.Principal.subjects(r.at), when: when,
			reason: r.annotation(p, annotationReason),
		})
		return
	}
	if form.Principal.names(agentType) {
		r.fault("an agent gets its role from an AgentGrant (a permit is for users and applications)")
	}
	r.docs.bindings = append(r.docs.bindings, &binding{
		header: header{name, r.at}, kind: kindCedar, role: r.annotation(p, annotationRole), rolePos: r.at,
		subjects: form.Principal.subjects(r.at), when: when, actions: actions,
	})
}

// annotation returns the text of an annotation that must be there.
func (r *rawReader) annotation(p *cedar.Policy, name string) string {
	text := ""
	for key, value := range p.Annotations() {
		if string(key) == name {
			text = string(value)
		}
	}
	if text == "" || !plainText(text) {
		effect := "permit"
		if p.Effect() == cedar.Forbid {
			effect = "forbid"
		}
		r.fault("a %s needs @%s(\"…\")", effect, name)
		return ""
	}
	return text
}

// condition returns everything that the policy asks but its action, as one
// condition. A permit asks besides that no agent does it.
func (p *rawPolicy) condition(text string) (*condition, error) {
	form := rawPolicy{
		Effect: "permit", Principal: rawScope{Op: "All"}, Action: rawScope{Op: "All"}, Resource: rawScope{Op: "All"},
		Conditions: append(p.Principal.conditions("principal"), p.Resource.conditions("resource")...),
	}
	if p.Effect == "permit" {
		form.Conditions = append(form.Conditions, rawCondition{"unless", isType("principal", string(agentType))})
	}
	form.Conditions = append(form.Conditions, p.Conditions...)
	found := &condition{text: text, alone: cedar.NewPolicyFromAST(ast.Forbid())} // until it is written anew
	written, err := json.Marshal(form)
	return found, errors.Join(err, found.alone.UnmarshalJSON(written), found.inspect())
}

// conditions says in conditions what a scope says.
func (s *rawScope) conditions(variable string) []rawCondition {
	var bodies []any
	left := map[string]any{"Var": variable}
	right := func(e *rawEntity) map[string]any { return map[string]any{"Value": map[string]any{"__entity": e}} }
	switch s.Op {
	case "==":
		bodies = append(bodies, map[string]any{"==": map[string]any{"left": left, "right": right(s.Entity)}})
	case "in":
		bodies = append(bodies, map[string]any{"in": map[string]any{"left": left, "right": right(s.Entity)}})
	case "is":
		bodies = append(bodies, isType(variable, s.Type))
		if s.In != nil && s.In.Entity != nil {
			bodies = append(bodies, map[string]any{"in": map[string]any{"left": left, "right": right(s.In.Entity)}})
		}
	}
	conditions := make([]rawCondition, len(bodies))
	for i, body := range bodies {
		conditions[i] = rawCondition{"when", body}
	}
	return conditions
}

func isType(variable, name string) map[string]any {
	return map[string]any{"is": map[string]any{"left": map[string]any{"Var": variable}, "entity_type": name}}
}

// actions returns the data actions of an action scope. The schema has no groups
// of actions, so that `in` is a list of them.
func (s *rawScope) actions() Actions {
	if s.Op == "All" {
		return AllActions
	}
	entities := s.Entities
	if s.Entity != nil {
		entities = append(entities, *s.Entity)
	}
	var all Actions
	for _, e := range entities {
		if action, ok := parseAction(e.ID); ok && strings.IndexByte(e.ID, '*') < 0 {
			all |= action
		}
	}
	return all
}

// subjects returns whom a principal scope can be about, so that the index finds
// the policy by them; nil means everybody.
func (s *rawScope) subjects(at Position) []subject {
	entity := s.Entity
	if s.In != nil {
		entity = s.In.Entity
	}
	if entity == nil {
		return nil
	}
	ref := groupReference(entity.ID) // the only other type that a condition may name
	switch cedar.EntityType(entity.Type) {
	case userType:
		ref = reference{kind: userReference, text: entity.ID}
	case applicationType:
		ref = reference{kind: applicationReference, text: entity.ID}
	case agentType:
		ref = reference{kind: agentReference, text: entity.ID}
	}
	return []subject{{reference: ref, pos: at}}
}

// names reports whether a scope is about one entity, or all, of a type.
func (s *rawScope) names(t cedar.EntityType) bool {
	return s.Type == string(t) || s.Entity != nil && s.Entity.Type == string(t)
}
