package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cosmosgate": main, "sdk-client": sdkClient, "key-client": keyClient})
}

// newHostID begins the client ids of a world that shares its process with others.
func newHostID() string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// TestCommandLine runs the scripts in testdata/script: each is what an operator would type, and what they see.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/cache")
			e.Setenv("HOME", e.WorkDir)
			docs, err := filepath.Abs("../../docs")
			e.Setenv("DOCS", docs)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"authority": authority,
			"await":     await,
			"jsonenv":   jsonEnv,
			"exits":     exits,
			"stopwatch": stopwatch,
		},
	})
}

// await FILE waits until the file exists.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	const bound, pause = 30 * time.Second, 10 * time.Millisecond
	for until := time.Now().Add(bound); time.Now().Before(until); time.Sleep(pause) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s did not appear", args[0])
}

// jsonenv FILE NAME PATH sets an environment variable to a value of a JSON file, such as gate.endpoint.
func jsonEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: jsonenv FILE NAME PATH")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for step := range strings.SplitSeq(args[2], ".") {
		m, ok := v.(map[string]any)
		if !ok {
			ts.Fatalf("%s: no %s", args[0], args[2])
		}
		v = m[step]
	}
	s, ok := v.(string)
	if !ok {
		ts.Fatalf("%s: %s is not text", args[0], args[2])
	}
	ts.Setenv(args[1], s)
}

// exits CODE COMMAND… runs a command line in this process and checks its exit code; output is what stdout and stderr see.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	const least = 2
	if neg || len(args) < least || args[1] != "cosmosgate" {
		ts.Fatalf("usage: exits CODE cosmosgate ARGUMENT…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		_, code, _ = strings.Cut(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

func TestAnInterruptEndsADevelopmentGateInOrder(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(context.Background()) // as an interrupt does
	defer stop()
	state := t.TempDir()
	var log strings.Builder
	err := runDev(ctx, devOptions{host: "127.0.0.1", state: state, hostID: newHostID()}, &log, func(*ready) error {
		stop()
		return nil
	})
	if err != nil {
		t.Errorf("runDev() = %v, want an orderly end\n%s", err, log.String())
	}
	if _, err := os.Stat(state + "/documents.json"); err != nil {
		t.Errorf("the documents were not kept: %v", err)
	}
}
