// Command conformance proves that official Cosmos SDKs behave the same through
// the gate as against the database itself.
//
// It starts `cosmosgate dev`, runs the cases under cases/ in every SDK, once
// directly against the stand-in with its key and once through the gate with an
// OIDC token, and compares what the SDKs let their callers see. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// options is the command line.
type options struct {
	binary     string
	ready      string
	only       string
	cases      string
	record     string
	out        string
	requireAll bool
	oracle     bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "", "cosmosgate binary to start (default: built from this tree)")
	flag.StringVar(&o.ready, "ready", "", "ready file of a `cosmosgate dev` that runs already")
	flag.StringVar(&o.only, "sdk", "", "comma-separated SDKs to run (default: all)")
	flag.StringVar(&o.cases, "cases", "", "regular expression on the names of the cases to run")
	flag.StringVar(&o.record, "record", "", "folder to write the requests of each SDK to, instead of comparing")
	flag.StringVar(&o.out, "out", "out", "folder for matrix.md and matrix.json")
	flag.BoolVar(&o.requireAll, "require-all", os.Getenv("REQUIRE_ALL") == "1", "fail where a toolchain is missing (REQUIRE_ALL=1)")
	flag.BoolVar(&o.oracle, "oracle", false, "run azcosmos' own emulator tests through the gate, instead of the cases")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	do := run
	if o.oracle {
		do = runOracle
	}
	failed, err := do(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// run takes every SDK through every case and reports whether one failed.
func run(ctx context.Context, o options) (failed bool, err error) {
	cases, err := loadCases("cases")
	if err != nil {
		return false, err
	}
	if o.cases != "" {
		wanted, err := regexp.Compile(o.cases)
		if err != nil {
			return false, fmt.Errorf("reading -cases: %w", err)
		}
		cases = slices.DeleteFunc(cases, func(c testCase) bool { return !wanted.MatchString(c.Name) })
	}
	target, stop, err := open(ctx, o)
	if err != nil {
		return false, err
	}
	defer stop()
	if err := target.mint(ctx); err != nil {
		return false, err
	}
	report := Report{}
	for _, s := range sdks() {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), s.name) {
			continue
		}
		report.add(ctx, s, target, cases, o)
	}
	if o.record != "" {
		return report.failed(o.requireAll), nil
	}
	if err := report.outlive(ctx, cases, o); err != nil {
		return false, err
	}
	report.compare(cases)
	return report.failed(o.requireAll), report.write(o.out)
}

// cacheFolder is where toolchains and installed SDKs live: outside the clone.
func cacheFolder() (string, error) {
	root, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a cache folder: %w", err)
	}
	folder := filepath.Join(root, "cosmosgate", "conformance")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	return folder, nil
}
