package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one change. Its name holds no line number, so that it stays the same while the file around it changes.
type mutant struct {
	id   int
	name string
}

// switches is the file that turns one mutant on, compiled into the package. With MUTANTS_MET it writes down, once each, which mutants would have
// been told apart from the original where they stand: all that are reached, but of those that differ at an edge only the ones that reach it.
const switches = `package policy

import (
	"os"
	"strconv"
	"sync/atomic"
)

var (
	mutantOn  = func() int { id, _ := strconv.Atoi(os.Getenv("MUTANT")); return id }()
	mutantMet [%d]atomic.Bool
	mutantLog = func() *os.File {
		file, _ := os.OpenFile(os.Getenv("MUTANTS_MET"), os.O_APPEND|os.O_WRONLY, 0)
		return file
	}()
)

func mutantMeet(id int) {
	if mutantLog != nil && !mutantMet[id].Swap(true) {
		_, _ = mutantLog.WriteString(strconv.Itoa(id) + "\n")
	}
}

func mutantFlip(id int, value bool) bool {
	mutantMeet(id)
	return value != (mutantOn == id)
}

func mutantEdge(id int, value, equal bool) bool {
	if !equal {
		return value
	}
	mutantMeet(id)
	return value != (mutantOn == id)
}

func mutantAnd(id int, a bool, b func() bool) bool {
	mutantMeet(id)
	if mutantOn == id {
		return a || b()
	}
	return a && b()
}

func mutantOr(id int, a bool, b func() bool) bool {
	mutantMeet(id)
	if mutantOn == id {
		return a && b()
	}
	return a || b()
}
`

// build compiles the tests with every mutant in them.
func build(ctx context.Context, folder string) ([]mutant, string, error) {
	absolute, err := filepath.Abs(filepath.Join(root, subject))
	if err != nil {
		return nil, "", fmt.Errorf("finding the sources: %w", err)
	}
	replace := map[string]string{}
	put := func(name, text string) error {
		replace[filepath.Join(absolute, name)] = filepath.Join(folder, name)
		return os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600)
	}
	w := &writer{names: map[string]int{}}
	for _, name := range deciding() {
		text, err := w.file(filepath.Join(absolute, name))
		if err == nil {
			err = put(name, text)
		}
		if err != nil {
			return nil, "", fmt.Errorf("mutating %s: %w", name, err)
		}
	}
	var overlay []byte
	if err = put("mutants.go", fmt.Sprintf(switches, len(w.mutants)+1)); err == nil {
		overlay, err = json.Marshal(map[string]any{"Replace": replace})
	}
	file, binary := filepath.Join(folder, "overlay.json"), filepath.Join(folder, "mutants.test")
	if err == nil {
		err = os.WriteFile(file, overlay, 0o600)
	}
	if err != nil {
		return nil, "", fmt.Errorf("writing the mutants: %w", err)
	}
	if out, err := goCommand(ctx, "test", "-c", "-overlay", file, "-o", binary, "./"+subject); err != nil {
		return nil, "", fmt.Errorf("building the mutants: %w\n%s", err, out)
	}
	return w.mutants, binary, nil
}

// writer writes files with switches around their comparisons.
type writer struct {
	mutants []mutant
	names   map[string]int
	base    string
	in      string // function
	text    string
	places  *token.File
	edits   []edit
}

// edit puts text in place of some bytes. Of edits at one place, those with the lower order come first.
type edit struct {
	at, length, order int
	text              string
}

func (w *writer) file(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("reading: %w", err)
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("parsing: %w", err)
	}
	w.base, w.text, w.places, w.edits = filepath.Base(name), string(text), files.File(parsed.Pos()), nil
	for _, declaration := range parsed.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Body == nil {
			continue
		}
		w.in = function.Name.Name
		ast.Inspect(function.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				w.binary(n)
			case *ast.UnaryExpr:
				w.unary(n)
			}
			return true
		})
	}
	slices.SortStableFunc(w.edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order)) })
	var out strings.Builder
	last := 0
	for _, e := range w.edits {
		out.WriteString(w.text[last:e.at] + e.text)
		last = e.at + e.length
	}
	out.WriteString(w.text[last:])
	return out.String(), nil
}

// source is the text of a node, on one line.
func (w *writer) source(n ast.Node) string {
	return strings.Join(strings.Fields(w.text[w.places.Offset(n.Pos()):w.places.Offset(n.End())]), " ")
}

func (w *writer) add(n ast.Node, becomes string) int {
	name := fmt.Sprintf("%s %s: %s: %s", w.base, w.in, w.source(n), becomes)
	w.names[name]++
	if again := w.names[name]; again > 1 {
		name += fmt.Sprintf(" (%d)", again)
	}
	m := mutant{id: len(w.mutants) + 1, name: name}
	w.mutants = append(w.mutants, m)
	return m.id
}

// around puts text before and after a node: outer nodes are visited first, so that their text comes first and ends last.
func (w *writer) around(n ast.Node, before, after string) {
	order := len(w.edits)
	const closing = -1 << 30 // what ends comes before what begins
	w.edits = append(w.edits,
		edit{at: w.places.Offset(n.Pos()), order: order, text: before},
		edit{at: w.places.Offset(n.End()), order: closing - order, text: after})
}

// opposite is what a comparison is flipped to, and neighbour what it becomes at its edge.
func opposite(op token.Token) (flipped, neighbour token.Token) {
	switch op {
	case token.EQL:
		return token.NEQ, token.ILLEGAL
	case token.NEQ:
		return token.EQL, token.ILLEGAL
	case token.LSS:
		return token.GEQ, token.LEQ
	case token.LEQ:
		return token.GTR, token.LSS
	case token.GTR:
		return token.LEQ, token.GEQ
	case token.GEQ:
		return token.LSS, token.GTR
	default:
		return token.ILLEGAL, token.ILLEGAL
	}
}

func (w *writer) binary(n *ast.BinaryExpr) {
	switch n.Op {
	case token.LAND, token.LOR:
		name, becomes := "mutantAnd", "||"
		if n.Op == token.LOR {
			name, becomes = "mutantOr", "&&"
		}
		id := w.add(n, becomes)
		w.around(n, fmt.Sprintf("%s(%d, ", name, id), ") })")
		w.edits = append(w.edits, edit{at: w.places.Offset(n.OpPos), length: len(n.Op.String()), text: ", func() bool { return ("})
	default:
		flipped, neighbour := opposite(n.Op)
		if flipped == token.ILLEGAL {
			return
		}
		id := w.add(n, flipped.String())
		w.around(n, fmt.Sprintf("mutantFlip(%d, ", id), ")")
		if neighbour != token.ILLEGAL {
			id := w.add(n, neighbour.String())
			w.around(n, fmt.Sprintf("mutantEdge(%d, ", id), fmt.Sprintf(", %s == %s)", w.source(n.X), w.source(n.Y)))
		}
	}
}

func (w *writer) unary(n *ast.UnaryExpr) {
	if n.Op != token.NOT {
		return
	}
	id := w.add(n, "not negated")
	w.around(n, fmt.Sprintf("mutantFlip(%d, ", id), ")")
}
