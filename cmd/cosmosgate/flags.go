package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// outputFlag adds -o with the forms that the command knows; the first is the default.
func outputFlag(cmd *cobra.Command, output *string, known ...string) {
	choiceFlag(cmd, output, "output", "o", known...)
}

// choiceFlag adds a flag that takes one of the known words; the first is the default.
func choiceFlag(cmd *cobra.Command, value *string, name, short string, known ...string) {
	*value = known[0]
	cmd.Flags().VarP(&choice{value: value, known: known}, name, short, orList(known))
	_ = cmd.RegisterFlagCompletionFunc(name, completeWords(known...)) // fails only for a flag that does not exist
}

// choice is a flag that takes one of some words.
type choice struct {
	value *string
	known []string
}

var errChoice = errors.New("use one of")

// Set takes one of the words.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.known, s) {
		return fmt.Errorf("%w %s", errChoice, strings.Join(c.known, ", "))
	}
	*c.value = s
	return nil
}

func (c *choice) String() string {
	if c.value == nil {
		return "" // the library asks a zero value
	}
	return *c.value
}

// Type names the flag's values in the help.
func (*choice) Type() string { return "string" }

// orList is "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// lifetime is a flag for durations that may be days.
type lifetime time.Duration

var (
	errLifetime = errors.New(`use a number with a unit, such as 90m, 12h or 180d`)
	errNoTime   = errors.New("must be longer than that")
)

// Set reads 90m, 12h or 180d.
func (l *lifetime) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		const most = 36500
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > most {
			return errLifetime
		}
		*l = lifetime(n) * lifetime(24*time.Hour)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return errLifetime
	}
	*l = lifetime(d)
	return nil
}

// String prints whole days as days.
func (l *lifetime) String() string {
	const day = lifetime(24 * time.Hour)
	if *l > 0 && *l%day == 0 {
		return fmt.Sprintf("%dd", *l/day)
	}
	return time.Duration(*l).String()
}

// Type names the flag's values in the help.
func (*lifetime) Type() string { return "lifetime" }

// span is a lifetime that is not zero.
type span lifetime

// Set reads as a lifetime does.
func (s *span) Set(text string) error {
	if err := (*lifetime)(s).Set(text); err != nil {
		return err
	}
	if *s == 0 {
		return errNoTime
	}
	return nil
}

// String is empty for a span that was not given.
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return (*lifetime)(s).String()
}

// Type names the flag's values in the help.
func (*span) Type() string { return "lifetime" }
