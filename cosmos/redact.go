package cosmos

import (
	"bytes"
	"slices"
)

// Body says where documents are in a response body.
type Body uint8

// The forms of response bodies. The zero Body holds no documents.
const (
	BodyNone Body = iota
	// BodyItem is one document.
	BodyItem
	// BodyFeed is {"_rid":…,"Documents":[…],"_count":…}.
	BodyFeed
	// BodyChanges is a feed whose documents may be wrapped: {"current":…,"previous":…,"metadata":…}.
	BodyChanges
	// BodyBatch is [{"statusCode":…,"resourceBody":…}, …].
	BodyBatch
)

// Body is the form of a successful response to the operation; false if its documents cannot be told from the rest.
func (op *Operation) Body() (Body, bool) {
	switch op.Type {
	case OpReadItem, OpCreateItem, OpUpsertItem, OpReplaceItem, OpPatchItem, OpDeleteItem:
		return BodyItem, true
	case OpQueryItems, OpReadFeed:
		return BodyFeed, true
	case OpChangeFeed, OpChangeFeedAllVersions, OpChangeFeedQuery:
		return BodyChanges, true
	case OpBatch, OpBulk:
		return BodyBatch, op.contentType == contentTypeJSON
	default:
		return BodyNone, op.NoData
	}
}

const (
	// binaryJSON is the first byte of the service's binary JSON.
	binaryJSON = 0x80
	// bodyDepth is what the frame around documents adds to their depth.
	bodyDepth = maxDepth + 8
)

// Redact takes properties out of every document of a response body: each path is the names on the way to one, arrays
// on the way are gone through. It returns the body without them and how many it took. What is not known to be harmless
// beside documents is left out; a body that cannot be read is an [*Error], and the fault upstream's.
func Redact(body []byte, form Body, paths [][]string) ([]byte, int, error) {
	if len(body) > 0 && body[0] == binaryJSON {
		return nil, 0, Unavailable("upstream answered in binary JSON where properties are redacted")
	}

	scanner, err := newJSONScanner(body)
	if err != nil {
		return nil, 0, errRedact()
	}

	r := redactor{scanner: scanner, paths: paths, out: make([]byte, 0, len(body))}
	if err := r.body(form); err != nil || scanner.end() != nil {
		return nil, 0, errRedact()
	}

	return r.out, r.removed, nil
}

func errRedact() *Error {
	return Unavailable("upstream response cannot be read, so that nothing could be redacted")
}

// redactor copies a JSON text without what is redacted.
type redactor struct {
	scanner *jsonScanner
	paths   [][]string
	out     []byte
	removed int
}

func (r *redactor) body(form Body) *Error {
	switch form {
	case BodyItem:
		return r.document(bodyDepth)
	case BodyFeed:
		return r.frame(func() *Error { return r.document(bodyDepth) })
	case BodyChanges:
		return r.frame(r.change)
	case BodyBatch:
		return r.list(r.result)
	case BodyNone:
		return errRedact()
	default:
		return errRedact()
	}
}

// frame copies a feed: its documents, id and count.
func (r *redactor) frame(document func() *Error) *Error {
	return r.object(func(name string) (bool, *Error) {
		switch name {
		case "Documents":
			r.name(name)

			return true, r.list(document)
		case "_rid", "_count":
			r.name(name)

			return true, r.scalar()
		default:
			return false, r.drop()
		}
	})
}

// result copies the result of one operation of a batch: its document, and what says nothing of one.
func (r *redactor) result() *Error {
	return r.object(func(name string) (bool, *Error) {
		switch c := r.scanner.peek(); {
		case name == "resourceBody" && c == '{':
			r.name(name)

			return true, r.document(bodyDepth)
		case name == "resourceBody" && c != 'n':
			return false, errRedact()
		case !resultMember(name) || c == '{' || c == '[':
			return false, r.drop()
		default:
			r.name(name)

			return true, r.scalar()
		}
	})
}

// resultMember says whether a member of a result is harmless. The text of an error, were there one, might not be.
func resultMember(name string) bool {
	switch name {
	case "statusCode", "subStatusCode", "requestCharge", "eTag", "retryAfterMilliseconds", "resourceBody":
		return true
	default:
		return false
	}
}

// change copies a document of a change feed. Its wrapper, if it has one, names the partition key of what was deleted,
// which may be what is redacted. A plain document may have properties of the same names, so what is redacted there is
// taken out besides.
func (r *redactor) change() *Error {
	if r.scanner.peek() != '{' {
		return errRedact()
	}

	return r.without(r.paths, bodyDepth, func(name string, below [][]string) (bool, *Error) {
		c := r.scanner.peek()

		switch {
		case (name == "current" || name == "previous") && c == '{':
			r.name(name)

			return true, r.value(slices.Concat(r.paths, below), bodyDepth-1)
		case name == "metadata" && c == '{':
			r.name(name)

			return true, r.without(append([][]string{{"partitionKey"}}, below...), bodyDepth-1, nil)
		default:
			return false, nil
		}
	})
}

// document copies a document without what is redacted.
func (r *redactor) document(depth int) *Error {
	if r.scanner.peek() != '{' {
		return errRedact()
	}

	return r.value(r.paths, depth)
}

// value copies what lies under paths.
func (r *redactor) value(paths [][]string, depth int) *Error {
	if depth == 0 {
		return errRedact()
	}

	switch r.scanner.peek() {
	case '{':
		return r.without(paths, depth, nil)
	case '[':
		return r.list(func() *Error { return r.value(paths, depth-1) })
	default:
		return r.scalar()
	}
}

// without copies an object without the members that paths end at. A member that special has copied is left to it.
func (r *redactor) without(paths [][]string, depth int, special func(name string, below [][]string) (bool, *Error)) *Error {
	return r.object(func(name string) (bool, *Error) {
		below, ends := under(paths, name)
		if ends {
			r.removed++

			return false, r.drop()
		}

		if special != nil {
			if kept, err := special(name, below); kept || err != nil {
				return kept, err
			}
		}

		r.name(name)

		if len(below) > 0 {
			return true, r.value(below, depth-1)
		}

		return true, r.copy(depth - 1)
	})
}

// under returns what is left of the paths through a name, and whether one ends there.
func under(paths [][]string, name string) (below [][]string, ends bool) {
	for _, path := range paths {
		switch {
		case len(path) == 0 || path[0] != name:
		case len(path) == 1:
			return nil, true
		default:
			below = append(below, path[1:])
		}
	}

	return below, false
}

// object copies an object; member says whether it wrote its member.
func (r *redactor) object(member func(name string) (bool, *Error)) *Error {
	r.out = append(r.out, '{')
	first := true
	err := r.scanner.members(func(name string) *Error {
		mark := len(r.out)
		if !first {
			r.out = append(r.out, ',')
		}

		wrote, err := member(name)
		if !wrote {
			r.out = r.out[:mark]
		}

		first = first && !wrote

		return err
	})
	r.out = append(r.out, '}')

	return err
}

// list copies an array.
func (r *redactor) list(element func() *Error) *Error {
	r.out = append(r.out, '[')
	first := true
	err := r.scanner.elements(func() *Error {
		if !first {
			r.out = append(r.out, ',')
		}

		first = false

		return element()
	})
	r.out = append(r.out, ']')

	return err
}

func (r *redactor) name(name string) {
	r.out = append(appendJSONString(r.out, name), ':')
}

// scalar copies a value that holds no others.
func (r *redactor) scalar() *Error {
	if c := r.scanner.peek(); c == '{' || c == '[' {
		return errRedact()
	}

	return r.copy(1)
}

func (r *redactor) copy(depth int) *Error {
	r.scanner.peek()
	start := r.scanner.pos
	err := r.scanner.skip(depth)
	r.out = append(r.out, bytes.TrimSpace(r.scanner.data[start:r.scanner.pos])...)

	return err
}

func (r *redactor) drop() *Error { return r.scanner.skip(bodyDepth) }
