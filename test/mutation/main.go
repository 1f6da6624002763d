// Command mutation holds the code that compiles and decides policies to its tests: every statement is executed, and every
// flipped comparison makes a test fail.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	root    = "../.."
	subject = "policy"
)

// deciding are the files that compile and decide.
func deciding() []string {
	return []string{
		"actions.go", "chain.go", "compile.go", "condition.go", "decide.go", "engine.go", "entities.go", "index.go", "obligations.go",
		"oblige.go", "partition.go", "rank.go", "raw.go", "reference.go", "scope.go", "tally.go", "token.go",
	}
}

func main() {
	verbose := flag.Bool("v", false, "print every mutant")
	only := flag.String("run", "", "play the mutants whose name matches")
	bound := flag.Duration("timeout", 20*time.Minute, "give up after this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, *bound)
	err := run(ctx, *only, *verbose)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, verbose bool) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	folder, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder
	if err := covered(ctx, folder); err != nil {
		return err
	}
	mutants, binary, err := build(ctx, folder)
	if err != nil {
		return err
	}
	tests, err := survey(ctx, binary, folder, len(mutants))
	if err != nil {
		return err
	}
	mutants = slices.DeleteFunc(mutants, func(m mutant) bool { return !chosen.MatchString(m.name) })
	survivors, err := play(ctx, binary, tests, mutants, verbose)
	if err != nil {
		return err
	}
	return judge(mutants, survivors, only == "")
}

var errUncovered = errors.New("statements that no test executes")

// covered fails if a statement of the deciding files is not executed.
func covered(ctx context.Context, folder string) error {
	profile := filepath.Join(folder, "cover.out")
	if out, err := goCommand(ctx, "test", "-coverprofile="+profile, "./"+subject); err != nil {
		return fmt.Errorf("running the tests: %w\n%s", err, out)
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return fmt.Errorf("reading the profile: %w", err)
	}
	var missed []string
	statements := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		place, counts, _ := strings.Cut(line, " ")
		file, _, _ := strings.Cut(filepath.Base(place), ":")
		if !slices.Contains(deciding(), file) {
			continue
		}
		statements++
		if strings.HasSuffix(counts, " 0") {
			missed = append(missed, filepath.Base(place))
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%w:\n%s", errUncovered, strings.Join(missed, "\n"))
	}
	fmt.Printf("coverage: all %d blocks of %d files are executed\n", statements, len(deciding()))
	return nil
}

func goCommand(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}

var errSurvived = errors.New("no test fails")

// judge compares the survivors with the list of those that mean the same.
func judge(mutants []mutant, survivors []string, whole bool) error {
	excused, err := equivalent()
	if err != nil {
		return err
	}
	var faults []string
	for _, name := range survivors {
		if !excused[name] {
			faults = append(faults, "survived: "+name)
		}
	}
	for name := range excused {
		if whole && !slices.Contains(survivors, name) {
			faults = append(faults, "listed in equivalent.txt, and killed or gone: "+name)
		}
	}
	fmt.Printf("mutants: %d, killed: %d, equivalent: %d\n", len(mutants), len(mutants)-len(survivors), len(survivors)-countPrefix(faults, "survived: "))
	if len(faults) > 0 {
		slices.Sort(faults)
		return fmt.Errorf("%w:\n%s", errSurvived, strings.Join(faults, "\n"))
	}
	return nil
}

func countPrefix(list []string, prefix string) int {
	n := 0
	for _, text := range list {
		if strings.HasPrefix(text, prefix) {
			n++
		}
	}
	return n
}

// equivalent reads the mutants that mean the same: a line each, the reason below it, indented.
func equivalent() (map[string]bool, error) {
	file, err := os.Open("equivalent.txt")
	if err != nil {
		return nil, fmt.Errorf("reading the list: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	names := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, " ") {
			names[line] = true
		}
	}
	return names, lines.Err()
}
