package query

import (
	"math"
	"strings"
	"unicode"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// fullTextFunctions match whole words without regard to case. They stem nothing and know no
// language; ranking (FullTextScore, ORDER BY RANK) is not there.
func fullTextFunctions() map[string]function {
	return map[string]function{
		"FULLTEXTCONTAINS":    {2, 2, fullText(true)},
		"FULLTEXTCONTAINSALL": {2, anyNumber, fullText(true)},
		"FULLTEXTCONTAINSANY": {2, anyNumber, fullText(false)},
	}
}

func words(text string) string {
	fields := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return " " + strings.Join(fields, " ") + " "
}

func fullText(all bool) func(*run, []document.Value) document.Value {
	return func(r *run, v []document.Value) document.Value {
		list, ok := texts(v, len(v))
		if !ok || !r.spend(len(list[0])) {
			return document.Value{}
		}
		text := words(list[0])
		for _, phrase := range list[1:] {
			if found := strings.Contains(text, words(phrase)); found != all {
				return document.BoolValue(found)
			}
		}
		return document.BoolValue(all)
	}
}

func vectorFunctions() map[string]function {
	return map[string]function{"VECTORDISTANCE": {2, 4, vectorDistance}}
}

// vectorDistance is the cosine similarity, or what the fourth argument's distanceFunction asks for.
func vectorDistance(r *run, v []document.Value) document.Value {
	x, isVector := vector(v[0])
	y, areVectors := vector(v[1])
	if !isVector || !areVectors || len(x) != len(y) || !r.spend(len(x)) {
		return document.Value{}
	}
	measure := "cosine"
	if len(v) > 3 {
		if named, ok := v[3].Get("distanceFunction").Text(); ok {
			measure = strings.ToLower(named)
		}
	}
	var dot, normX, normY, square float64
	for i := range x {
		dot += x[i] * y[i]
		normX += x[i] * x[i]
		normY += y[i] * y[i]
		square += (x[i] - y[i]) * (x[i] - y[i])
	}
	switch measure {
	case "euclidean":
		return document.NumberValue(math.Sqrt(square))
	case "dotproduct":
		return document.NumberValue(dot)
	default:
		return document.NumberValue(dot / (math.Sqrt(normX) * math.Sqrt(normY)))
	}
}

func vector(value document.Value) ([]float64, bool) {
	elements, ok := value.Elements()
	if !ok {
		return nil, false
	}
	numbers := make([]float64, len(elements))
	for i, element := range elements {
		if numbers[i], ok = element.Number(); !ok {
			return nil, false
		}
	}
	return numbers, true
}
