package sql

import "fmt"

// Code is the service's short name for a kind of query fault.
type Code string

// Codes the reader reports; the service sends the same ones in its 400 bodies.
const (
	// CodeSyntax marks text that no rule of the grammar accepts.
	CodeSyntax Code = "SC1001"
	// CodeToken marks a character or literal that is not a token.
	CodeToken Code = "SC1010"
	// CodeLimit marks text that is too long, too deep or too large to be read.
	CodeLimit Code = "SC3001"
)

// Error is a fault of the query text, with its place as byte offsets.
type Error struct {
	Code    Code
	Message string
	Span    Span
}

// Error returns the message and its place.
func (e *Error) Error() string {
	return fmt.Sprintf("%d-%d: %s", e.Span.Start, e.Span.End, e.Message)
}
