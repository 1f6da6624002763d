package query

import (
	"context"
	"fmt"
	"iter"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// Plan is a query ready to run. It is immutable and safe for concurrent use.
type Plan struct {
	block     *block
	slots     int
	container int
	language  *Language
	streams   bool
}

// Compile checks a query and prepares it. Parameters are keyed by name with the @. Every error is
// an *sql.Error.
func (l *Language) Compile(query *sql.Query, parameters map[string]document.Value) (*Plan, error) {
	c := &compiler{language: l, parameters: parameters}
	c.container = c.slot()
	compiled, err := c.block(query)
	if err != nil {
		return nil, err
	}
	return &Plan{
		block: compiled, slots: c.slots, container: c.container, language: l,
		streams: !compiled.grouped && !compiled.distinct && len(compiled.orders) == 0 &&
			compiled.limit < 0 && compiled.offset == 0 && len(compiled.sources) > 0,
	}, nil
}

// Streams reports whether the results of each document depend on that document alone, so that a
// page can end between documents.
func (p *Plan) Streams() bool { return p.streams }

// WithUndefined returns a plan that orders values without the property of its ORDER BY before all others. Without it they are left out, as
// the service does unless the container's indexing policy names the property.
func (p *Plan) WithUndefined() *Plan {
	other, block := *p, *p.block
	block.undefined = true
	other.block = &block
	return &other
}

// Run runs the query over the documents and hands each result to yield, in order, until yield
// returns false. It returns the number of steps the work took, also with an error.
func (p *Plan) Run(ctx context.Context, documents iter.Seq[document.Value], yield func(document.Value) bool) (int, error) {
	state := &run{ctx: ctx, now: p.language.clock(), clock: p.language.clock}
	r := &row{slots: make([]document.Value, p.slots), run: state}
	if len(p.block.sources) == 0 {
		p.block.each(r, yield)
		return state.steps, wrap(state.err)
	}
	over := *p.block
	first := over.sources[0]
	over.sources = append([]source{{
		slot: first.slot,
		produce: func(r *row, found func(document.Value) bool) {
			for one := range documents {
				r.slots[p.container] = one
				proceed := true
				first.produce(r, func(value document.Value) bool {
					proceed = found(value)
					return proceed
				})
				if !proceed || !state.spend(1) {
					return
				}
			}
		},
	}}, over.sources[1:]...)
	over.each(r, yield)
	return state.steps, wrap(state.err)
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("running the query: %w", err)
	}
	return nil
}
