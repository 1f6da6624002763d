package faults_test

import (
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

// theAnswers stands for all rows of answers, which share a gate.
const theAnswers = "answers of the service"

// table is all faults, those that take longest first.
func table() []row {
	return []row{
		{"the service hangs", playHang},
		{"the service hangs within the body", playHangWithinBody},
		{"identity endpoint fails at start", playEndpoint(devidp.Fault{Status: http.StatusInternalServerError})},
		{"identity endpoint is slow", playEndpointSlow},
		{"identity endpoint issues expired tokens", playEndpoint(devidp.Fault{Expired: true})},
		{"identity endpoint fails later", playEndpointFailsLater},
		{"keys rotated twice within half a minute", playKeysRotatedTwice},
		{"10,000 idle connections", playIdleConnections},
		{theAnswers, playAnswers},
		{"reset within the body", playBrokenBody},
		{"an upstream token ends early", playTokenRefusedOnce},
		{"identity provider down, keys in hand", playProviderDownWarm},
		{"identity provider down at start", playProviderDownCold},
		{"identity provider is slow at start", playProviderSlow},
		{"identity provider publishes garbage", playProviderGarbage},
		{"keys rotated", playKeysRotated},
		{"key withdrawn mid-flight", playKeyWithdrawn},
		{"issuer's clock ahead", playIssuerClockAhead},
		{"issuer's clock behind", playIssuerClockBehind},
		{"no account document at start", playNoDocumentAtStart},
		{"no account document later", playNoDocumentLater},
		{"audit disk full", playDiskFull},
		{"caller leaves before the answer", playCallerLeavesEarly},
		{"caller leaves within the answer", playCallerLeavesMidway},
		{"a body breaks after it was let in", playBodyBreaks},
		{"certificate broken on disk", playBadCertificate},
		{"policy broken on disk", playBadPolicy},
		{"drain under load", playDrain},
		{"drain time too short", playDrainTooLong},
		{"killed mid-load", playKill},
	}
}

// TestMain lets more rows run at once than there are processors, unless -parallel says otherwise: most of them wait.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "12") // the flag exists in every test
	m.Run()
}

func TestFaults(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, r := range table() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.play(t, binary)
		})
	}
}

// build makes the binary, unless GATE names one.
func build(t *testing.T) string {
	t.Helper()
	if binary := os.Getenv("GATE"); binary != "" {
		return binary
	}
	binary := filepath.Join(t.TempDir(), "cosmosgate")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/cosmosgate")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the gate: %v\n%s", err, out)
	}
	return binary
}

// TestOperatorsPageHasEveryRow keeps docs/faults.md and the table in step, both ways.
func TestOperatorsPageHasEveryRow(t *testing.T) {
	t.Parallel()
	var want []string
	for _, r := range table() {
		if r.name != theAnswers {
			want = append(want, r.name)
		}
	}
	for _, a := range answers() {
		want = append(want, a.name)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, cell := range regexp.MustCompile("(?m)\\| `([^`]+)` \\|$").FindAllStringSubmatch(string(page), -1) {
		if !strings.HasPrefix(cell[1], "Test") { // the clock's rows are played elsewhere
			got = append(got, cell[1])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-played +documented):\n%s", diff)
	}
}
