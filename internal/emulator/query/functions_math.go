package query

import (
	"math"
	"math/rand/v2"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// onNumber makes a function of one number.
func onNumber(compute func(float64) float64) function {
	return function{1, 1, func(_ *run, v []document.Value) document.Value {
		number, ok := v[0].Number()
		if !ok {
			return document.Value{}
		}
		return document.NumberValue(compute(number))
	}}
}

// onNumbers makes a function of two numbers.
func onNumbers(compute func(x, y float64) float64) function {
	return function{2, 2, func(_ *run, v []document.Value) document.Value {
		x, isNumber := v[0].Number()
		y, areNumbers := v[1].Number()
		if !isNumber || !areNumbers {
			return document.Value{}
		}
		return document.NumberValue(compute(x, y))
	}}
}

const halfTurn = 180

func mathFunctions() map[string]function {
	return map[string]function{
		"ABS":     onNumber(math.Abs),
		"ACOS":    onNumber(math.Acos),
		"ASIN":    onNumber(math.Asin),
		"ATAN":    onNumber(math.Atan),
		"ATN2":    onNumbers(math.Atan2),
		"CEILING": onNumber(math.Ceil),
		"COS":     onNumber(math.Cos),
		"COT":     onNumber(func(x float64) float64 { return 1 / math.Tan(x) }),
		"DEGREES": onNumber(func(x float64) float64 { return x * halfTurn / math.Pi }),
		"EXP":     onNumber(math.Exp),
		"FLOOR":   onNumber(math.Floor),
		"LOG":     {1, 2, logarithm},
		"LOG10":   onNumber(math.Log10),
		"PI":      {0, 0, func(*run, []document.Value) document.Value { return document.NumberValue(math.Pi) }},
		"POWER":   onNumbers(math.Pow),
		"RADIANS": onNumber(func(x float64) float64 { return x * math.Pi / halfTurn }),
		"RAND":    {0, 0, func(*run, []document.Value) document.Value { return document.NumberValue(rand.Float64()) }}, //nolint:gosec // RAND promises no secrecy
		"ROUND":   {1, 2, round},
		"SIGN":    onNumber(sign),
		"SIN":     onNumber(math.Sin),
		"SQRT":    onNumber(math.Sqrt),
		"SQUARE":  onNumber(func(x float64) float64 { return x * x }),
		"TAN":     onNumber(math.Tan),
		"TRUNC":   onNumber(math.Trunc),
		"NUMBERBIN": {1, 2, func(_ *run, v []document.Value) document.Value {
			size := 1.0
			number, ok := v[0].Number()
			if len(v) > 1 {
				var isSize bool
				size, isSize = v[1].Number()
				ok = ok && isSize
			}
			if !ok || size == 0 {
				return document.Value{}
			}
			return document.NumberValue(math.Floor(number/size) * size)
		}},
	}
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	default:
		return 0
	}
}

func logarithm(_ *run, v []document.Value) document.Value {
	number, ok := v[0].Number()
	if !ok {
		return document.Value{}
	}
	if len(v) == 1 {
		return document.NumberValue(math.Log(number))
	}
	base, ok := v[1].Number()
	if !ok {
		return document.Value{}
	}
	return document.NumberValue(math.Log(number) / math.Log(base))
}

// round rounds halves away from zero, to an optional number of decimals.
func round(_ *run, v []document.Value) document.Value {
	number, ok := v[0].Number()
	if !ok {
		return document.Value{}
	}
	digits := 0.0
	if len(v) > 1 {
		if digits, ok = v[1].Number(); !ok {
			return document.Value{}
		}
	}
	scale := math.Pow(10, math.Trunc(digits)) //nolint:mnd // decimal digits
	return document.NumberValue(math.Round(number*scale) / scale)
}

// onIntegers makes a function of two 64-bit integers; anything else, a division by zero or an
// impossible shift gives undefined.
func onIntegers(compute func(x, y int64) (int64, bool)) function {
	return function{2, 2, func(_ *run, v []document.Value) document.Value {
		x, isInteger := whole64(v[0])
		y, areIntegers := whole64(v[1])
		if !isInteger || !areIntegers {
			return document.Value{}
		}
		result, ok := compute(x, y)
		if !ok {
			return document.Value{}
		}
		return document.NumberValue(float64(result))
	}}
}

func whole64(value document.Value) (int64, bool) {
	const bound = 1 << 63
	number, ok := value.Number()
	if !ok || number != math.Trunc(number) || number >= bound || number < -bound {
		return 0, false
	}
	return int64(number), true
}

func integerFunctions() map[string]function {
	const bits = 64
	return map[string]function{
		"INTADD":    onIntegers(func(x, y int64) (int64, bool) { return x + y, true }),
		"INTSUB":    onIntegers(func(x, y int64) (int64, bool) { return x - y, true }),
		"INTMUL":    onIntegers(func(x, y int64) (int64, bool) { return x * y, true }),
		"INTBITAND": onIntegers(func(x, y int64) (int64, bool) { return x & y, true }),
		"INTBITOR":  onIntegers(func(x, y int64) (int64, bool) { return x | y, true }),
		"INTBITXOR": onIntegers(func(x, y int64) (int64, bool) { return x ^ y, true }),
		"INTDIV": onIntegers(func(x, y int64) (int64, bool) {
			if y == 0 {
				return 0, false
			}
			return x / y, true
		}),
		"INTMOD": onIntegers(func(x, y int64) (int64, bool) {
			if y == 0 {
				return 0, false
			}
			return x % y, true
		}),
		"INTBITLEFTSHIFT": onIntegers(func(x, y int64) (int64, bool) {
			if y < 0 || y >= bits {
				return 0, false
			}
			return x << y, true
		}),
		"INTBITRIGHTSHIFT": onIntegers(func(x, y int64) (int64, bool) {
			if y < 0 || y >= bits {
				return 0, false
			}
			return x >> y, true
		}),
		"INTBITNOT": {1, 1, func(_ *run, v []document.Value) document.Value {
			x, ok := whole64(v[0])
			if !ok {
				return document.Value{}
			}
			return document.NumberValue(float64(^x))
		}},
	}
}
