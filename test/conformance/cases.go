package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// testCase is one named case of cases/*.json. Steps are passed to the SDK's
// runner as they are, without what is expected of them.
type testCase struct {
	Name     string            `json:"name"`
	As       string            `json:"as"`
	GateOnly bool              `json:"gate_only"`
	WrongKey bool              `json:"wrong_key"`
	Limits   map[string]string `json:"limits"`
	Steps    []map[string]any  `json:"steps"`
	// Faults are injected into the stand-in when the case begins. How many
	// requests they were tried on is in the result of the last step: attempts.
	Faults []fault `json:"faults"`
	// TokenLifetime is set for cases that outlive their tokens: they run in
	// every SDK at once, through a gate whose provider issues such tokens.
	TokenLifetime string `json:"token_lifetime"`
	// After is how long the runner is held back before the case begins.
	After string `json:"after"`
}

// operator is the principal of a case that names none: it may do everything
// that the stand-in's key may do on items.
const operator = "olga"

// loadCases reads every case in the order of the file names.
func loadCases(folder string) ([]testCase, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing cases: %w", err)
	}
	slices.Sort(files)
	var all []testCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading cases: %w", err)
		}
		var some []testCase
		if err := json.Unmarshal(text, &some); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		all = append(all, some...)
	}
	for i := range all {
		if all[i].As == "" {
			all[i].As = operator
		}
	}
	return all, nil
}

// planned is a case as a runner gets it: expanded, without expectations.
func planned(c testCase, run string) map[string]any {
	steps := make([]any, 0, len(c.Steps))
	for _, step := range c.Steps {
		plain := map[string]any{}
		for name, value := range step {
			switch name {
			case "expect", "expect_for", "own_words":
			default:
				plain[name] = expand(value, run)
			}
		}
		steps = append(steps, plain)
	}
	return map[string]any{"name": c.Name, "as": c.As, "steps": steps}
}

// expand replaces {"$fill": n} by a text of n letters and $run by the name of
// the run, so that runs do not meet in seeded containers.
func expand(value any, run string) any {
	switch v := value.(type) {
	case map[string]any:
		if n, ok := v["$fill"].(float64); ok {
			return strings.Repeat("x", int(n))
		}
		expanded := make(map[string]any, len(v))
		for name, one := range v {
			expanded[name] = expand(one, run)
		}
		return expanded
	case []any:
		expanded := make([]any, 0, len(v))
		for _, one := range v {
			expanded = append(expanded, expand(one, run))
		}
		return expanded
	case string:
		return strings.ReplaceAll(v, "$run", run)
	default:
		return v
	}
}

// ownWords says whether the gate refuses this step before upstream sees it, so
// that the refusal's text is its own and only the rest can be compared.
func ownWords(step map[string]any, sdk string) bool {
	sdks, _ := step["own_words"].([]any)
	return slices.Contains(sdks, any(sdk))
}

// expectation returns what is expected of a step in the given SDK.
func expectation(step map[string]any, sdk string) any {
	if special, ok := step["expect_for"].(map[string]any); ok {
		if expected, ok := special[sdk]; ok {
			return expected
		}
	}
	return step["expect"]
}
