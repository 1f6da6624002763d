package scim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

const (
	// documentRoom is room for the JSON of a usual document, answerRoom for that of
	// a usual answer.
	documentRoom = 1 << 10
	answerRoom   = 4 << 10
	// maxPooled bounds the buffers that are kept for other answers.
	maxPooled = 64 << 10
)

// buffers are those of answers, each for one at a time.
type buffers struct{ pool sync.Pool }

// encode calls send with the JSON of an answer, which is valid until it returns.
// If it returns an error, HTTP/2 may still be sending a part (writeDataFromHandler,
// when the stream was reset meanwhile): nobody else gets that buffer.
func (p *buffers) encode(answer any, send func([]byte) error) error {
	b, _ := p.pool.Get().(*[]byte)
	if b == nil {
		b = new(make([]byte, 0, answerRoom))
	}
	body, err := appendJSON((*b)[:0], answer)
	if err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	if send(body) == nil && cap(body) <= maxPooled {
		*b = body
		p.pool.Put(b)
	}
	return nil
}

// encodeJSON writes a value without escaping what only HTML minds. It writes
// what encoding/json does, but for documents and answers, which are maps and
// lists, without reflection: they are most of the work of a write.
func encodeJSON(value any) ([]byte, error) {
	b, err := appendJSON(make([]byte, 0, documentRoom), value)
	if err != nil {
		return nil, fmt.Errorf("encoding a resource: %w", err)
	}
	return b, nil
}

func appendJSON(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return appendText(b, v)
	case bool:
		return strconv.AppendBool(b, v), nil
	case []any:
		return appendArray(b, v)
	case map[string]any:
		return appendObject(b, v)
	case json.RawMessage: // ours
		return append(b, v...), nil
	default:
		return appendOther(b, value)
	}
}

func appendArray(b []byte, values []any) (_ []byte, err error) {
	if values == nil {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, v); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendObject(b []byte, object map[string]any) (_ []byte, err error) {
	if object == nil {
		return append(b, "null"...), nil
	}
	var few [2 * smallObject]string
	keys := few[:0]
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendText(b, key); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), object[key]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendText writes a string; one that has something to escape is rare.
func appendText(b []byte, text string) ([]byte, error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendOther(b, text)
		}
	}
	return append(append(append(b, '"'), text...), '"'), nil
}

// appendOther writes what the others don't know.
func appendOther(b []byte, value any) ([]byte, error) {
	buffer := bytes.NewBuffer(b)
	e := json.NewEncoder(buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err //nolint:wrapcheck // encodeJSON says what for
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
