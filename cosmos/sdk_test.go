package cosmos_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// recording is one request that an SDK put on the wire. The files below testdata/sdk were recorded from azcosmos 1.5.0,
// @azure/cosmos 4.10.0 and azure-cosmos 4.17.1 (and the query plan of 4.9.0) talking to a server that answers everything,
// with dates, ids and credentials made constant.
type recording struct {
	Method, Target string
	Headers        []string
	Body           string
	// Want is what it must be taken for: the operation, its actions, and the partitions it is confined to.
	Want string
}

func TestRecordedRequestsOfTheSDKsAreUnderstood(t *testing.T) {
	t.Parallel()

	for _, sdk := range []string{"go", "javascript", "python"} {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()

			for _, r := range recordings(t, sdk) {
				s := sent{r.Method, r.Target, r.Headers, r.Body}
				got := understood(t, s)

				if diff := cmp.Diff(r.Want, got); diff != "" {
					t.Errorf("%s %s %s (-want +got)\n%s", r.Method, r.Target, r.Body, diff)
				}
			}
		})
	}
}

// TestWhatIsSentOnMeansTheSame is the property that makes it safe to decide on the tuple: the gate, reading its own
// upstream request, comes to the same operation, and sends that one on unchanged.
func TestWhatIsSentOnMeansTheSame(t *testing.T) {
	t.Parallel()

	for _, sdk := range []string{"go", "javascript", "python"} {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()

			for _, r := range recordings(t, sdk) {
				op, err := classify(t, sent{r.Method, r.Target, r.Headers, r.Body})
				if err == nil && op.Disposition == cosmos.Forward {
					checkSentOn(t, op, r.Body)
				}
			}
		})
	}
}

// checkSentOn fails the test unless the upstream request of op reads as op again, and is what that one would send.
func checkSentOn(t *testing.T, op *cosmos.Operation, body string) {
	t.Helper()

	upstream := again(op, body)

	second, err := classify(t, upstream)
	if err != nil {
		t.Fatalf("the upstream request %s %s is refused: %v", upstream.method, upstream.target, err)
	}

	if diff := cmp.Diff(op, second, sameOperation()); diff != "" {
		t.Fatalf("%s %s means another thing upstream (-sent +read)\n%s", upstream.method, upstream.target, diff)
	}

	if second.UpstreamPath() != upstream.target {
		t.Fatalf("path %s becomes %s", upstream.target, second.UpstreamPath())
	}

	o := cosmos.UpstreamOptions{ActivityID: activityID}
	if diff := cmp.Diff(op.UpstreamHeader(o), second.UpstreamHeader(o)); diff != "" {
		t.Fatalf("headers change (-first +second)\n%s", diff)
	}
}

func recordings(t *testing.T, sdk string) []recording {
	t.Helper()

	file, err := os.Open(filepath.Join("testdata", "sdk", sdk+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = file.Close() }()

	var all []recording

	for lines := bufio.NewScanner(file); lines.Scan(); {
		var r recording
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}

		all = append(all, r)
	}

	if len(all) == 0 {
		t.Fatal("nothing was recorded")
	}

	return all
}

// understood puts into words what a request was taken for.
func understood(t *testing.T, s sent) string {
	t.Helper()

	op, err := classify(t, s)
	if err != nil {
		return nativeError(t, err).Error()
	}

	switch {
	case op.Disposition != cosmos.Forward && op.Refusal != nil:
		return op.Type.String() + " " + op.Refusal.Error()
	case op.Disposition != cosmos.Forward:
		return op.Type.String() + " answered"
	}

	where := "unconfined"
	if op.NoData {
		where = "no data"
	}

	for i, key := range op.PartitionKeys {
		if i == 0 {
			where = "in"
		}

		where += " " + key.Header()
	}

	text := op.Type.String() + ": " + strings.Join(op.Actions.Names(), "+")
	if op.ContentActions != 0 {
		text += " (content: " + strings.Join(op.ContentActions.Names(), "+") + ")"
	}

	return text + ", " + where
}
