package sql

import (
	"strconv"
	"strings"
)

// Canonical writes an expression in one way whatever blanks, quotes, parentheses and member
// notation it was written with, so that equal expressions have equal texts. A subquery is written
// by its place, so it equals only itself.
func Canonical(e Expr) string {
	var out strings.Builder
	canonical(&out, e)
	return out.String()
}

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func canonical(out *strings.Builder, e Expr) {
	switch e := e.(type) {
	case *Literal:
		canonicalLiteral(out, e)
	case *Parameter:
		out.WriteString(e.Name)
	case *Name:
		out.WriteString(e.Name)
	case *Member:
		canonical(out, e.X)
		out.WriteString("[" + strconv.Quote(e.Name) + "]")
	case *Index:
		canonical(out, e.X)
		canonicalList(out, "[", []Expr{e.Key}, "]")
	case *Call:
		name := strings.ToUpper(e.Name)
		if e.UDF {
			name = "udf." + e.Name
		}
		canonicalList(out, name+"(", e.Args, ")")
	case *Object:
		names := make([]string, len(e.Fields))
		for i, field := range e.Fields {
			names[i] = strconv.Quote(field.Name)
		}
		canonicalList(out, "{"+strings.Join(names, ",")+":", operands(e), "}")
	case *Subquery:
		out.WriteString("subquery@" + strconv.Itoa(e.Start))
	default:
		canonicalList(out, operatorText(e)+"(", operands(e), ")")
	}
}

func canonicalLiteral(out *strings.Builder, literal *Literal) {
	switch literal.Kind {
	case LiteralUndefined:
		out.WriteString("undefined")
	case LiteralNull:
		out.WriteString("null")
	case LiteralBool:
		out.WriteString(strconv.FormatBool(literal.Bool))
	case LiteralNumber:
		out.WriteString(formatNumber(literal.Number))
	case LiteralString:
		out.WriteString(strconv.Quote(literal.String))
	}
}

func canonicalList(out *strings.Builder, open string, list []Expr, end string) {
	out.WriteString(open)
	for i, one := range list {
		if i > 0 {
			out.WriteByte(',')
		}
		canonical(out, one)
	}
	out.WriteString(end)
}

// operatorText names the operator of a node so that no two kinds share a name.
func operatorText(e Expr) string {
	switch e := e.(type) {
	case *Unary:
		return "unary " + e.Operator
	case *Binary:
		return e.Operator
	case *Logical:
		return e.Operator
	case *Conditional:
		return "?:"
	case *Between:
		return negated("BETWEEN", e.Not)
	case *In:
		return negated("IN", e.Not)
	case *Like:
		return negated("LIKE", e.Not) + strconv.Quote(e.Escape)
	case *Array:
		return "array"
	default:
		return "?"
	}
}

func negated(operator string, not bool) string {
	if not {
		return "NOT " + operator
	}
	return operator
}
