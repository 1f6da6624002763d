package sighting

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

var errRaw = errors.New("not HTTP/1.1 in its plainest form")

// Raw reads the bytes of one request as they were sent, with a parser of its own that takes the plainest form of HTTP/1.1 only: what another
// parser could read otherwise is an error.
func Raw(sent []byte, rids map[string]string) (Sighting, error) {
	head, body, found := bytes.Cut(sent, []byte("\r\n\r\n"))
	if !found {
		return Sighting{}, fmt.Errorf("%w: no end of the header", errRaw)
	}
	lines := strings.Split(string(head), "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" || !plain(head) {
		return Sighting{}, fmt.Errorf("%w: %q", errRaw, lines[0])
	}
	header := http.Header{}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ": ")
		if !found || name == "" || strings.ContainsAny(name, " \t()<>@,;\\\"/[]?={}") || strings.TrimSpace(value) != value {
			return Sighting{}, fmt.Errorf("%w: header %q", errRaw, line)
		}
		header[http.CanonicalHeaderKey(name)] = append(header[http.CanonicalHeaderKey(name)], value)
	}
	host, length := header["Host"], header["Content-Length"]
	if len(host) != 1 || len(length) > 1 || len(header["Transfer-Encoding"]) > 0 || lengthOf(length) != len(body) {
		return Sighting{}, fmt.Errorf("%w: %d hosts, length %q for %d bytes", errRaw, len(host), length, len(body))
	}
	delete(header, "Host")
	return Of(&http.Request{Method: words[0], RequestURI: words[1], Host: host[0], Header: header}, body, rids), nil
}

// plain says whether a header is ASCII without controls, but for its line breaks.
func plain(head []byte) bool {
	for i, c := range head {
		switch {
		case c == '\r' && i+1 < len(head) && head[i+1] == '\n', c == '\n' && i > 0 && head[i-1] == '\r':
		case c < ' ' && c != '\t', c == 0x7F:
			return false
		}
	}
	return true
}

func lengthOf(sent []string) int {
	if len(sent) == 0 {
		return 0
	}
	n, err := strconv.Atoi(sent[0])
	if err != nil {
		return -1
	}
	return n
}
