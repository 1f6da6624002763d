package cosmos

import "strconv"

// Feed is a list of databases or containers, of which a caller may see a part. It is not for query results, where an alias
// can put any value under id. The zero Feed has no entries yet.
type Feed struct {
	rid     []byte
	name    string
	entries [][]byte
}

// Add reads a page of upstream's list and adds the entries whose id keep accepts. Its error is an [*Error]: the fault is
// upstream's.
func (f *Feed) Add(page []byte, keep func(name string) bool) error {
	scanner, err := newJSONScanner(page)
	if err != nil {
		return errFeed()
	}

	reader := feedReader{Feed: f, scanner: scanner, keep: keep}
	if err := scanner.members(reader.member); err != nil || scanner.end() != nil || reader.lists != 1 {
		return errFeed()
	}

	return nil
}

// Len is how many entries there are.
func (f *Feed) Len() int { return len(f.entries) }

// Page returns the entries from one to before another as a response body.
func (f *Feed) Page(from, to int) []byte {
	size := 0
	for _, entry := range f.entries[from:to] {
		size += len(entry) + 1
	}

	const frame = 64

	page := make([]byte, 0, frame+len(f.rid)+len(f.name)+size)
	page = append(page, '{')

	if f.rid != nil {
		page = append(page, `"_rid":`...)
		page = append(page, f.rid...)
		page = append(page, ',')
	}

	page = append(page, '"')
	page = append(page, f.name...)
	page = append(page, `":[`...)

	for i, entry := range f.entries[from:to] {
		if i > 0 {
			page = append(page, ',')
		}

		page = append(page, entry...)
	}

	page = append(page, `],"_count":`...)
	page = strconv.AppendInt(page, int64(to-from), 10)

	return append(page, '}')
}

func errFeed() *Error { return Unavailable("upstream feed cannot be read") }

// feedReader collects the entries of {"_rid":…,"Databases":[…],"_count":…}.
type feedReader struct {
	*Feed

	scanner *jsonScanner
	keep    func(string) bool
	lists   int
}

func (f *feedReader) member(name string) *Error {
	var err *Error

	switch name {
	case "_rid":
		f.rid, err = f.scanner.raw()
	case "Databases", "DocumentCollections":
		if f.name != "" && f.name != name {
			return errSyntax()
		}

		f.name = name
		f.lists++
		err = f.scanner.elements(f.entry)
	default:
		_, err = f.scanner.raw()
	}

	return err
}

// entry keeps an entry with exactly one id, if the id is accepted.
func (f *feedReader) entry() *Error {
	f.scanner.peek()

	start := f.scanner.pos
	id, seen := "", 0

	err := f.scanner.members(func(name string) *Error {
		if name != "id" {
			_, err := f.scanner.raw()

			return err
		}

		seen++

		var err *Error
		id, err = f.scanner.text()

		return err
	})
	if err != nil {
		return err
	}

	if seen == 1 && f.keep(id) {
		f.entries = append(f.entries, f.scanner.data[start:f.scanner.pos])
	}

	return nil
}
