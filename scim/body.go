package scim

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

// readBody reads and parses a bounded body, and pays for it before it is parsed.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, path []string, spent *spending) (map[string]any, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodDelete || r.Method == http.MethodHead {
		return nil, nil //nolint:nilnil // these methods have no body
	}
	if !acceptable(r.Header.Get("Content-Type")) {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Detail: "content type must be " + mediaType}
	}
	limit := int64(maxBody)
	if bulkRequest(path) {
		limit = maxBulk
	}
	if r.ContentLength > limit {
		return nil, errBodyTooLarge()
	}
	// A recorder in a test has no deadline to set; a real connection has.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.config.BodyTimeout))
	text, err := read(http.MaxBytesReader(w, r.Body, limit), r.ContentLength, limit, spent)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil //nolint:nilnil // whether a body is needed depends on the path
	}
	// What is parsed is made into a canonical form besides.
	if room := 2 * bodyRoom(text); room > ownRoom {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: "body has too many values: send it in parts"}
	} else if room > freeRoom {
		if err := spent.hold(room); err != nil {
			return nil, err
		}
	}
	if err := spent.receive(len(text)); err != nil {
		return nil, err
	}
	return parseObject(text)
}

// read reads a body of a length that may be unknown, below zero. Room for the text
// of what is no small body is taken before it is read.
func read(body io.Reader, length, limit int64, spent *spending) ([]byte, error) {
	var text bytes.Buffer
	_, err := text.ReadFrom(io.LimitReader(body, freeBody))
	if err == nil && text.Len() == freeBody {
		if length < 0 {
			length = limit
		}
		if err := spent.hold(length * roomPerTextByte); err != nil {
			return nil, err
		}
		_, err = text.ReadFrom(body)
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, errBodyTooLarge()
	}
	if err != nil {
		return nil, refusal(KindInvalidSyntax, "body was cut off")
	}
	return text.Bytes(), nil
}

func errBodyTooLarge() *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Detail: "body is too large"}
}

// bodyRoom is the memory in bytes that a body takes at most when it is parsed:
// its text, an entry for every value, and what maps and slices have around them.
func bodyRoom(text []byte) int64 {
	const entry, key, array, object = 36, 48, 48, 360
	count := func(c string) int64 { return int64(bytes.Count(text, []byte(c))) }
	return 2*int64(len(text)) + entry*count(",") + key*count(":") + array*count("[") + object*count("{")
}
