package policy

import "sync/atomic"

// Engine decides requests by the set it currently holds. It is safe for
// concurrent use. The zero Engine denies everything.
type Engine struct {
	current atomic.Pointer[Set]
}

// NewEngine returns an engine that decides by set. With a nil set it denies
// everything until [Engine.Swap].
func NewEngine(set *Set) *Engine {
	e := &Engine{}
	e.Swap(set)
	return e
}

// Swap replaces the set; requests that are being decided finish under the old
// one.
func (e *Engine) Swap(set *Set) { e.current.Store(set) }

// Set returns the set that currently decides; nil before the first.
func (e *Engine) Set() *Set { return e.current.Load() }

// Decide answers one request.
func (e *Engine) Decide(Request) Decision { return Decision{} }
