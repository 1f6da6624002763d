package scim

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// maxScanned is how many rows a scan without an index may yield.
	maxScanned = 200
	// maxDecoded is how many documents a scan may read.
	maxDecoded = 100_000
	// maxCompared is how many members, or memberships, a scan may compare.
	maxCompared = 1_000_000
	// maxSorted is how many rows are sorted for one answer.
	maxSorted = 10_000
)

// row is one candidate of a list.
type row struct {
	c        *connection
	kind     *resourceType
	user     directory.User
	group    directory.GroupRecord
	document map[string]any // read when a filter or a sort asks for it
	size     int            // of its text
	unread   error          // why it could not be
	compared int            // members and memberships that a filter asked for
	key      any            // what it is sorted by
}

func (r *row) id() directory.ID {
	if r.user.ID != "" {
		return r.user.ID
	}
	return r.group.ID
}

// render reads the resource as it is now.
func (r *row) render(q query) (map[string]any, error) {
	_, resource, err := r.c.rendered(r.kind, r.id(), q.projection(r.kind))
	return resource, err
}

// contains implements source.
func (r *row) contains(member string) (bool, bool) {
	if r.group.ID == "" {
		return false, false
	}
	return r.c.directory.IsMember(r.group.ID, directory.ID(member)), true
}

// values implements source.
func (r *row) values(path attrPath) any {
	if path.extension == nil {
		switch path.attribute.Name {
		case "id":
			return string(r.id())
		case "userName":
			return r.user.UserName
		case "active":
			return r.user.Active
		case "members":
			return r.members()
		case "groups":
			groups, err := r.c.groupsOf(r.user.ID, nil)
			r.unread = errors.Join(r.unread, err)
			r.compared += len(groups)
			return groups.objects()
		case "meta":
			if r.user.ID != "" {
				return r.c.meta(r.kind, r.id(), r.user.Created, r.user.Modified, r.user.Revision)
			}
			return r.c.meta(r.kind, r.id(), r.group.Created, r.group.Modified, r.group.Revision)
		case "schemas":
			resource, err := r.render(query{attributes: "schemas"})
			if err != nil {
				return nil
			}
			return resource["schemas"]
		}
	}
	document := r.decoded()
	if path.extension != nil {
		document, _ = document[path.extension.ID].(map[string]any)
	}
	return document[path.attribute.Name]
}

// members are those of a group, unless they are more than a scan may compare.
func (r *row) members() []any {
	r.compared += r.c.directory.MemberCount(r.group.ID)
	if r.compared > maxCompared {
		return nil // the scan ends here: see effort.add
	}
	members, err := r.c.membersOf(r.group.ID, true, nil)
	r.unread = errors.Join(r.unread, err)
	return members
}

func (r *row) decoded() map[string]any {
	if r.document == nil {
		r.document, r.unread = r.readDocument()
	}
	return r.document
}

// readDocument reads the document, and the record as it is now.
func (r *row) readDocument() (document map[string]any, err error) {
	var text []byte
	if r.user.ID != "" {
		r.user, err = r.c.directory.ReadUser(r.c.Name, r.user.ID)
		text = r.user.Document
	} else {
		r.group, err = r.c.directory.ReadGroup(r.c.Name, r.group.ID)
		text = r.group.Document
	}
	if err != nil {
		return map[string]any{}, err //nolint:wrapcheck // explain translates the directory's own words
	}
	r.size = len(text)
	return decodeDocument(text)
}

// list answers a query over one or more kinds.
func (c *connection) list(q query, of ...*resourceType) (answer, error) {
	if !q.sortable(of) {
		return answer{}, refusal(KindInvalidValue, "sortBy names no attribute")
	}
	w := &window{query: q}
	if q.hasCursor {
		after, err := c.openCursor(q, of)
		if err != nil {
			return answer{}, err
		}
		if len(of) > 1 {
			return answer{}, refusal(KindInvalidCursor, "a cursor needs one resource type")
		}
		w.after, w.query.startIndex = after, 1
	}
	var refused error
	parsed := 0
	for _, kind := range of {
		var f *filter
		if strings.TrimSpace(q.filter) != "" {
			expression, err := parseFilter(kind, q.filter)
			if err != nil {
				refused = err
				continue
			}
			f = &expression
		}
		parsed++
		if err := c.collect(w, kind, f); err != nil {
			return answer{}, err
		}
	}
	if parsed == 0 {
		return answer{}, refused
	}
	return c.page(w, of)
}

// sortable reports whether rows of some kind have what they are to be sorted by.
func (q query) sortable(of []*resourceType) bool {
	return q.sortBy == "" || slices.ContainsFunc(of, func(kind *resourceType) bool {
		_, ok := kind.resolve(q.sortBy)
		return ok
	})
}

// window is the part of a list that an answer holds.
type window struct {
	query query
	after directory.ID // rows up to this one were on earlier pages
	total int
	rows  []*row
	more  bool
}

// collect adds the rows of one kind.
func (c *connection) collect(w *window, kind *resourceType, f *filter) error {
	sorted := w.query.sortBy != ""
	if f == nil && !sorted {
		return c.collectAll(w, kind)
	}
	rows, indexed := c.candidates(kind, f)
	found := 0
	spent := effort{spent: w.query.spent, terms: f.terms()}
	for r := range rows {
		matched := f == nil || f.matches(r)
		if errors.Is(r.unread, directory.ErrNotFound) {
			continue // deleted meanwhile
		}
		if matched && sorted {
			r.key = r.sortKey(w.query.sortBy)
		}
		if err := errors.Join(r.unread, spent.add(r)); err != nil {
			return err
		}
		if !matched {
			continue
		}
		found++
		if f != nil && !indexed && found > maxScanned {
			return refusal(KindTooMany, "more than %d results; filter by an indexed attribute", maxScanned)
		}
		if sorted && w.total >= maxSorted {
			return refusal(KindTooMany, "more than %d results can't be sorted", maxSorted)
		}
		w.add(r, sorted)
	}
	return nil
}

// effort is what a scan has cost.
type effort struct {
	spent             *spending
	terms             int // of the filter
	decoded, compared int
}

// bytesPerComparison is what of a document one term of a filter looks at.
const bytesPerComparison = 32

// add pays for a row, and refuses a scan that costs too much.
func (e *effort) add(r *row) error {
	compared := r.compared + max(1, e.terms)*(1+r.size/bytesPerComparison)
	e.compared += r.compared
	if r.document != nil {
		e.decoded += documents(r.size)
		if err := e.spent.decode(r.size); err != nil {
			return err
		}
		r.document = nil // the row may be kept
	}
	switch {
	case e.compared > maxCompared:
		return refusal(KindTooMany, "the filter would compare more than %d members", maxCompared)
	case e.decoded > maxDecoded:
		return refusal(KindTooMany, "the filter would read more than %d resources", maxDecoded)
	default:
		return e.spent.compare(compared)
	}
}

// collectAll pages through everything without reading rows it won't show. Those
// before the page are passed one by one, which is paid as a comparison.
func (c *connection) collectAll(w *window, kind *resourceType) error {
	counts := c.directory.Counts(c.Name)
	total := counts.Users
	if kind == c.kinds.group {
		total = counts.Groups
	}
	before := w.total
	for r := range c.scan(kind, w.after) {
		if len(w.rows) >= w.query.count {
			w.more = true
			break
		}
		if err := w.query.spent.compare(1); err != nil {
			return err
		}
		w.add(r, false)
	}
	w.total = before + total
	return nil
}

// add counts a row and keeps it if it is on the page.
func (w *window) add(r *row, all bool) {
	w.total++
	if all {
		w.rows = append(w.rows, r)
		return
	}
	if w.after != "" && r.id() <= w.after || w.total < w.query.startIndex {
		return
	}
	if len(w.rows) < w.query.count {
		w.rows = append(w.rows, r)
	} else {
		w.more = true
	}
}

// page renders the collected rows.
func (c *connection) page(w *window, of []*resourceType) (answer, error) {
	if w.query.sortBy != "" {
		if err := w.sort(); err != nil {
			return answer{}, err
		}
	}
	resources := make([]any, 0, len(w.rows))
	for _, r := range w.rows {
		resource, err := r.render(w.query)
		if errors.Is(err, directory.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return answer{}, err
		}
		resources = append(resources, resource)
	}
	body := map[string]any{
		"schemas": []string{urnList}, "totalResults": w.total,
		"itemsPerPage": len(resources), "Resources": resources,
	}
	if !w.query.hasCursor {
		body["startIndex"] = w.query.startIndex
	} else if w.more && len(w.rows) > 0 {
		body["nextCursor"] = c.makeCursor(w.query, of, w.rows[len(w.rows)-1].id())
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// sort orders all rows and cuts the page out of them. Rows without a value
// come last when ascending (RFC 7644 §3.4.2.3).
func (w *window) sort() error {
	slices.SortStableFunc(w.rows, func(a, b *row) int {
		order := compareKeys(a.key, b.key)
		if strings.EqualFold(w.query.sortOrder, "descending") {
			return -order
		}
		return order
	})
	from := min(w.query.startIndex-1, len(w.rows))
	if w.after != "" {
		last := slices.IndexFunc(w.rows, func(r *row) bool { return r.id() == w.after })
		if last < 0 {
			return refusal(KindExpiredCursor, "the cursor's row is gone; start again")
		}
		from = last + 1
	}
	to := min(from+w.query.count, len(w.rows))
	w.more = to < len(w.rows)
	w.rows = w.rows[from:to]
	return nil
}

// sortKey returns the value that a row is sorted by: the primary or else first
// one of several. Members and memberships are no order.
func (r *row) sortKey(name string) any {
	path, ok := r.kind.resolve(name)
	if !ok || path.extension == nil && (path.attribute.Name == "members" || path.attribute.Name == "groups") {
		return nil
	}
	value := r.values(path)
	if list, ok := value.([]any); ok {
		value = nil
		for i, v := range list {
			if i == 0 || isPrimary(v) {
				value = v
			}
		}
	}
	value = leafValue(value, path)
	if s, ok := value.(string); ok && !path.leaf().CaseExact {
		return directory.Fold(s)
	}
	return value
}

// compareKeys orders values of one type; absent ones are greatest.
func compareKeys(a, b any) int {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return cmp.Compare(x, y)
		}
	case json.Number:
		if y, ok := b.(json.Number); ok {
			return compareNumbers(x, y)
		}
	case bool:
		if y, ok := b.(bool); ok {
			return cmp.Compare(rank(x), rank(y))
		}
	}
	return cmp.Compare(rank(a == nil), rank(b == nil))
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

const cursorHash = 8

// makeCursor returns the place after an id, bound to the question asked.
func (c *connection) makeCursor(q query, of []*resourceType, id directory.ID) string {
	return base64.RawURLEncoding.EncodeToString(append(c.cursorBinding(q, of), id...))
}

// openCursor returns the id that a cursor stands for; an empty cursor is the
// first page.
func (c *connection) openCursor(q query, of []*resourceType) (directory.ID, error) {
	if q.cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(q.cursor)
	if err != nil || len(b) <= cursorHash || string(b[:cursorHash]) != string(c.cursorBinding(q, of)) {
		return "", refusal(KindInvalidCursor, "cursor doesn't belong to this query")
	}
	return directory.ID(b[cursorHash:]), nil
}

func (c *connection) cursorBinding(q query, of []*resourceType) []byte {
	h := sha256.New()
	for _, part := range []string{c.Name, q.filter, q.sortBy, strings.ToLower(q.sortOrder), q.attributes, q.excluded} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	for _, kind := range of {
		h.Write([]byte(kind.name))
	}
	return h.Sum(nil)[:cursorHash]
}
