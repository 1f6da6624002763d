package arch_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// The budgets of the style guide. They are for a reviewer to judge, so nothing fails here.
const (
	fileLines     = 500
	functionLines = 60
	longest       = 10 // how many of each are named
)

// size is a file or function and its length in lines.
type size struct {
	name  string
	lines int
}

// TestSizesAreReported prints the longest files and functions: go test -v -run Sizes ./internal/arch.
func TestSizesAreReported(t *testing.T) {
	t.Parallel()
	var files, functions []size
	var code, tests int
	err := walk(os.DirFS(root), func(name string, content []byte) error {
		lines := bytes.Count(content, []byte("\n"))
		if strings.HasSuffix(name, "_test.go") {
			tests += lines
			return nil
		}
		code += lines
		files = append(files, size{name, lines})
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, name, content, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parsing %s: %w", name, err)
		}
		for _, declaration := range parsed.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok {
				length := set.Position(function.End()).Line - set.Position(function.Pos()).Line + 1
				functions = append(functions, size{name + " " + function.Name.Name, length})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("code %d lines, tests %d lines, tests:code %.2f", code, tests, float64(tests)/float64(code))
	t.Log(summary("files", files, fileLines))
	t.Log(summary("functions", functions, functionLines))
}

func summary(what string, sizes []size, budget int) string {
	slices.SortFunc(sizes, func(a, b size) int { return cmp.Compare(b.lines, a.lines) })
	var text strings.Builder
	over := slices.IndexFunc(sizes, func(s size) bool { return s.lines <= budget })
	fmt.Fprintf(&text, "%d %s, p95 %d lines, %d over %d:", len(sizes), what, sizes[len(sizes)/20].lines, over, budget)
	for _, s := range sizes[:min(longest, len(sizes))] {
		fmt.Fprintf(&text, "\n%6d %s", s.lines, s.name)
	}
	return text.String()
}
