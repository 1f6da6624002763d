package config_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//nolint:gochecknoglobals // the testing package's way to take a flag
var update = flag.Bool("update", false, "write docs/config.md anew")

const page = "../../docs/config.md"

const preface = `# Configuration

One YAML file, given with ` + "`--config`" + `. Unknown keys are errors; ` + "`cosmosgate check --config FILE`" + ` reports every fault at once,
each with its line, and opens no network connection. Options that weaken the gate begin with ` + "`insecure_`" + `. Secrets are
references, ` + "`{file: PATH}` or `{env: NAME}`" + `, never values. Policy, certificates, trust bundles and the log level are read again
when they change and on SIGHUP; everything else needs a restart.

This page is made from the comments in ` + "`internal/config/config.go`" + ` (` + "`go test ./internal/config -update`" + `). A complete example:

` + "```yaml\n"

func TestTheConfigurationPageSaysWhatTheCodeReads(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("testdata/valid.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := preface + string(example) + "```\n" + reference(t)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("run go test ./internal/config -update (-want +got):\n%s", diff)
	}
}

// reference renders a table for each struct, in the order of the source, from its comments and yaml tags.
func reference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"config.go", "directory.go", "feeds.go", "keys.go", "sts.go", "secret.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			spec, ok := g.Specs[0].(*ast.TypeSpec)
			if !ok {
				continue
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				b.WriteString("\n## " + spec.Name.Name + "\n\n" + oneLine(g.Doc) + "\n\n| key | type | meaning |\n|---|---|---|\n")
				for _, f := range s.Fields.List {
					tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
					b.WriteString("| `" + tag + "` | " + typeName(f.Type) + " | " + oneLine(f.Doc) + " |\n")
				}
			}
		}
	}
	return b.String()
}

func oneLine(c *ast.CommentGroup) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(c.Text()), " "), "|", `\|`)
}

func typeName(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		if ast.IsExported(x.Name) {
			return "[" + x.Name + "](#" + strings.ToLower(x.Name) + ")"
		}
		return x.Name
	case *ast.StarExpr:
		return typeName(x.X)
	case *ast.ArrayType:
		return "list of " + typeName(x.Elt)
	case *ast.MapType:
		return "map of name to " + typeName(x.Value)
	case *ast.SelectorExpr:
		return map[string]string{"Duration": "duration (`30s`, `5m`)", "Time": "RFC 3339 time"}[x.Sel.Name]
	default:
		return ""
	}
}
