// Package query runs Cosmos SQL over documents. It compiles a syntax tree once, refusing what the
// service refuses (names that resolve to nothing, unknown functions, wrong numbers of arguments),
// and then runs it within a bound on work and memory.
package query

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// Codes of faults that the grammar alone cannot see.
const (
	CodeName       sql.Code = "SC2001"
	CodeFunction   sql.Code = "SC2005"
	CodeArguments  sql.Code = "SC2050"
	CodeAggregate  sql.Code = "SC2102"
	CodeUDF        sql.Code = "SC2011"
	CodeParameter  sql.Code = "SC2010"
	CodeClause     sql.Code = "SC2040"
	CodeOrderBy    sql.Code = "SC2104"
	CodeCollection sql.Code = "SC2003"
)

// Language is the set of built-in functions. It is immutable and safe for concurrent use.
type Language struct {
	functions map[string]function
	clock     func() time.Time
}

// function is one built-in: how many arguments it takes (most < 0: any number) and what it does.
type function struct {
	least, most int
	call        func(*run, []document.Value) document.Value
}

// New returns the language with a clock for the functions that ask for the time.
func New(clock func() time.Time) *Language {
	l := &Language{functions: map[string]function{}, clock: clock}
	for _, group := range []map[string]function{
		stringFunctions(), textFunctions(), mathFunctions(), integerFunctions(), typeFunctions(), arrayFunctions(),
		setFunctions(), dateFunctions(), conversionFunctions(), fullTextFunctions(), vectorFunctions(),
	} {
		maps.Copy(l.functions, group)
	}
	return l
}

// Functions returns the upper-case names of the built-in scalar functions, in no order.
func (l *Language) Functions() []string {
	names := make([]string, 0, len(l.functions))
	for name := range l.functions {
		names = append(names, name)
	}
	return names
}

func fault(code sql.Code, span sql.Span, format string, args ...any) error {
	return &sql.Error{Code: code, Message: fmt.Sprintf(format, args...), Span: span}
}

func (l *Language) lookup(call *sql.Call) (function, error) {
	if call.UDF {
		return function{}, fault(CodeUDF, call.Span, "The user-defined function '%s' is not found in the container.", call.Name)
	}
	found, ok := l.functions[strings.ToUpper(call.Name)]
	if !ok {
		return function{}, fault(CodeFunction, call.Span, "'%s' is not a recognized built-in function name.", call.Name)
	}
	if len(call.Args) < found.least || found.most >= 0 && len(call.Args) > found.most {
		return function{}, fault(CodeArguments, call.Span, "The %s function requires %s argument(s).",
			strings.ToUpper(call.Name), arity(found))
	}
	return found, nil
}

func arity(f function) string {
	switch {
	case f.most < 0:
		return fmt.Sprintf("at least %d", f.least)
	case f.least == f.most:
		return fmt.Sprint(f.least)
	default:
		return fmt.Sprintf("%d to %d", f.least, f.most)
	}
}
