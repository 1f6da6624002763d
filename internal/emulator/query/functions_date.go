package query

import (
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// timeLayout is the only way the service writes a date and time: 100 ns and UTC.
const timeLayout = "2006-01-02T15:04:05.0000000Z"

// tick is the unit of ticks, which count from 1970.
const tick = 100 * time.Nanosecond

func dateFunctions() map[string]function {
	text := func(t time.Time) document.Value { return document.StringValue(t.UTC().Format(timeLayout)) }
	stamp := func(t time.Time) document.Value { return document.NumberValue(float64(t.UnixMilli())) }
	functions := map[string]function{
		"DATETIMEADD":         {3, 3, dateTimeAdd},
		"DATETIMEDIFF":        {3, 3, dateTimeDiff},
		"DATETIMEPART":        {2, 2, dateTimePart},
		"DATETIMEBIN":         {2, 4, dateTimeBin},
		"DATETIMEFROMPARTS":   {3, 7, dateTimeFromParts},
		"DATETIMETOTICKS":     onTime(ticks),
		"DATETIMETOTIMESTAMP": onTime(stamp),
		"TICKSTODATETIME": {1, 1, func(_ *run, v []document.Value) document.Value {
			n, ok := whole64(v[0])
			const lastYear = 2534023007999999999
			if !ok || n > lastYear || n < -lastYear {
				return document.Value{}
			}
			return text(fromTicks(n))
		}},
		"TIMESTAMPTODATETIME": {1, 1, func(_ *run, v []document.Value) document.Value {
			const lastYear = 253402300799999
			n, ok := whole64(v[0])
			if !ok || n > lastYear || n < -lastYear {
				return document.Value{}
			}
			return text(time.UnixMilli(n))
		}},
	}
	for name, format := range map[string]func(time.Time) document.Value{
		"GETCURRENTDATETIME": text, "GETCURRENTTICKS": ticks, "GETCURRENTTIMESTAMP": stamp,
	} {
		functions[name] = function{0, 0, func(r *run, _ []document.Value) document.Value { return format(r.clock()) }}
		functions[name+"STATIC"] = function{0, 0, func(r *run, _ []document.Value) document.Value { return format(r.now) }}
	}
	return functions
}

// ticks counts 100 ns since 1970.
func ticks(t time.Time) document.Value {
	const perSecond = int64(time.Second / tick)
	return document.NumberValue(float64(t.Unix()*perSecond + int64(t.Nanosecond())/int64(tick)))
}

func fromTicks(n int64) time.Time {
	const perSecond = int64(time.Second / tick)
	return time.Unix(n/perSecond, n%perSecond*int64(tick)).UTC()
}

// readTime reads an ISO 8601 date and time in UTC, or a date alone.
func readTime(value document.Value) (time.Time, bool) {
	text, ok := value.Text()
	if !ok {
		return time.Time{}, false
	}
	for _, layout := range []string{"2006-01-02T15:04:05.9999999Z", "2006-01-02T15:04Z", "2006-01-02T15:04:05.9999999", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func onTime(compute func(time.Time) document.Value) function {
	return function{1, 1, func(_ *run, v []document.Value) document.Value {
		t, ok := readTime(v[0])
		if !ok {
			return document.Value{}
		}
		return compute(t)
	}}
}

// unit is a part of a date and time; fixed is its length when that is always the same.
type unit struct {
	fixed  time.Duration
	months int
	days   int
	part   func(time.Time) int
}

func unitOf(value document.Value) (unit, bool) {
	name, _ := value.Text()
	switch strings.ToLower(name) {
	case "year", "yyyy", "yy":
		return unit{months: 12, part: time.Time.Year}, true
	case "month", "mm", "m":
		return unit{months: 1, part: func(t time.Time) int { return int(t.Month()) }}, true
	case "day", "dd", "d":
		return unit{days: 1, fixed: 24 * time.Hour, part: time.Time.Day}, true
	case "hour", "hh":
		return unit{fixed: time.Hour, part: time.Time.Hour}, true
	case "minute", "mi", "n":
		return unit{fixed: time.Minute, part: time.Time.Minute}, true
	case "second", "ss", "s":
		return unit{fixed: time.Second, part: time.Time.Second}, true
	case "millisecond", "ms":
		return unit{fixed: time.Millisecond, part: func(t time.Time) int { return t.Nanosecond() / int(time.Millisecond) }}, true
	case "microsecond", "mcs":
		return unit{fixed: time.Microsecond, part: func(t time.Time) int { return t.Nanosecond() / int(time.Microsecond) }}, true
	case "nanosecond", "ns":
		return unit{fixed: time.Nanosecond, part: time.Time.Nanosecond}, true
	default:
		return unit{}, false
	}
}

func dateTimeAdd(_ *run, v []document.Value) document.Value {
	part, isUnit := unitOf(v[0])
	n, isNumber := whole(v[1])
	t, isTime := readTime(v[2])
	const most = 1 << 40
	if !isUnit || !isNumber || !isTime || n > most || n < -most {
		return document.Value{}
	}
	switch {
	case part.months > 0:
		t = t.AddDate(0, part.months*n, 0)
	case part.days > 0:
		t = t.AddDate(0, 0, n)
	default:
		t = t.Add(time.Duration(n) * part.fixed)
	}
	const lastYear = 9999
	if t.Year() < 1 || t.Year() > lastYear {
		return document.Value{}
	}
	return document.StringValue(t.Format(timeLayout))
}

// dateTimeDiff counts how many boundaries of the part lie between two times.
func dateTimeDiff(_ *run, v []document.Value) document.Value {
	part, isUnit := unitOf(v[0])
	from, isFrom := readTime(v[1])
	to, isTo := readTime(v[2])
	if !isUnit || !isFrom || !isTo {
		return document.Value{}
	}
	if part.months > 0 {
		const year = 12
		months := func(t time.Time) int { return t.Year()*year + int(t.Month()) - 1 }
		return document.NumberValue(float64(months(to)/part.months - months(from)/part.months))
	}
	seconds := to.Truncate(part.fixed).Unix() - from.Truncate(part.fixed).Unix()
	if part.fixed >= time.Second {
		return document.NumberValue(float64(seconds / int64(part.fixed/time.Second)))
	}
	rest := to.Truncate(part.fixed).Nanosecond() - from.Truncate(part.fixed).Nanosecond()
	return document.NumberValue(float64(seconds*int64(time.Second/part.fixed)) + float64(rest/int(part.fixed)))
}

func dateTimePart(_ *run, v []document.Value) document.Value {
	part, isUnit := unitOf(v[0])
	t, isTime := readTime(v[1])
	if !isUnit || !isTime {
		return document.Value{}
	}
	return document.NumberValue(float64(part.part(t)))
}

// dateTimeBin rounds a time down to bins of the part, counted from an origin, 1970 by default.
func dateTimeBin(_ *run, v []document.Value) document.Value {
	t, isTime := readTime(v[0])
	part, isUnit := unitOf(v[1])
	size, origin, ok := 1, time.Unix(0, 0).UTC(), true
	if len(v) > 2 {
		size, ok = whole(v[2])
	}
	if len(v) > 3 && ok {
		origin, ok = readTime(v[3])
	}
	const most = 1 << 20
	if !isTime || !isUnit || !ok || size < 1 || size > most {
		return document.Value{}
	}
	if part.months > 0 {
		months := (t.Year()-origin.Year())*12 + int(t.Month()) - int(origin.Month())
		width := part.months * size
		bins := months / width
		if months%width < 0 || months%width == 0 && t.Before(origin.AddDate(0, bins*width, 0)) {
			bins--
		}
		return document.StringValue(origin.AddDate(0, bins*width, 0).Format(timeLayout))
	}
	width := part.fixed * time.Duration(size)
	offset := t.Sub(origin)
	bins := offset / width
	if offset%width < 0 {
		bins--
	}
	return document.StringValue(origin.Add(time.Duration(int64(bins) * int64(width))).Format(timeLayout))
}

func dateTimeFromParts(_ *run, v []document.Value) document.Value {
	parts := [7]int{}
	for i, value := range v {
		n, ok := whole(value)
		if !ok {
			return document.Value{}
		}
		parts[i] = n
	}
	const fractions = 10_000_000
	t := time.Date(parts[0], time.Month(parts[1]), parts[2], parts[3], parts[4], parts[5], parts[6]%fractions*int(tick), time.UTC)
	normal := t.Year() == parts[0] && int(t.Month()) == parts[1] && t.Day() == parts[2] && t.Hour() == parts[3] &&
		t.Minute() == parts[4] && t.Second() == parts[5] && parts[6] >= 0 && parts[6] < fractions && parts[0] > 0
	if !normal {
		return document.Value{}
	}
	return document.StringValue(t.Format(timeLayout))
}
