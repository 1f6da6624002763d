package cosmos

import "strconv"

// FilterFeed drops from a feed of databases or containers the entries whose id keep does not accept, and corrects _count;
// the x-ms-item-count of the response is to be dropped by the caller. It is not for query results, where an alias can put
// any value under id. Its error is an [*Error]: the fault is upstream's.
func FilterFeed(body []byte, keep func(name string) bool) ([]byte, error) {
	scanner, err := newJSONScanner(body)
	if err != nil {
		return nil, errFeed()
	}

	feed := feedReader{scanner: scanner, keep: keep}
	if err := scanner.members(feed.member); err != nil || scanner.end() != nil || feed.name == "" {
		return nil, errFeed()
	}

	return feed.write(), nil
}

func errFeed() *Error { return Unavailable("upstream feed cannot be read") }

// feedReader collects the entries of {"_rid":…,"Databases":[…],"_count":…}.
type feedReader struct {
	scanner *jsonScanner
	keep    func(string) bool
	rid     []byte
	name    string
	entries [][]byte
}

func (f *feedReader) member(name string) *Error {
	var err *Error

	switch name {
	case "_rid":
		f.rid, err = f.scanner.raw()
	case "Databases", "DocumentCollections":
		if f.name != "" {
			return errSyntax()
		}

		f.name = name
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

func (f *feedReader) write() []byte {
	feed := make([]byte, 0, len(f.scanner.data))
	feed = append(feed, '{')

	if f.rid != nil {
		feed = append(feed, `"_rid":`...)
		feed = append(feed, f.rid...)
		feed = append(feed, ',')
	}

	feed = append(feed, '"')
	feed = append(feed, f.name...)
	feed = append(feed, `":[`...)

	for i, entry := range f.entries {
		if i > 0 {
			feed = append(feed, ',')
		}

		feed = append(feed, entry...)
	}

	feed = append(feed, `],"_count":`...)
	feed = strconv.AppendInt(feed, int64(len(f.entries)), 10)

	return append(feed, '}')
}
