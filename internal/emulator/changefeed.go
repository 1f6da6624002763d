package emulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// changeFeed answers what changed in a scope since a point, oldest first, and where it got to as
// the entity tag; 304 when nothing has changed since.
func (x *exchange) changeFeed() (*response, error) {
	if err := x.require(actionChangeFeed); err != nil {
		return nil, err
	}
	all := false
	switch kind := x.request.Header.Get("A-Im"); strings.ToLower(kind) {
	case "incremental feed":
	case "full-fidelity feed":
		all = true
	default:
		return nil, badRequest("The A-IM header '%s' is not supported.", kind)
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, _, err := x.target()
	if err != nil {
		return nil, err
	}
	over, _, err := x.scope(c)
	if err != nil {
		return nil, err
	}
	since, err := x.since(c, all)
	if err != nil {
		return nil, err
	}
	if all {
		return x.changeAnswer(c, since, c.history(over, since))
	}
	return x.changeAnswer(c, since, c.latest(over, since, x.now()))
}

// since reads the point from which to go on: a continuation, now, a time, or the beginning.
func (x *exchange) since(c *container, all bool) (point, error) {
	header := x.request.Header
	mark := header.Get("If-None-Match")
	switch {
	case mark == "*":
		return point{lsn: c.lsn}, nil
	case mark != "":
		lsn, err := strconv.ParseUint(strings.Trim(mark, `"`), 10, 64)
		if err != nil {
			return point{}, badRequest("The change feed continuation '%s' is invalid.", mark)
		}
		return point{lsn: lsn}, nil
	}
	if start := header.Get("If-Modified-Since"); start != "" {
		// azcosmos ends the time in UTC where HTTP has GMT.
		when, err := http.ParseTime(strings.Replace(start, "UTC", "GMT", 1))
		if err != nil {
			if when, err = time.Parse(time.RFC3339Nano, start); err != nil {
				return point{}, badRequest("The If-Modified-Since header '%s' is invalid.", start)
			}
		}
		return point{after: when}, nil
	}
	if all {
		return point{lsn: c.lsn}, nil // all versions can only be read from now on
	}
	return point{}, nil
}

// point is a place in the history: after a sequence number, or from a time on.
type point struct {
	lsn   uint64
	after time.Time
}

func (p point) before(lsn uint64, when time.Time) bool {
	return lsn > p.lsn && !when.Before(p.after.Truncate(time.Second))
}

// changed is one element of a change feed.
type changed struct {
	lsn   uint64
	value document.Value
	size  int
}

// latest returns the current version of every item that changed, in the order of their changes.
func (c *container) latest(over scope, since point, now time.Time) []changed {
	var list []changed
	for _, one := range c.within(over, now) {
		if since.before(one.lsn, one.when) {
			list = append(list, changed{one.lsn, one.value.With("_lsn", number(one.lsn)), len(one.body)})
		}
	}
	slices.SortFunc(list, func(a, b changed) int {
		if a.lsn < b.lsn {
			return -1
		}
		return 1
	})
	return list
}

// history returns every version and deletion, each with what it replaced.
func (c *container) history(over scope, since point) []changed {
	var list []changed
	for _, one := range c.changes {
		about := one.current
		if about == nil {
			about = one.earlier
		}
		if !since.before(one.lsn, one.when) || !over.holds(about.key) {
			continue
		}
		metadata := []document.Member{
			member("operationType", text(one.operation)), member("lsn", number(one.lsn)), member("crts", number(one.when.Unix())),
		}
		if one.earlier != nil {
			metadata = append(metadata, member("previousImageLSN", number(one.earlier.lsn)))
		}
		members := []document.Member{member("metadata", object(metadata...))}
		if one.current != nil {
			members = append(members, member("current", one.current.value))
		}
		if one.earlier != nil {
			members = append(members, member("previous", one.earlier.value))
		}
		list = append(list, changed{one.lsn, object(members...), len(about.body)})
	}
	return list
}

func (x *exchange) changeAnswer(c *container, since point, list []changed) (*response, error) {
	page, err := x.newPage("changes")
	if err != nil {
		return nil, err
	}
	reached := max(since.lsn, c.lsn)
	for i, one := range list {
		if !page.add(one.value, one.size, one.lsn, 0) {
			reached = list[i-1].lsn
			break
		}
	}
	etag := `"` + strconv.FormatUint(reached, 10) + `"`
	var answer *response
	if len(page.values) == 0 {
		answer = newResponse(http.StatusNotModified, nil)
	} else {
		answer = feed(encodeRID(c.rid), "Documents", page.values)
		answer.header.Set(headerContinuation, etag)
	}
	x.containerHeaders(answer, c)
	answer.header.Set("Etag", etag)
	return answer.charged(metadataCharge + readCharge(page.size)), nil
}
