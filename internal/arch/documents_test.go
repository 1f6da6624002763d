package arch_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// TestDocumentsLinkToWhatExists follows every relative link of the documents at the top, in docs and in deploy, to its heading.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, document := range documents(t) {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(content), -1) {
			target, err := url.Parse(match[1])
			if err != nil {
				t.Errorf("%s: link %q: %v", document, match[1], err)
				continue
			}
			if target.IsAbs() || strings.HasPrefix(target.Path, "/") {
				continue
			}
			page := document
			if target.Path != "" {
				page = filepath.Join(filepath.Dir(document), target.Path)
			}
			if _, err := os.Stat(page); err != nil {
				t.Errorf("%s links to %s, which does not exist", document, match[1])
				continue
			}
			if target.Fragment != "" && !headings(t, page)[target.Fragment] {
				t.Errorf("%s links to %s, where is no such heading", document, match[1])
			}
		}
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "deploy/*.md", "deploy/*/*.md", "test/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	return documents
}

// headings are the fragments that GitHub gives a document's headings: lower case, without punctuation, hyphens for spaces, and a number for
// a repetition.
func headings(t *testing.T, document string) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	found, fenced := map[string]bool{}, false
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		level, title, ok := strings.Cut(strings.TrimSpace(line), " ")
		if fenced || !ok || strings.Trim(level, "#") != "" {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, title)
		name := slug
		for n := 1; found[name]; n++ {
			name = slug + "-" + strconv.Itoa(n)
		}
		found[name] = true
	}
	return found
}

// TestDocumentsNameTestsThatExist keeps the tables of attacks and of operations honest: a test that is renamed or deleted must
// not live on in a document.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, match := range declaration.FindAllStringSubmatch(string(content), -1) {
			declared[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Tests of azcosmos itself, which are run from its own module.
	foreign, err := os.ReadFile(filepath.Join(root, "test", "conformance", "oracle.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`"(Test\w+)"`).FindAllSubmatch(foreign, -1) {
		declared[string(match[1])] = true
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	mention := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w+)")
	for _, document := range pages {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range mention.FindAllStringSubmatch(string(content), -1) {
			if !declared[match[1]] {
				t.Errorf("%s names %s, which is no test", document, match[1])
			}
		}
	}
}

// TestDocumentsNameRowsThatExist does the same for the rows of tables, `TestX/the name of a row`: it must be written in a test, or in a corpus.
func TestDocumentsNameRowsThatExist(t *testing.T) {
	t.Parallel()
	rows := strings.Builder{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".txtar") {
			rows.WriteString(`"` + strings.TrimSuffix(filepath.Base(path), ".txtar") + `"`)
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") && (!strings.HasSuffix(path, ".yaml") || !strings.Contains(path, "/test/")) {
			return err
		}
		content, err := os.ReadFile(path)
		rows.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	mention := regexp.MustCompile("`(?:Test|Fuzz|Benchmark)[A-Z]\\w+/([^`]+)`")
	for _, document := range documents {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range mention.FindAllStringSubmatch(string(content), -1) {
			if name := match[1]; !strings.Contains(rows.String(), `"`+name+`"`) && !strings.Contains(rows.String(), "name: "+name+"\n") {
				t.Errorf("%s names the row %q, which is in no test", document, name)
			}
		}
	}
}

// TestEveryAttackHasATest looks at the rows of every table that has a column for tests.
func TestEveryAttackHasATest(t *testing.T) {
	t.Parallel()
	proof := regexp.MustCompile("`(?:Test|Fuzz)[A-Z]|`[^`]+\\.(?:txtar|yaml)`|`make ")
	for _, name := range []string{"threat-model.md", "cosmos-coverage.md"} {
		content, err := os.ReadFile(filepath.Join(root, "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		tests, rows := false, 0
		for line := range strings.Lines(string(content)) {
			cells := strings.Split(strings.TrimSpace(line), " | ")
			switch last := strings.TrimSuffix(cells[len(cells)-1], " |"); {
			case !strings.HasPrefix(line, "|"):
				tests = false
			case strings.HasPrefix(last, "test"):
				tests = true
			case !tests || strings.HasPrefix(line, "|---"):
			case !proof.MatchString(last):
				t.Errorf("%s: the row names no test: %s", name, line)
			default:
				rows++
			}
		}
		if rows == 0 {
			t.Errorf("%s has no table with tests", name)
		}
	}
}
