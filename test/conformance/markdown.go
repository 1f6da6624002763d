package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// marks are the cells of the printed matrix.
func mark(v Verdict) string {
	switch v {
	case Equal:
		return "equal"
	case Differs:
		return "**DIFFERS**"
	case Unexpected:
		return "**FAILS**"
	case Unsupported:
		return "–"
	case Skipped:
		return "skipped"
	}
	return "**FAILS**"
}

// markdown prints the matrix: cases × SDKs, then what needs words.
func (r *Report) markdown() string {
	var b strings.Builder
	b.WriteString("# SDKs through the gate\n\n`equal`: the SDK's caller sees what the case expects, directly and through the gate. `–`: the SDK has no such call.\n\n| case |")
	for _, c := range r.Columns {
		fmt.Fprintf(&b, " %s |", c.Version)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Columns)) + "\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |", row.Case)
		for _, c := range r.Columns {
			cell := mark(row.Cells[c.Name].Verdict)
			if row.Limit[family(c.Name)] != "" && row.Cells[c.Name].Verdict == Equal {
				cell += " (refused)"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	r.totals(&b)
	r.keys(&b)
	r.reasons(&b)
	r.attempts(&b)
	r.denials(&b)
	return b.String()
}

// attempts prints what each SDK makes of injected faults; it is the same
// directly and through the gate, or the case is not equal.
func (r *Report) attempts(b *strings.Builder) {
	began := false
	for _, row := range r.Rows {
		var cells []string
		there := false
		for _, c := range r.Columns {
			status, tries := lastAttempt(row.Cells[c.Name].Gate)
			there = there || tries != nil
			cells = append(cells, fmt.Sprintf("%v after %v", orNone(status), orNone(tries)))
		}
		if !there {
			continue
		}
		if !began {
			began = true
			b.WriteString("\n## What SDKs make of faults\n\nThe status that the caller sees, and the requests that reached the account.\n\n| case |")
			for _, c := range r.Columns {
				fmt.Fprintf(b, " %s |", c.Name)
			}
			b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Columns)) + "\n")
		}
		fmt.Fprintf(b, "| %s | %s |\n", row.Case, strings.Join(cells, " | "))
	}
}

func lastAttempt(steps []any) (status, tries any) {
	if len(steps) == 0 {
		return nil, nil
	}
	last, _ := steps[len(steps)-1].(map[string]any)
	return last["status"], last["attempts"]
}

// family is the SDK that a column belongs to: python for python-aio.
func family(column string) string {
	name, _, _ := strings.Cut(column, "-")
	return name
}

// totals prints one line per SDK; a skipped one is never counted as passed.
func (r *Report) totals(b *strings.Builder) {
	b.WriteString("\n")
	for _, c := range r.Columns {
		count := map[Verdict]int{}
		for _, row := range r.Rows {
			count[row.Cells[c.Name].Verdict]++
		}
		fmt.Fprintf(b, "- %s: %d equal, %d unsupported, %d failed", c.Version, count[Equal], count[Unsupported], count[Differs]+count[Unexpected])
		if c.Skipped != "" {
			fmt.Fprintf(b, ", SKIPPED (%s)", c.Skipped)
		}
		if c.Failed != "" {
			fmt.Fprintf(b, ", BROKE OFF: %s", c.Failed)
		}
		b.WriteString("\n")
	}
}

// reasons prints why cells are not equal.
func (r *Report) reasons(b *strings.Builder) {
	var lines []string
	for _, row := range r.Rows {
		for _, c := range r.Columns {
			cell := row.Cells[c.Name]
			switch cell.Verdict {
			case Differs:
				lines = append(lines, fmt.Sprintf("- %s, %s: differs (- direct, + gate)\n\n```\n%s```\n", c.Name, row.Case, cell.Reason))
			case Unexpected, Unsupported:
				if strings.HasSuffix(cell.Reason, brokenOff) {
					continue // told once, with the totals
				}
				lines = append(lines, fmt.Sprintf("- %s, %s: %s\n", c.Name, row.Case, cell.Reason))
			case Equal, Skipped:
				if limit := row.Limit[family(c.Name)]; limit != "" && cell.Verdict == Equal {
					lines = append(lines, fmt.Sprintf("- %s, %s: %s\n", c.Name, row.Case, limit))
				}
			}
		}
	}
	if len(lines) > 0 {
		b.WriteString("\n## Not equal, and why\n\n" + strings.Join(slices.Compact(lines), ""))
	}
}

// denials prints what each SDK's own error says to its caller; SDKs that say the
// same share a line.
func (r *Report) denials(b *strings.Builder) {
	b.WriteString("\n## What a refused caller sees\n\n| case | SDKs and the type of their error | status/substatus | message |\n|---|---|---|---|\n")
	for _, row := range r.Rows {
		sdks := map[string][]string{}
		var order []string
		for _, c := range r.Columns {
			said, kind := refusal(row.Cells[c.Name].Gate)
			if said == "" {
				continue
			}
			if sdks[said] == nil {
				order = append(order, said)
			}
			sdks[said] = append(sdks[said], c.Name+" `"+kind+"`")
		}
		for _, said := range order {
			fmt.Fprintf(b, "| %s | %s | %s |\n", row.Case, strings.Join(sdks[said], ", "), said)
		}
	}
}

// refusal returns what the first refused step said, and its error's type.
func refusal(steps []any) (said, kind string) {
	for _, step := range steps {
		result, ok := step.(map[string]any)
		if !ok {
			continue
		}
		status, _ := result["status"].(float64)
		if status != http.StatusUnauthorized && status != http.StatusForbidden {
			continue
		}
		message, _, _ := strings.Cut(fmt.Sprint(result["message"]), "ActivityId:")
		message = strings.NewReplacer("\r", "", "\n", " ", "|", "\\|").Replace(message)
		return fmt.Sprintf("%v/%v | %s", status, orNone(result["substatus"]), strings.TrimSpace(message)), fmt.Sprint(result["type"])
	}
	return "", ""
}

func orNone(value any) any {
	if value == nil {
		return "–"
	}
	return value
}
