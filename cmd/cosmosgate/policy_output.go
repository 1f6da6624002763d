package main

import (
	"encoding/csv"
	"io"
	"strings"
	"text/tabwriter"
)

// The forms in which commands print.
const (
	outputTable = "table"
	outputText  = "text"
	outputJSON  = "json"
	outputCSV   = "csv"
)

// table is rows of text below their titles.
type table struct {
	titles []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the rows in columns, for people.
func (t *table) write(w io.Writer) error {
	const gap = 2
	columns := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	out := &printer{w: columns}
	for _, row := range append([][]string{t.titles}, t.rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plainCell(dash(cell))
		}
		out.line("%s", strings.Join(cells, "\t"))
	}
	if err := out.done(); err != nil {
		return err
	}
	return wrapOutput(columns.Flush())
}

// plainCell keeps names that somebody else chose from moving the cursor or the columns.
func plainCell(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// writeCSV prints the rows for a spreadsheet, with a line of titles in small letters. A cell that a spreadsheet would take for
// a formula gets an apostrophe.
func (t *table) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	titles := make([]string, len(t.titles))
	for i, title := range t.titles {
		titles[i] = strings.ReplaceAll(strings.ToLower(title), " ", "_")
	}
	if err := out.Write(titles); err != nil {
		return wrapOutput(err)
	}
	for _, row := range t.rows {
		safe := make([]string, len(row))
		for i, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				cell = "'" + cell
			}
			safe[i] = cell
		}
		if err := out.Write(safe); err != nil {
			return wrapOutput(err)
		}
	}
	out.Flush()
	return wrapOutput(out.Error())
}
