package terminal

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// Progress says from time to time how far a long transfer is. It is silent for the first moments, so that short ones say
// nothing.
type Progress struct {
	w      io.Writer
	now    func() time.Time
	every  time.Duration
	last   time.Time
	redraw bool // on one line of a terminal
	drawn  bool
}

// NewProgress returns a progress that writes to w, usually standard error.
func NewProgress(w io.Writer, now func() time.Time) *Progress {
	const onTerminal, inLog = 500 * time.Millisecond, 10 * time.Second
	p := &Progress{w: w, now: now, every: inLog, redraw: IsTerminal(w), last: now()}
	if p.redraw {
		p.every = onTerminal
	}
	return p
}

// Report says how many items there are so far, at which charge.
func (p *Progress) Report(items int, charge float64) {
	now := p.now()
	if now.Sub(p.last) < p.every {
		return
	}
	p.last = now
	text := strconv.Itoa(items) + " items, " + Charge(charge) + " so far"
	if p.redraw {
		p.drawn = true
		_, _ = fmt.Fprint(p.w, "\r\x1b[K"+text) // progress is worth no failure
		return
	}
	_, _ = fmt.Fprintln(p.w, text)
}

// Done takes the line away.
func (p *Progress) Done() {
	if p.drawn {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K") // progress is worth no failure
		p.drawn = false
	}
}

// Charge is request units as people write them.
func Charge(units float64) string { return strconv.FormatFloat(units, 'f', 2, 64) + " RU" }
