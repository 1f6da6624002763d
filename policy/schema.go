package policy

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// This file is the only one that imports Cedar's experimental packages, which
// promise no stability.

//go:embed schema.cedarschema
var schemaText []byte

// validator checks Cedar policies against the schema of the gate.
type validator struct {
	cedar *validate.Validator
}

func newValidator() (*validator, error) {
	var s schema.Schema
	if err := s.UnmarshalCedar(schemaText); err != nil {
		return nil, fmt.Errorf("reading the Cedar schema: %w", err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolving the Cedar schema: %w", err)
	}
	return &validator{cedar: validate.New(resolved)}, nil
}

var errValidator = errors.New("the validator cannot judge it")

// check reports every way in which the policy does not fit the schema, on one
// line. A policy text that the experimental validator fails on must not take
// the gate down when the policy is reloaded.
func (v *validator) check(p *cedar.Policy) (err error) {
	defer func() {
		if recover() != nil {
			err = errValidator
		}
	}()
	found := v.cedar.Policy("", (*ast.Policy)(p.AST()))
	if found == nil {
		return nil
	}
	lines := strings.Split(found.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "for policy ``, ")
	}
	slices.Sort(lines)
	return errors.New(strings.Join(slices.Compact(lines), "; "))
}
