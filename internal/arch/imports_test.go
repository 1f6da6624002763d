package arch_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	module = "github.com/cosmosgate/cosmosgate"
	root   = "../.."
)

// rule says what the package in a folder may import besides the standard library.
type rule struct {
	ours   []string // folders of this module
	others []string // modules, or paths within them
	any    bool     // everything
}

// rules is the table of docs/architecture.md. A package that is not in it is a violation too: decide where it belongs first.
//
// Leaves know nothing of each other, so that each can be read, tested and used alone. The proxy declares the interfaces that it
// consumes; only the command puts the parts together, and only it reads configuration. The stand-in must not share the proxy's
// reading of the wire, or they would agree on the same mistake.
func rules() map[string]rule {
	const (
		prometheus = "github.com/prometheus/client_golang/prometheus"
		jose       = "github.com/go-jose/go-jose/v4"
		yaml       = "go.yaml.in/yaml/v3"
		lru        = "github.com/hashicorp/golang-lru/v2"
		uuid       = "github.com/google/uuid"
		azcore     = "github.com/Azure/azure-sdk-for-go/sdk/azcore"
		azcosmos   = "github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
		rate       = "golang.org/x/time/rate"
		azkeys     = "github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	)
	const (
		keyring = "github.com/zalando/go-keyring"
		windows = "golang.org/x/sys/windows"
		unix    = "golang.org/x/sys/unix"
	)
	return map[string]rule{
		"cosmos":            {},
		"cosmos/sql":        {},
		"policy":            {others: []string{"github.com/cedar-policy/cedar-go", yaml, lru}},
		"audit":             {others: []string{prometheus}},
		"certs":             {others: []string{prometheus}},
		"directory":         {others: []string{"go.etcd.io/bbolt", uuid, prometheus, "golang.org/x/text", unix}},
		"directory/logtest": {ours: []string{"directory"}, others: []string{"github.com/google/go-cmp"}},
		"directory/journal": {ours: []string{"directory"}, others: []string{azcore, azcosmos, prometheus}},
		"credential":        {others: []string{azcore, "golang.org/x/oauth2", "github.com/coreos/go-oidc/v3", jose, keyring, windows}},
		"identity":          {ours: []string{"directory"}, others: []string{"github.com/coreos/go-oidc/v3", jose, lru, uuid, prometheus}},
		"identity/feeds":    {ours: []string{"directory", "identity"}, others: []string{prometheus}},
		"identity/seal":     {others: []string{azcore, azkeys}},
		"identity/sts":      {ours: []string{"directory", "identity", "identity/seal"}, others: []string{jose, lru, rate, prometheus}},
		"scim":              {ours: []string{"directory"}, others: []string{prometheus, rate, uuid}},
		"proxy":             {ours: []string{"cosmos", "cosmos/sql", "policy", "audit", "identity"}, others: []string{azcore, uuid, prometheus, rate}},
		"proxy/upstream":    {others: []string{azcore, "github.com/Azure/azure-sdk-for-go/sdk/azidentity"}},

		"internal/arch":     {},
		"internal/profile":  {others: []string{yaml}},
		"internal/terminal": {others: []string{"golang.org/x/text/width"}},
		"internal/connect":  {ours: []string{"cosmos"}},
		"internal/doctor":   {ours: []string{"credential"}, others: []string{azcore, "github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"}},
		"internal/config":   {others: []string{yaml}},
		"internal/control":  {},
		"internal/server":   {others: []string{prometheus, "golang.org/x/net/http2/hpack"}},
		"internal/devidp":   {others: []string{jose, uuid}},

		"internal/emulator":           {ours: []string{"cosmos/sql", "internal/emulator/document", "internal/emulator/hybridrow", "internal/emulator/query"}, others: []string{jose, uuid}},
		"internal/emulator/document":  {},
		"internal/emulator/hybridrow": {},
		"internal/sighting":           {ours: []string{"internal/emulator/hybridrow"}},
		"internal/emulator/query":     {ours: []string{"cosmos/sql", "internal/emulator/document"}},

		"cmd/cosmosgate": {any: true},
	}
}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	t.Parallel()
	got, err := violations(os.DirFS(root), rules())
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range got {
		t.Error(violation)
	}
}

func TestForbiddenImportsAreFound(t *testing.T) {
	t.Parallel()
	got, err := violations(os.DirFS("testdata/forbidden"), rules())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"cosmos/leaf.go: cosmos must not import github.com/cosmosgate/cosmosgate/policy",
		"helper/new.go: package helper has no rule",
		"policy/foreign.go: policy must not import github.com/stretchr/testify/assert",
		"proxy/edge.go: proxy must not import github.com/cosmosgate/cosmosgate/internal/config",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

// TestTheArchitecturePageShowsTheTable keeps docs/architecture.md, which is what people read, the same as the table.
func TestTheArchitecturePageShowsTheTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string][]string{}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		const columns = 3
		if len(cells) != columns || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		var imports []string
		for _, match := range code.FindAllStringSubmatch(cells[2], -1) {
			imports = append(imports, match[1])
		}
		slices.Sort(imports)
		for _, match := range code.FindAllStringSubmatch(cells[0], -1) {
			shown[match[1]] = imports
		}
	}
	want := map[string][]string{}
	for folder, r := range rules() {
		want[folder] = slices.Sorted(slices.Values(r.ours))
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("docs/architecture.md (-table +page):\n%s", diff)
	}
}

// violations reads the imports of every Go file that belongs to the product: no tests, no test data, no nested modules.
func violations(tree fs.FS, table map[string]rule) ([]string, error) {
	var found []string
	err := walk(tree, func(name string, content []byte) error {
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, content, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("parsing %s: %w", name, err)
		}
		folder := path.Dir(name)
		allowed, ok := table[folder]
		if !ok {
			found = append(found, fmt.Sprintf("%s: package %s has no rule", name, folder))
			return nil
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("reading an import of %s: %w", name, err)
			}
			if !allowed.permits(imported) {
				found = append(found, fmt.Sprintf("%s: %s must not import %s", name, folder, imported))
			}
		}
		return nil
	})
	slices.Sort(found)
	return found, err
}

func (r rule) permits(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if r.any || !strings.Contains(first, ".") { // the standard library has no dot in its first part
		return true
	}
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		return slices.Contains(r.ours, ours)
	}
	return slices.ContainsFunc(r.others, func(other string) bool {
		return imported == other || strings.HasPrefix(imported, other+"/")
	})
}

// walk visits the Go files of the module at the root of a tree.
func walk(tree fs.FS, visit func(name string, content []byte) error) error {
	return fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(tree, name, entry.Name())
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		return visit(name, content)
	})
}

// skip leaves out what the go command leaves out.
func skip(tree fs.FS, name, base string) error {
	if name == "." {
		return nil
	}
	if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	return nil
}
