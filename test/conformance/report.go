package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Verdict is the outcome of one case in one SDK.
type Verdict string

// The verdicts. Only Equal is a success; Unsupported and Skipped say why.
const (
	Equal       Verdict = "equal"       // as expected directly, and the same through the gate
	Differs     Verdict = "differs"     // the gate changes what the SDK lets its caller see
	Unexpected  Verdict = "unexpected"  // not what the case expects, on either side
	Unsupported Verdict = "unsupported" // the SDK has no such call
	Skipped     Verdict = "skipped"     // the toolchain is missing, or the SDK's run broke off
)

// Cell is one case in one SDK.
type Cell struct {
	Verdict  Verdict `json:"verdict"`
	Reason   string  `json:"reason,omitempty"`
	Requests int     `json:"-"`
	Direct   []any   `json:"direct,omitempty"`
	Gate     []any   `json:"gate,omitempty"`
}

// Row is one case in every SDK.
type Row struct {
	Case  string            `json:"case"`
	Limit map[string]string `json:"limits,omitempty"`
	Cells map[string]Cell   `json:"cells"`
	Keys  map[string]Cell   `json:"virtual_keys,omitempty"`
}

// Column is one SDK of the matrix.
type Column struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Skipped string `json:"skipped,omitempty"`
	Failed  string `json:"failed,omitempty"`

	direct, gate, key results

	sdk    sdk
	folder string
}

// Report is the whole matrix.
type Report struct {
	Columns []Column `json:"sdks"`
	Rows    []Row    `json:"cases"`
}

// add runs one SDK, directly and through the gate.
func (r *Report) add(ctx context.Context, s sdk, t *target, cases []testCase, o options) {
	column := Column{Name: s.name, Version: s.version, sdk: s}
	defer func() { r.Columns = append(r.Columns, column) }()
	if tool := s.missing(); tool != "" {
		column.Skipped = "no " + tool + " on this machine"
		return
	}
	folder, err := s.prepare(ctx)
	if err != nil {
		column.Failed = err.Error()
		return
	}
	column.folder = folder
	wrong := slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return !c.WrongKey })
	cases = slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return c.TokenLifetime != "" || c.WrongKey })
	if o.record != "" {
		cases = slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return len(c.Faults) > 0 })
		column.Failed = problem(record(ctx, s, folder, t, cases, o.record))
		return
	}
	both := slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return c.GateOnly })
	take := func(cases []testCase, side string) results {
		if len(cases) == 0 {
			return nil
		}
		found, err := runSide(ctx, s, folder, t, cases, side)
		column.Failed = strings.TrimSpace(column.Failed + " " + problem(err))
		return found
	}
	column.direct, column.gate = take(both, sideDirect), take(cases, sideGate)
	column.key = take(withKey(cases), sideKey)
	if column.gate == nil {
		column.gate = results{}
	}
	maps.Copy(column.gate, take(wrong, sideWrongKey))
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// runSide runs the cases of one SDK on one side and normalises the results.
func runSide(ctx context.Context, s sdk, folder string, t *target, cases []testCase, side string) (results, error) {
	run := "conf-" + s.name + "-" + side
	p, err := t.plan(ctx, cases, run, side)
	if err != nil {
		return nil, err
	}
	stage, err := newStagehand(t, cases, p.Containers)
	if err != nil {
		return nil, err
	}
	p.CaseURL = stage.url
	began := time.Now()
	found, err := s.run(ctx, folder, p)
	err = errors.Join(err, stage.end(ctx, found))
	fmt.Fprintf(os.Stderr, "conformance: %s %s: %d cases in %.1fs\n", s.name, side, len(found), time.Since(began).Seconds())
	n := newNormaliser(p.Containers, run)
	for name, steps := range found {
		found[name], _ = n.value(steps).([]any)
	}
	return found, err
}

// plan says to a runner what to do on one side.
func (t *target) plan(ctx context.Context, cases []testCase, run, side string) (plan, error) {
	places, err := t.containers(ctx, run)
	if err != nil {
		return plan{}, err
	}
	p := plan{Endpoint: t.Emulator.Endpoint, CA: t.CA, Key: t.Emulator.Key, Containers: places, Cases: []map[string]any{}}
	if err := t.credentials(ctx, &p, cases, side); err != nil {
		return plan{}, err
	}
	for _, c := range cases {
		p.Cases = append(p.Cases, planned(c, run))
	}
	return p, nil
}

// compare fills the matrix.
func (r *Report) compare(cases []testCase) {
	for _, c := range cases {
		row := Row{Case: c.Name, Limit: c.Limits, Cells: map[string]Cell{}, Keys: map[string]Cell{}}
		for _, column := range r.Columns {
			row.Cells[column.Name] = column.cell(c)
			if c.byKey() {
				row.Keys[column.Name] = column.keyCell(c)
			}
		}
		r.Rows = append(r.Rows, row)
	}
}

func (c Column) cell(test testCase) Cell {
	if c.Skipped != "" {
		return Cell{Verdict: Skipped, Reason: c.Skipped}
	}
	cell := Cell{Direct: c.direct[test.Name], Gate: c.gate[test.Name]}
	for _, steps := range [][]any{cell.Direct, cell.Gate} {
		if reason := unsupported(steps); reason != "" {
			cell.Verdict, cell.Reason = Unsupported, reason
			return cell
		}
	}
	cell.Verdict, cell.Reason = c.judge(test, cell)
	return cell
}

func (c Column) judge(test testCase, cell Cell) (Verdict, string) {
	if !test.GateOnly {
		if reason := against(test, family(c.Name), cell.Direct); reason != "" {
			return Unexpected, "directly: " + reason
		}
	}
	if !test.GateOnly {
		direct, gate := comparable(test, family(c.Name), cell.Direct), comparable(test, family(c.Name), cell.Gate)
		if diff := cmp.Diff(direct, gate); diff != "" {
			return Differs, diff
		}
	}
	if reason := against(test, family(c.Name), cell.Gate); reason != "" {
		return Unexpected, "through the gate: " + reason
	}
	return Equal, ""
}

// comparable returns the steps without the texts that are the gate's own.
func comparable(test testCase, sdk string, steps []any) []any {
	kept := slices.Clone(steps)
	for i, step := range test.Steps {
		if i >= len(kept) || !ownWords(step, sdk) {
			continue
		}
		if result, ok := kept[i].(map[string]any); ok {
			result = maps.Clone(result)
			delete(result, "message")
			kept[i] = result
		}
	}
	return kept
}

func unsupported(steps []any) string {
	for _, step := range steps {
		if result, ok := step.(map[string]any); ok {
			if reason, ok := result["unsupported"].(string); ok {
				return reason
			}
		}
	}
	return ""
}

// brokenOff is the reason of a case that was never finished.
const brokenOff = "the run broke off before this case ended"

// against compares the steps of one side with what the case expects.
func against(test testCase, sdk string, steps []any) string {
	if len(steps) != len(test.Steps) {
		return brokenOff
	}
	n := normaliser{strings.NewReplacer("$run", "<run>")}
	for i, step := range test.Steps {
		expected := n.value(expand(expectation(step, sdk), "$run"))
		if reason := mismatch(fmt.Sprintf("step %d %v", i+1, step["op"]), expected, steps[i]); reason != "" {
			return reason
		}
	}
	return ""
}

// failed says whether the run proves less than it should.
func (r *Report) failed(requireAll bool) bool {
	for _, column := range r.Columns {
		if column.Failed != "" || (requireAll && column.Skipped != "") {
			return true
		}
	}
	for _, row := range r.Rows {
		for _, cells := range []map[string]Cell{row.Cells, row.Keys} {
			for _, cell := range cells {
				if cell.Verdict == Differs || cell.Verdict == Unexpected {
					return true
				}
			}
		}
	}
	return false
}

// write prints the matrix and writes matrix.md and matrix.json.
func (r *Report) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the report's folder: %w", err)
	}
	text := r.markdown()
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fmt.Errorf("printing the matrix: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "matrix.md"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the matrix: %w", err)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the matrix: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "matrix.json"), data, 0o644); err != nil {
		return fmt.Errorf("writing the matrix: %w", err)
	}
	return nil
}
