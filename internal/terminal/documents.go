// Package terminal writes documents for people and for programs: tables, JSON, JSON lines, CSV. What it writes never moves a
// cursor, whatever the documents hold, and no cell becomes a formula in a spreadsheet.
package terminal

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format is a way to write documents.
type Format string

// The formats.
const (
	// Table is columns for people; documents are held until [Documents.Close].
	Table Format = "table"
	// JSON is one array.
	JSON Format = "json"
	// Lines is one document a line (JSON lines), each written as it comes.
	Lines Format = "jsonl"
	// CSV has a line of titles first. Columns are those of the first batch.
	CSV Format = "csv"
)

// Options say how documents are written.
type Options struct {
	Format Format
	// Columns are the members to show in tables and CSV. Without them it is every member that the first documents have, id first
	// and those of the service's own (_rid, _self, _etag, _attachments, _ts) left out.
	Columns []string
	// MaxCell is the widest cell of a table; wider ones are cut, with an ellipsis. 0 means no limit.
	MaxCell int
}

// Documents writes documents as they come. The first fault of the writer ends it.
type Documents struct {
	w       io.Writer
	options Options
	columns []string
	rows    [][]string
	written int
	missed  bool
	csv     *csv.Writer
}

var errFormat = errors.New("unknown format")

// NewDocuments returns a writer of documents.
func NewDocuments(w io.Writer, o Options) (*Documents, error) {
	if !slices.Contains([]Format{Table, JSON, Lines, CSV}, o.Format) {
		return nil, fmt.Errorf("%w %q", errFormat, o.Format)
	}
	return &Documents{w: w, options: o, columns: slices.Clone(o.Columns), csv: csv.NewWriter(w)}, nil
}

// Add writes a batch of documents, such as a page of a query. Each must be JSON.
func (d *Documents) Add(batch [][]byte) error {
	if len(batch) == 0 {
		return nil
	}
	switch d.options.Format {
	case JSON:
		return d.addJSON(batch)
	case Lines:
		return d.addLines(batch)
	case CSV, Table:
		return d.addRows(batch)
	default:
		return errFormat
	}
}

func (d *Documents) addJSON(batch [][]byte) error {
	for _, document := range batch {
		before := ",\n"
		if d.written == 0 {
			before = "[\n"
		}
		var text bytes.Buffer
		text.WriteString(before + "  ")
		if err := json.Indent(&text, plain(document), "  ", "  "); err != nil {
			return fmt.Errorf("writing a document: %w", err)
		}
		if _, err := d.w.Write(text.Bytes()); err != nil {
			return fmt.Errorf("writing a document: %w", err)
		}
		d.written++
	}
	return nil
}

func (d *Documents) addLines(batch [][]byte) error {
	for _, document := range batch {
		var text bytes.Buffer
		if err := json.Compact(&text, plain(document)); err != nil {
			return fmt.Errorf("writing a document: %w", err)
		}
		text.WriteByte('\n')
		if _, err := d.w.Write(text.Bytes()); err != nil {
			return fmt.Errorf("writing a document: %w", err)
		}
		d.written++
	}
	return nil
}

// plain replaces the control characters of C1, which JSON allows in strings and terminals obey, by their escapes. Those of C0 are
// escaped in any JSON.
func plain(document []byte) []byte {
	if !bytes.ContainsAny(document, c1) {
		return document
	}
	var text bytes.Buffer
	for _, r := range string(document) {
		if r >= 0x7f && r < 0xa0 {
			fmt.Fprintf(&text, `\u%04x`, r)
		} else {
			text.WriteRune(r)
		}
	}
	return text.Bytes()
}

const c1 = "\u007f\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f" +
	"\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f"

func (d *Documents) addRows(batch [][]byte) error {
	documents := make([]map[string]json.RawMessage, len(batch))
	for i, text := range batch {
		if err := json.Unmarshal(text, &documents[i]); err != nil || documents[i] == nil {
			documents[i] = map[string]json.RawMessage{scalar: text} // SELECT VALUE gives documents that are no objects
		}
	}
	if d.columns == nil {
		d.columns = columnsOf(documents)
	}
	for _, document := range documents {
		row := make([]string, len(d.columns))
		for i, column := range d.columns {
			row[i] = cell(document[column])
		}
		if err := d.addRow(row); err != nil {
			return err
		}
		d.noteMissing(document)
	}
	return nil
}

// scalar is the title of documents that are no objects.
const scalar = "value"

func (d *Documents) addRow(row []string) error {
	d.written++
	if d.options.Format == Table {
		d.rows = append(d.rows, row)
		return nil
	}
	if d.written == 1 {
		if err := d.csv.Write(d.columns); err != nil {
			return fmt.Errorf("writing CSV: %w", err)
		}
	}
	for i := range row {
		row[i] = harmless(row[i])
		if row[i] != "" && IsTerminal(d.w) {
			row[i] = visible(row[i])
		}
	}
	if err := d.csv.Write(row); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}

// noteMissing notes whether a document has members that no column shows.
func (d *Documents) noteMissing(document map[string]json.RawMessage) {
	if d.missed || len(d.options.Columns) > 0 {
		return
	}
	for name := range document {
		if !ofService(name) && !slices.Contains(d.columns, name) {
			d.missed = true
			return
		}
	}
}

// Missed says whether documents had members that no column shows, because the first ones did not have them.
func (d *Documents) Missed() bool { return d.missed }

// Written is how many documents were taken.
func (d *Documents) Written() int { return d.written }

// Close writes what is still held.
func (d *Documents) Close() error {
	var err error
	switch d.options.Format {
	case JSON:
		end := "\n]\n"
		if d.written == 0 {
			end = "[]\n"
		}
		_, err = io.WriteString(d.w, end)
	case CSV:
		d.csv.Flush()
		err = d.csv.Error()
	case Table:
		if d.written > 0 {
			err = writeTable(d.w, d.columns, d.rows, d.options.MaxCell)
		}
	case Lines:
	}
	if err != nil {
		return fmt.Errorf("writing documents: %w", err)
	}
	return nil
}

// columnsOf lists the members of documents: id first, the others by name, the service's own left out.
func columnsOf(documents []map[string]json.RawMessage) []string {
	seen := map[string]bool{}
	var columns []string
	for _, document := range documents {
		for name := range document {
			if !seen[name] && !ofService(name) {
				columns = append(columns, name)
			}
			seen[name] = true
		}
	}
	slices.SortFunc(columns, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == "id":
			return -1
		case b == "id":
			return 1
		default:
			return strings.Compare(a, b)
		}
	})
	return columns
}

func ofService(name string) bool {
	return slices.Contains([]string{"_rid", "_self", "_etag", "_attachments", "_ts"}, name)
}

// cell is a value as a person reads it: text without its quotes, everything else as JSON.
func cell(value json.RawMessage) string {
	if value == nil {
		return ""
	}
	var text string
	if value[0] == '"' && json.Unmarshal(value, &text) == nil {
		return text
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return string(value)
	}
	return compact.String()
}

// harmless keeps a spreadsheet from taking text for a formula. Numbers stay numbers.
func harmless(s string) string {
	if s == "" || !strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return s
	}
	if s[0] == '-' && json.Valid([]byte(s)) {
		return s
	}
	return "'" + s
}
