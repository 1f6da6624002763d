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
// line.
func (v *validator) check(p *cedar.Policy) error {
	err := v.validate(p)
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "for policy ``, ")
	}
	slices.Sort(lines)
	return errors.New(strings.Join(slices.Compact(lines), "; ")) //nolint:err113 // the text of a foreign error, cleaned
}

// validate keeps a policy text that the experimental validator fails on from
// taking the gate down when the policy is reloaded.
func (v *validator) validate(p *cedar.Policy) (err error) { //nolint:nonamedreturns // set by the deferred call
	defer func() {
		if r := recover(); r != nil {
			err = errValidator
		}
	}()
	return v.cedar.Policy("", (*ast.Policy)(p.AST()))
}
