package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/policy"
)

// fence is a fenced block of a document: what follows the backticks, and the
// text.
type fence struct{ info, text string }

// fences returns the fenced blocks of each section of a document.
func fences(document string) map[string][]fence {
	sections := map[string][]fence{}
	for section := range strings.SplitSeq(document, "\n## ") {
		title, rest, _ := strings.Cut(section, "\n")
		for {
			_, after, found := strings.Cut(rest, "\n```")
			if !found {
				break
			}
			info, body, _ := strings.Cut(after, "\n")
			text, tail, _ := strings.Cut(body, "```")
			sections[title] = append(sections[title], fence{info, text})
			rest = tail
		}
	}
	return sections
}

func TestEveryExampleInTheDocumentationDoesWhatItSays(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := fences(string(document))
	const least = 9
	if len(sections) < least {
		t.Fatalf("want at least %d sections with examples, got %d", least, len(sections))
	}
	for title, blocks := range sections {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			sources := []policy.Source{{Name: "policy.yaml", Text: []byte(blocks[0].text)}}
			if len(blocks) == 2 && blocks[1].info == "cedar" {
				sources = append(sources, policy.Source{Name: "policy.cedar", Text: []byte(blocks[1].text)})
			}
			set, err := policy.ParseAll(sources, policy.Options{})
			if blocks[0].info == "yaml fault" {
				if diff := cmp.Diff(blocks[1].text, errorText(err)+"\n"); diff != "" {
					t.Error("faults (-want +got):", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range set.Test(noon()) {
				if !r.Passed {
					t.Errorf("%s: %s", r.Position, r.Failure)
				}
			}
			if len(blocks) > len(sources) {
				t.Errorf("want one example a section, got %d", len(blocks))
			}
		})
	}
}
