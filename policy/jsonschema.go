package policy

import (
	_ "embed" // for the schema
	"slices"
)

//go:embed policy.schema.json
var jsonSchema []byte

// JSONSchema returns the JSON Schema (draft 7) of one policy document, for
// editors. What it accepts may still be refused by [Parse], which also checks
// what documents say about each other; what Parse accepts, it accepts.
func JSONSchema() []byte { return slices.Clone(jsonSchema) }
