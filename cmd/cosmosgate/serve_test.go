package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cosmosgate/cosmosgate/directory"
)

func TestTheLogLevelFollowsTheFileAndAFaultyFileChangesNothing(t *testing.T) {
	t.Parallel()
	valid, err := os.ReadFile(filepath.Join("..", "..", "internal", "config", "testdata", "valid.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cosmosgate.yaml")
	g := &gate{
		log: slog.New(slog.DiscardHandler), level: new(slog.LevelVar),
		rereads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reloads_total", Help: "Reloads."}, []string{"result"}),
	}
	for _, step := range []struct {
		file              string
		want              slog.Level
		success, failures float64
	}{
		{string(valid) + "log: {level: debug}\n", slog.LevelDebug, 1, 0},
		{"log: {level: loud}\n", slog.LevelDebug, 1, 1},
		{string(valid), slog.LevelInfo, 2, 1},
	} {
		if err := os.WriteFile(path, []byte(step.file), ownerOnly); err != nil {
			t.Fatal(err)
		}
		g.reread(path)
		if got := g.level.Level(); got != step.want {
			t.Errorf("level = %v, want %v", got, step.want)
		}
		success, failures := testutil.ToFloat64(g.rereads.WithLabelValues("success")), testutil.ToFloat64(g.rereads.WithLabelValues("failure"))
		if success != step.success || failures != step.failures {
			t.Errorf("reloads = %v good, %v bad; want %v, %v", success, failures, step.success, step.failures)
		}
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	err := serve(context.Background(), filepath.Join(t.TempDir(), "none.yaml"), os.Stderr)
	if f, ok := err.(*failure); !ok || f.code != exitBadConfig { //nolint:errorlint // serve returns it unwrapped
		t.Errorf("serve() = %v, want a bad configuration", err)
	}
}

func TestAServerThatCannotUseWhatItsFileNamesSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("opening directory: %w", directory.ErrInUse), "stop the other gate, or give this one a directory.path of its own in gate.yaml"},
		{fmt.Errorf("opening listen.admin: %w", syscall.EADDRINUSE), "something else listens there: stop it, or change listen in gate.yaml"},
		{fmt.Errorf("reading policy: %w", fs.ErrPermission), "give the user that runs the gate the right to it, or correct the path in gate.yaml"},
		{
			shortenedFrom("the account of gate/directory", &azcore.ResponseError{StatusCode: http.StatusNotFound}),
			`make the container, or correct its name in gate.yaml: docs/operations.md, "How do several gates share one directory?"`,
		},
		{
			shortenedFrom("the account of gate/directory", &azcore.ResponseError{StatusCode: http.StatusForbidden}),
			`let the identity of directory.cosmos read and write there: docs/operations.md, "How do several gates share one directory?"`,
		},
		{
			fmt.Errorf("reading the container: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
			"see whether it can be reached from here, and start the gate again: it lets nobody in without the newest state",
		},
		{fmt.Errorf("reading policy: %w", fs.ErrNotExist), "make it, or correct the path in gate.yaml"},
	} {
		if diff := cmp.Diff(row.want, startHint(row.err, "gate.yaml")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", row.err, diff)
		}
	}
}
