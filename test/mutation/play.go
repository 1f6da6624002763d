package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// test is a test of the subject: how long it takes, and which mutants can make a difference to it.
type test struct {
	name  string
	takes time.Duration
	meets []bool // by id
}

var errSurvey = errors.New("a test fails without a mutant")

// survey runs each test by itself, and returns them, the quickest first.
func survey(ctx context.Context, binary, folder string, mutants int) ([]test, error) {
	listed, err := testCommand(ctx, binary, 0, "-test.list", ".").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests: %w", err)
	}
	var tests []test
	for name := range strings.Lines(string(listed)) {
		if name = strings.TrimSpace(name); !strings.HasPrefix(name, "Benchmark") {
			tests = append(tests, test{name: name, meets: make([]bool, mutants+1)})
		}
	}
	err = each(ctx, len(tests), func(i int) error { return tests[i].meet(ctx, binary, folder) })
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(a.takes, b.takes) })
	return tests, nil
}

// meet runs the test without a mutant and notes what it meets.
func (t *test) meet(ctx context.Context, binary, folder string) error {
	file := filepath.Join(folder, t.name+".met")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return fmt.Errorf("preparing %s: %w", t.name, err)
	}
	cmd := testCommand(ctx, binary, 0, "-test.run", "^"+t.name+"$")
	cmd.Env = append(cmd.Env, "MUTANTS_MET="+file)
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w\n%s", errSurvey, t.name, err, out)
	}
	t.takes = time.Since(begun)
	met, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading what %s meets: %w", t.name, err)
	}
	for line := range strings.Lines(string(met)) {
		id, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || id >= len(t.meets) {
			return fmt.Errorf("%s meets a mutant that there is not: %q", t.name, line)
		}
		t.meets[id] = true
	}
	return nil
}

// testCommand runs the test binary where the sources are, with a mutant turned on; 0 for none.
func testCommand(ctx context.Context, binary string, mutant int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(root, subject)
	cmd.Env = append(os.Environ(), "MUTANT="+strconv.Itoa(mutant))
	return cmd
}

// each calls do for 0 to n-1, as many at a time as there are processors.
func each(ctx context.Context, n int, do func(i int) error) error {
	var group sync.WaitGroup
	next := make(chan int)
	faults := make([]error, n)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range next {
				faults[i] = do(i)
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	group.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not all was played: %w", err)
	}
	return errors.Join(faults...)
}

// play runs against each mutant the tests that meet it, and returns the names of those that no test noticed.
func play(ctx context.Context, binary string, tests []test, mutants []mutant, verbose bool) ([]string, error) {
	var mu sync.Mutex
	var survivors []string
	err := each(ctx, len(mutants), func(i int) error {
		begun := time.Now()
		by := killer(ctx, binary, tests, mutants[i].id)
		mu.Lock()
		defer mu.Unlock()
		if by == "" {
			survivors = append(survivors, mutants[i].name)
		}
		if verbose {
			fmt.Printf("%6.2f s  %-50s %s\n", time.Since(begun).Seconds(), cmp.Or(by, "SURVIVED"), mutants[i].name)
		}
		return nil
	})
	slices.Sort(survivors)
	return survivors, err
}

// killer returns which test noticed a mutant; "" if none did. Quick tests share a process.
func killer(ctx context.Context, binary string, tests []test, mutant int) string {
	const together = 300 * time.Millisecond
	var batch []string
	var takes time.Duration
	for i, t := range tests {
		if t.meets[mutant] {
			batch = append(batch, t.name)
			takes += t.takes
		}
		if len(batch) == 0 || (takes < together && i+1 < len(tests)) {
			continue
		}
		if by := noticed(ctx, binary, mutant, batch, takes); by != "" {
			return by
		}
		batch, takes = nil, 0
	}
	return ""
}

// noticed runs tests against a mutant, and returns the one that fails. A mutant may never end; then it has ten times as long as they take, and
// ten seconds.
func noticed(ctx context.Context, binary string, mutant int, names []string, takes time.Duration) string {
	patience := 10*takes + 10*time.Second
	out, err := testCommand(ctx, binary, mutant,
		"-test.run", "^("+strings.Join(names, "|")+")$", "-test.failfast", "-test.timeout", patience.String()).CombinedOutput()
	if err == nil {
		return ""
	}
	if _, failed, found := bytes.Cut(out, []byte("--- FAIL: ")); found {
		name, _, _ := bytes.Cut(failed, []byte(" "))
		return string(name)
	}
	return "one of " + names[0] + " …" // it panicked, or did not end
}
