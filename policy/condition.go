package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
)

// maxCondition is how long a condition may be, in bytes.
const maxCondition = 4096

// condition is a checked `when:`.
type condition struct {
	// text is the expression as written.
	text string
	// alone is a policy that holds nothing but the condition.
	alone *cedar.Policy
	// groups are the ids in Group::"…" of the expression.
	groups []string
	// readsContext says that the expression depends on the request; readsTime
	// and readsNetwork say which parts of the context, that no decision is
	// remembered by, it reads.
	readsContext, readsTime, readsNetwork bool
}

var (
	errLongCondition = fmt.Errorf("the condition is longer than %d bytes", maxCondition)
	errOneExpression = errors.New("a condition is one Cedar expression")
	errReadsAction   = errors.New("a condition must not read action (use dataActions)")
	errGroupCase     = errors.New("a group id of the directory is written in small letters")
	errGroupKind     = errors.New(`a condition may name groups only as Group::"…"`)
)

// conditions parses conditions and remembers them by text, because policies
// repeat them.
type conditions struct {
	validator *validator
	parsed    map[string]parsedCondition
}

type parsedCondition struct {
	condition *condition
	err       error
}

func (c *conditions) parse(text string) (*condition, error) {
	known, ok := c.parsed[text]
	if !ok {
		known.condition, known.err = parseCondition(text, c.validator)
		c.parsed[text] = known
	}
	return known.condition, known.err
}

// parseCondition parses and type-checks a Cedar expression.
func parseCondition(text string, v *validator) (*condition, error) {
	if len(text) > maxCondition {
		return nil, errLongCondition
	}
	// readMetadata applies to every type of principal and resource, and the
	// types agree in their attributes: what fits it fits every action.
	const head, tail = "permit(principal, action == Action::\"readMetadata\", resource) when {\n", "\n};"
	list, err := cedar.NewPolicyListFromBytes("", []byte(head+expandInRange(text)+tail))
	if err != nil {
		return nil, fmt.Errorf("the condition is not a Cedar expression: %w", expressionError(err))
	}
	if len(list) != 1 || len(list[0].AST().Conditions) != 1 {
		return nil, errOneExpression
	}
	if err := v.check(list[0]); err != nil {
		return nil, fmt.Errorf("the condition does not fit the schema: %w", err)
	}
	alone := ast.Permit()
	alone.Conditions = list[0].AST().Conditions
	found := &condition{text: text, alone: cedar.NewPolicyFromAST(alone)}
	return found, found.inspect()
}

// and returns the condition that both hold; the other may be nil.
func (c *condition) and(other *condition) *condition {
	if other == nil {
		return c
	}
	both := &condition{
		text:         other.text + " && " + c.text,
		groups:       slices.Concat(c.groups, other.groups),
		readsContext: c.readsContext || other.readsContext,
		readsTime:    c.readsTime || other.readsTime,
		readsNetwork: c.readsNetwork || other.readsNetwork,
	}
	alone := ast.Permit()
	alone.Conditions = slices.Concat(other.alone.AST().Conditions, c.alone.AST().Conditions)
	both.alone = cedar.NewPolicyFromAST(alone)
	return both
}

// expressionError drops what Cedar says about the policy around the
// expression and about where in it the error is: the lines are not the file's.
func expressionError(err error) error {
	message := err.Error()
	for _, before := range []string{"<input>:", ": "} {
		if _, after, ok := strings.Cut(message, before); ok {
			message = after
		}
	}
	return errors.New(message)
}

// inspect finds what the expression reads by walking Cedar's JSON form of it.
func (c *condition) inspect() error {
	var form struct {
		Conditions any `json:"conditions"`
	}
	text, err := c.alone.MarshalJSON()
	return errors.Join(err, json.Unmarshal(text, &form), c.walk(form.Conditions))
}

func (c *condition) walk(node any) error {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			if err := c.walk(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, item := range n {
			if err := c.visit(key, item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *condition) visit(key string, item any) error {
	switch key {
	case "Var":
		return c.readVariable(item)
	case "__entity":
		return c.nameEntity(item)
	case ".", "has":
		if attribute, ok := contextAttribute(item); ok {
			c.readsContext = true
			c.readsTime = c.readsTime || attribute == "time"
			c.readsNetwork = c.readsNetwork || attribute == "network"
			return nil
		}
	}
	return c.walk(item)
}

// readVariable handles a variable that is not merely the left of an access. If
// item is no name, then "Var" was the key of a record.
func (c *condition) readVariable(item any) error {
	switch item {
	case "action":
		return errReadsAction
	case "context": // as a whole: everything in it counts
		c.readsContext, c.readsTime, c.readsNetwork = true, true, true
	}
	return c.walk(item)
}

// contextAttribute returns the attribute if item is an access to the context.
func contextAttribute(item any) (string, bool) {
	access, _ := item.(map[string]any)
	left, _ := access["left"].(map[string]any)
	attribute, _ := access["attr"].(string)
	return attribute, left["Var"] == "context"
}

func (c *condition) nameEntity(item any) error {
	entity, _ := item.(map[string]any)
	id, _ := entity["id"].(string)
	switch entity["type"] {
	case string(groupType):
		if id != groupReference(id).text {
			return errGroupCase
		}
		c.groups = append(c.groups, id)
	case string(connectionGroupType), string(groupNameType), string(connectionGroupNameType):
		return errGroupKind
	}
	return c.walk(item)
}

// expandInRange lets operators write `context.network.inRange("10.0.0.0/8")`
// for Cedar's `context.network.isInRange(ip("10.0.0.0/8"))`. Text in string
// literals and comments is left alone.
func expandInRange(text string) string {
	const short, long = `.inRange("`, `.isInRange(ip("`
	var b strings.Builder
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], short):
			end := i + len(short) - 1
			literal := stringLiteral(text[end:])
			b.WriteString(long + strings.TrimPrefix(literal, `"`) + ")")
			i = end + len(literal)
		case text[i] == '"':
			literal := stringLiteral(text[i:])
			b.WriteString(literal)
			i += len(literal)
		case strings.HasPrefix(text[i:], "//"):
			line, _, _ := strings.Cut(text[i:], "\n")
			b.WriteString(line)
			i += len(line)
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String()
}

// stringLiteral returns the string literal that text begins with, quotes
// included; all of text if it does not end.
func stringLiteral(text string) string {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[:i+1]
		}
	}
	return text
}
