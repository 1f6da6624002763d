package cosmos_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// TestEveryRequestOfTheConformanceRunIsUnderstood holds the classifier against what five SDKs sent in test/conformance (make
// record): each request is an operation of the data plane that the gate, reading what it would send on, takes for the same.
// The exceptions are azcosmos writing an astral character in a partition key as \U…, which is not JSON.
func TestEveryRequestOfTheConformanceRunIsUnderstood(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob(filepath.Join("..", "test", "conformance", "testdata", "requests", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing was recorded: %v", err)
	}

	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()

			for _, r := range conformance(t, file) {
				op, err := classify(t, r.sent())
				if err != nil {
					if r.Case != "a partition key beyond the basic plane" {
						t.Errorf("%s: %s %s is refused: %v", r.Case, r.Method, r.Target, err)
					}

					continue
				}

				if op.Type == cosmos.OpUnknown {
					t.Errorf("%s: %s %s is an unknown operation", r.Case, r.Method, r.Target)
				}

				if op.Disposition == cosmos.Forward {
					checkSentOn(t, op, r.Body+string(r.Binary))
				}
			}
		})
	}
}

// observed is one request of the conformance run.
type observed struct {
	Case, Method, Target string
	Header               map[string][]string
	Body                 string
	Binary               []byte
	// Letters is the length of a body that was left out.
	Letters int
}

func (o observed) sent() sent {
	var headers []string

	for name, values := range o.Header {
		if name == "Content-Length" {
			continue
		}

		for _, value := range values {
			headers = append(headers, name+": "+value)
		}
	}

	slices.Sort(headers)

	return sent{o.Method, o.Target, headers, o.Body + string(o.Binary)}
}

func conformance(t *testing.T, file string) []observed {
	t.Helper()

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	var all []observed
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}

	return slices.DeleteFunc(all, func(o observed) bool { return o.Letters > 0 })
}
