package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Watch a new hire get access by SCIM, use it, and lose it",
		Long: `Starts "cosmosgate dev" on free ports and tells the product's story with real calls: the Cosmos SDK for Go, a real
sign-in, real SCIM pushes. Every step checks what it says; the command fails if one of them is not true.`,
		Example: "  cosmosgate demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func demo(ctx context.Context, stdout io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	up, down := make(chan *ready, 1), make(chan error, 1)
	var log bytes.Buffer
	go func() {
		down <- runDev(ctx, devOptions{host: "127.0.0.1", private: true}, &log, func(r *ready) error {
			up <- r
			return nil
		})
	}()
	begun := time.Now()
	select {
	case err := <-down:
		return err
	case r := <-up:
		err := tell(ctx, newStage(stdout), r, time.Since(begun))
		stop()
		if err = errors.Join(err, <-down); err != nil {
			return failed(err, "")
		}
		return nil
	}
}

// stage prints the story as it happens.
type stage struct {
	out    *printer
	colour bool
}

func newStage(w io.Writer) *stage {
	return &stage{out: &printer{w: w}, colour: onTerminal(w)}
}

// onTerminal reports whether a person is looking: colour is for people, and NO_COLOR is their word on it.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const (
	bold  = "1"
	red   = "31"
	green = "32"
	faint = "2"
)

func (s *stage) paint(style, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (s *stage) chapter(format string, args ...any) {
	s.out.line("\n%s", s.paint(bold, fmt.Sprintf(format, args...)))
}

// scene is one thing that happens, with what must come of it.
func (s *stage) scene(what string, came outcome, want outcome) error {
	if err := came.differs(want); err != nil {
		s.out.line("  %s %s: %v", s.paint(red, "✗"), what, err)
		return fmt.Errorf("%s: %w", what, err)
	}
	sign, style := "✓", green
	if want.status >= firstRefusal {
		sign, style = "⊘", red
	}
	s.out.line("  %s %s  %s", s.paint(style, sign), what, s.paint(faint, came.String()))
	for _, l := range came.lines {
		s.out.line("      %s", l)
	}
	return nil
}

const firstRefusal = 400

// outcome is what a call came to.
type outcome struct {
	status, substatus int
	lines             []string
	took              time.Duration
	contains          string // of want: part of one of the lines
	rows              int    // of want: how many lines; 0 asks nothing
}

var errStory = errors.New("the story is not true")

func (o outcome) differs(want outcome) error {
	text := strings.Join(o.lines, "\n")
	switch {
	case o.status != want.status || (want.substatus != 0 && o.substatus != want.substatus):
		return fmt.Errorf("%w: answered %d/%d, want %d/%d: %s", errStory, o.status, o.substatus, want.status, want.substatus, text)
	case !strings.Contains(text, want.contains):
		return fmt.Errorf("%w: %q does not mention %q", errStory, text, want.contains)
	case want.rows != 0 && len(o.lines) != want.rows:
		return fmt.Errorf("%w: %d rows, want %d: %s", errStory, len(o.lines), want.rows, text)
	}
	return nil
}

func (o outcome) String() string {
	status := fmt.Sprint(o.status)
	if o.substatus != 0 {
		status = fmt.Sprintf("%d/%d", o.status, o.substatus)
	}
	return fmt.Sprintf("%s in %s", status, o.took.Round(time.Millisecond/10))
}
