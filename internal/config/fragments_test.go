package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/internal/config"
)

// TestFragmentsOfDocumentsAreRead decodes the pieces of configuration that the operators' pages show: each key exists where it stands, and
// takes such a value. That a piece alone is no whole configuration is no fault here.
func TestFragmentsOfDocumentsAreRead(t *testing.T) {
	t.Parallel()
	notRead := regexp.MustCompile(`unknown key|is given twice| is not (?:a (?:duration|time|list|group|number) |a number|a list|true or|text)|mapping|did not find|could not find`)
	found := 0
	for _, page := range []string{"operations", "keys", "deploy"} {
		text, err := os.ReadFile("../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, fragment := range fragments(string(text)) {
			if strings.HasPrefix(fragment, "kind: ") {
				continue // policy
			}
			if strings.HasPrefix(fragment, "oauth:") {
				fragment = "connections:\n- name: corp\n  " + strings.ReplaceAll(fragment, "\n", "\n  ")
			}
			found++
			_, err := config.Parse(page, []byte(fragment))
			if err == nil {
				continue
			}
			for line := range strings.Lines(err.Error()) {
				if notRead.MatchString(line) {
					t.Errorf("docs/%s.md: %s\n%s", page, line, fragment)
				}
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d fragments were found", found)
	}
}

// fragments are the blocks of YAML in a page, without the indentation of the list that a block is part of.
func fragments(page string) []string {
	var all []string
	block := regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")
	for _, match := range block.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.TrimPrefix(strings.ReplaceAll("\n"+match[2], "\n"+match[1], "\n"), "\n"))
	}
	return all
}
