package query

import (
	"math"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

type binaryOperation func(x, y document.Value) document.Value

// arithmetic returns the operation on two numbers, or nil when the operator is none. Anything but
// numbers gives undefined.
func arithmetic(operator string) binaryOperation {
	var compute func(x, y float64) float64
	switch operator {
	case "+":
		compute = func(x, y float64) float64 { return x + y }
	case "-":
		compute = func(x, y float64) float64 { return x - y }
	case "*":
		compute = func(x, y float64) float64 { return x * y }
	case "/":
		compute = func(x, y float64) float64 { return x / y }
	case "%":
		compute = math.Mod
	default:
		compute = bitwise(operator)
	}
	if compute == nil {
		return nil
	}
	return func(x, y document.Value) document.Value {
		a, isNumber := x.Number()
		b, areNumbers := y.Number()
		if !isNumber || !areNumbers {
			return document.Value{}
		}
		return document.NumberValue(compute(a, b))
	}
}

// bitwise returns an operation on 32-bit integers, as in JavaScript, or nil.
func bitwise(operator string) func(x, y float64) float64 {
	const shiftMask = 31
	switch operator {
	case "&":
		return func(x, y float64) float64 { return float64(int32Of(x) & int32Of(y)) }
	case "|":
		return func(x, y float64) float64 { return float64(int32Of(x) | int32Of(y)) }
	case "^":
		return func(x, y float64) float64 { return float64(int32Of(x) ^ int32Of(y)) }
	case "<<":
		return func(x, y float64) float64 { return float64(int32Of(x) << (int32Of(y) & shiftMask)) }
	case ">>":
		return func(x, y float64) float64 { return float64(int32Of(x) >> (int32Of(y) & shiftMask)) }
	case ">>>":
		return func(x, y float64) float64 {
			return float64(uint32(int32Of(x)) >> (int32Of(y) & shiftMask)) //nolint:gosec // the wrap is the operator's meaning
		}
	default:
		return nil
	}
}

// int32Of wraps a double to 32 bits as JavaScript's bit operators do.
func int32Of(f float64) int32 {
	const span = 1 << 32
	wrapped := math.Mod(math.Trunc(f), span)
	if wrapped < 0 {
		wrapped += span
	}
	return int32(uint32(wrapped)) //nolint:gosec // the wrap is wanted
}

// comparison returns = != < > <= >=. Undefined compares with nothing; values of two types are
// unequal and have no order.
func comparison(operator string) binaryOperation {
	switch operator {
	case "=", "!=":
		want := operator == "="
		return func(x, y document.Value) document.Value {
			if !x.Defined() || !y.Defined() {
				return document.Value{}
			}
			return document.BoolValue(document.Equal(x, y) == want)
		}
	case "<":
		return ordered(func(order int) bool { return order < 0 })
	case ">":
		return ordered(func(order int) bool { return order > 0 })
	case "<=":
		return ordered(func(order int) bool { return order <= 0 })
	default:
		return ordered(func(order int) bool { return order >= 0 })
	}
}

func ordered(holds func(int) bool) binaryOperation {
	return func(x, y document.Value) document.Value {
		if !sameOrder(x, y) {
			return document.Value{}
		}
		return document.BoolValue(holds(document.Compare(x, y)))
	}
}

// sameOrder reports whether two values have an order: both null, booleans, numbers or strings.
func sameOrder(x, y document.Value) bool {
	return x.Kind() == y.Kind() && x.Kind() != document.Undefined && x.Kind() <= document.String
}

func between(not bool) func([]document.Value) document.Value {
	return func(v []document.Value) document.Value {
		if !sameOrder(v[0], v[1]) || !sameOrder(v[0], v[2]) {
			return document.Value{}
		}
		inside := document.Compare(v[0], v[1]) >= 0 && document.Compare(v[0], v[2]) <= 0
		return document.BoolValue(inside != not)
	}
}

func unary(operator string) func(document.Value) document.Value {
	return func(x document.Value) document.Value {
		if operator == "NOT" {
			value, ok := x.Bool()
			if !ok {
				return document.Value{}
			}
			return document.BoolValue(!value)
		}
		number, ok := x.Number()
		switch {
		case !ok:
			return document.Value{}
		case operator == "-":
			return document.NumberValue(-number)
		case operator == "~":
			return document.NumberValue(float64(^int32Of(number)))
		default:
			return x
		}
	}
}
