package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/text/width"
)

// writeTable writes rows below their titles, in columns as wide as their widest cell.
func writeTable(w io.Writer, titles []string, rows [][]string, maxCell int) error {
	all := append([][]string{upper(titles)}, rows...)
	widths := make([]int, len(titles))
	for _, row := range all {
		for i := range row {
			row[i] = cut(visible(row[i]), maxCell)
			widths[i] = max(widths[i], columnsWide(row[i]))
		}
	}
	var line strings.Builder
	for _, row := range all {
		line.Reset()
		for i, c := range row {
			line.WriteString(c)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-columnsWide(c)+gap))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err //nolint:wrapcheck // Close says what was written
		}
	}
	return nil
}

const gap = 2

func upper(titles []string) []string {
	all := make([]string, len(titles))
	for i, t := range titles {
		all[i] = strings.ToUpper(t)
	}
	return all
}

// visible replaces what would move the cursor or the columns.
func visible(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0:
			return '?'
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // marks that turn the direction of text
			return '?'
		default:
			return r
		}
	}, s)
}

func cut(s string, most int) string {
	if most <= 0 || columnsWide(s) <= most {
		return s
	}
	wide := 0
	for i, r := range s {
		if wide += runeWide(r); wide > most-1 {
			return s[:i] + "…"
		}
	}
	return s
}

func columnsWide(s string) int {
	wide := 0
	for _, r := range s {
		wide += runeWide(r)
	}
	return wide
}

// runeWide is how many columns a terminal gives to a rune: two to the wide ones of East Asia.
func runeWide(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2 //nolint:mnd // two columns
	default:
		return 1
	}
}

// IsTerminal says whether somebody is looking at what is written, so that it may be cut and coloured.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Paint colours text for a terminal that wants colours (https://no-color.org); elsewhere it returns it as it is.
func Paint(w io.Writer, c Colour, text string) string {
	if !IsTerminal(w) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Colour is a colour of terminals.
type Colour string

// The colours.
const (
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
)
