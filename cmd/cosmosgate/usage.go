package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// misused is what a person should be told about a command line that was refused: everything that is wrong with it, and how it is written.
// The library stops at the first fault, so the line is read once more, by commands that nobody runs.
func misused(args []string, first error) *failure {
	root := newRoot()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if err != nil {
		return &failure{code: exitUsage, err: err, hint: usageHint(cmd)}
	}
	cmd.InitDefaultHelpFlag()
	if cmd.HasAvailableSubCommands() && len(rest) > 0 && !isFlag(rest[0]) {
		return &failure{code: exitUsage, err: fmt.Errorf("%w %q for %q", errUnknownCommand, rest[0], cmd.CommandPath()), hint: commandHint(cmd, rest[0])}
	}
	faults := readAgain(cmd, rest)
	if len(faults) == 0 {
		faults = []error{first} // the command itself found it
	}
	return &failure{code: exitUsage, err: errors.Join(faults...), hint: usageHint(cmd)}
}

var (
	errUnknownCommand = errors.New("unknown command")
	errMissing        = errors.New("is missing")
	errSurplus        = errors.New("unexpected argument")
	errExclusive      = errors.New("exclude each other: give one of them")
	errOneRequired    = errors.New("give one of")
)

// readAgain reads each flag on its own, then counts the arguments.
func readAgain(cmd *cobra.Command, rest []string) (faults []error) {
	var words []string
	unsure := 0
	for len(rest) > 0 {
		if rest[0] == "--" {
			words = append(words, rest[1:]...)
			break
		}
		if !isFlag(rest[0]) {
			words, rest = append(words, rest[0]), rest[1:]
			continue
		}
		n := 1
		if len(rest) > 1 && wantsValue(cmd, rest[0]) {
			n++
		}
		err := cmd.ParseFlags(rest[:n])
		open := n == 1 && !strings.Contains(rest[0], "=")
		if rest = rest[n:]; err == nil {
			continue
		}
		faults = append(faults, err)
		if open && len(rest) > 0 && !isFlag(rest[0]) {
			unsure, rest = unsure+1, rest[1:] // a value of that flag, or an argument
		}
	}
	faults = append(faults, miscounted(cmd, words, unsure)...)
	if err := cmd.ValidateFlagGroups(); err != nil {
		faults = append(faults, groupFault(err))
	}
	return faults
}

func isFlag(word string) bool { return strings.HasPrefix(word, "-") && word != "-" }

// wantsValue says whether the value of a flag is the next word.
func wantsValue(cmd *cobra.Command, word string) bool {
	if name, long := strings.CutPrefix(word, "--"); long {
		f := cmd.Flag(name)
		return f != nil && f.NoOptDefVal == ""
	}
	for letters := word[1:]; letters != ""; {
		_, size := utf8.DecodeRuneInString(letters)
		if size > 1 {
			return false // no flag is called so
		}
		f := cmd.Flags().ShorthandLookup(letters[:1])
		if letters = letters[1:]; f == nil || f.NoOptDefVal == "" {
			return f != nil && letters == ""
		}
	}
	return false
}

// miscounted names what the command's use line names and is missing, and the words that are too many.
func miscounted(cmd *cobra.Command, words []string, unsure int) (faults []error) {
	const many = "..."
	taken, value := 0, false
	for _, name := range strings.Fields(cmd.Use)[1:] {
		flag, is := strings.CutPrefix(strings.TrimPrefix(name, "["), "--")
		if is && name[0] != '[' && !cmd.Flags().Changed(flag) {
			faults = append(faults, fmt.Errorf("%s %w", name, errMissing))
		}
		if is || value {
			value = is // its value follows
			continue
		}
		if taken++; taken > len(words)+unsure && !strings.HasPrefix(name, "[") {
			faults = append(faults, fmt.Errorf("%s %w", strings.TrimSuffix(name, many), errMissing))
		}
		if strings.HasSuffix(name, many) {
			taken = max(taken, len(words))
		}
	}
	for _, word := range words[min(taken, len(words)):] {
		faults = append(faults, fmt.Errorf("%w %q", errSurplus, word))
	}
	return faults
}

// groupFault says in a person's words what the library says of flags that belong together.
func groupFault(err error) error {
	const between, after = "; [", "] were all set"
	text := err.Error()
	if _, set, ok := strings.Cut(text, between); ok && strings.HasSuffix(set, after) {
		return fmt.Errorf("%s %w", strings.Join(dashed(strings.TrimSuffix(set, after)), " and "), errExclusive)
	}
	_, group, ok := strings.Cut(text, "at least one of the flags in the group [")
	if group, is := strings.CutSuffix(group, "] is required"); ok && is {
		return fmt.Errorf("%w %s", errOneRequired, strings.Join(dashed(group), ", "))
	}
	return err
}

func dashed(names string) []string {
	all := strings.Fields(names)
	for i := range all {
		all[i] = "--" + all[i]
	}
	return all
}

// usageHint says how the command that was meant is written, and where it is explained.
func usageHint(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() && !cmd.HasParent() {
		return "run " + cmd.CommandPath() + " --help for the commands"
	}
	return "write " + cmd.UseLine() + "; " + cmd.CommandPath() + " --help explains it"
}

func begins(name, word string) int {
	if strings.HasPrefix(name, word) {
		return 1
	}
	return 0
}

// commandHint says which command may have been meant.
func commandHint(cmd *cobra.Command, word string) string {
	const misspelt = 2 // letters that may differ
	cmd.SuggestionsMinimumDistance = misspelt
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		slices.SortStableFunc(near, func(a, b string) int { // a beginning before a misspelling
			return -cmp.Compare(begins(a, word), begins(b, word))
		})
		return "did you mean " + cmd.CommandPath() + " " + strings.Join(near, " or ") + "? See " + cmd.CommandPath() + " --help"
	}
	return "run " + cmd.CommandPath() + " --help for the commands"
}
