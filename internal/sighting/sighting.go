// Package sighting says what somebody who knows nothing of the gate takes a request for, once it has been forwarded: the
// differential oracle of the bypass corpus and of the fuzzers. It shares no code with package cosmos, is as lenient as a
// service might be, and notes whatever could be read in two ways. It is for tests.
package sighting

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Sighting is one request as upstream understood it.
type Sighting struct {
	Operation, Host, Resource, ID string
	Key                           string // canonical JSON, "" if there was none
	Ranged                        bool
	Verbs                         []string // of a batch
	Keys                          []string // of the operations of a batch, canonical JSON; "" for one that names none
	Asks                          bool     // a patch holds a condition, which is a question about the item
	Shows                         bool     // a patch returns the item
	Triggers                      bool
	Notes                         []string // what no gate may send
	Body                          string
	Header                        http.Header
}

// String is the sighting on one line, as the rows of the bypass corpus write it.
func (s *Sighting) String() string {
	var b strings.Builder
	b.WriteString(s.Operation + " " + s.Resource)
	if s.ID != "" {
		b.WriteString(" " + s.ID)
	}
	if s.Key != "" {
		b.WriteString(" " + s.Key)
	}
	if s.Ranged {
		b.WriteString(" ranged")
	}
	if len(s.Verbs) > 0 {
		b.WriteString(" " + strings.Join(s.Verbs, "+"))
	}
	if len(s.Notes) > 0 {
		b.WriteString(" !" + strings.Join(s.Notes, " !"))
	}
	return b.String()
}

// Of reads a request as leniently as a service might, and notes what could be
// read in another way.
func Of(r *http.Request, body []byte, rids map[string]string) Sighting {
	s := Sighting{Host: r.Host, Header: r.Header, Body: string(body), Operation: "unknown"}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if query != "" || strings.HasSuffix(r.RequestURI, "?") {
		s.note("query string")
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, segment := range segments {
		const leaf = 5
		segments[i] = s.readSegment(segment, i == leaf)
	}
	for name, values := range r.Header {
		if len(values) > 1 {
			s.note("twice: " + name)
		}
		if forbidden(name) {
			s.note("sent: " + name)
		}
	}
	if token := r.Header.Get("Authorization"); !strings.HasPrefix(token, "type%3Daad%26ver%3D1.0%26sig%3Dupstream-token-of-") {
		s.note("foreign credential")
	}
	s.locate(segments, rids)
	s.name(r, segments, body)
	s.scope(r.Header)
	return s
}

func (s *Sighting) note(text string) { s.Notes = append(s.Notes, text) }

// readSegment decodes a part of the path; only the last one, an item's id, may hold separators.
func (s *Sighting) readSegment(segment string, leaf bool) string {
	value, err := url.PathUnescape(segment)
	twice, again := url.PathUnescape(value)
	switch {
	case err != nil:
		s.note("bad escape")
	case value == "" || value == "." || value == "..":
		s.note("empty or dot segment")
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		s.note("control character")
	case !leaf && strings.ContainsAny(value, `/\?#`):
		s.note("separator in a name")
	case again == nil && twice != value && !leaf:
		s.note("encoded twice")
	}
	if again == nil && dotted(twice) {
		s.note("dot segment inside")
	}
	return value
}

// dotted says whether a part between separators is a dot segment.
func dotted(text string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(text, func(c rune) bool { return c == '/' || c == '\\' }), func(part string) bool {
		return part == ".." || part == "."
	})
}

// forbidden names headers that must never reach the service.
func forbidden(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range []string{"cookie", "x-forwarded", "forwarded", "via", "x-http-method", "x-method", "proxy-", "te",
		"trailer", "upgrade", "content-encoding", "range", "if-range", "x-ms-thinclient", "x-ms-dedicatedgateway", "transfer-encoding",
		"x-cosmosgate", "x-original", "x-rewrite", "x-ms-cosmos-priority-level", "x-ms-cosmos-throughput-bucket", "globaldatabaseaccountname"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return strings.Contains(lower, "_")
}

func (s *Sighting) locate(segments []string, rids map[string]string) {
	if len(segments) > 1 {
		s.Resource = segments[1]
	}
	if len(segments) == 4 && strings.EqualFold(segments[2], "clientencryptionkeys") {
		s.ID = segments[3]
	} else if len(segments) > 3 {
		s.Resource += "/" + segments[3]
	}
	for path, rid := range rids {
		if s.Resource == rid || strings.HasSuffix(s.Resource, "/"+rid) {
			s.Resource = path
			break
		}
	}
	if len(segments) > 5 {
		s.ID = segments[5]
	}
}

// scope reads the headers that confine a request.
func (s *Sighting) scope(h http.Header) {
	for _, name := range []string{"X-Ms-Documentdb-Partitionkeyrangeid", "X-Ms-Start-Epk", "X-Ms-End-Epk"} {
		s.Ranged = s.Ranged || h.Get(name) != ""
	}
	for _, name := range []string{"X-Ms-Documentdb-Pre-Trigger-Include", "X-Ms-Documentdb-Post-Trigger-Include"} {
		s.Triggers = s.Triggers || h.Get(name) != ""
	}
	if sent := h.Get("X-Ms-Documentdb-Partitionkey"); sent != "" {
		s.Key = s.canonical(sent)
	}
	const longest = 300
	if len(s.Key) > longest {
		s.Key = strconv.Itoa(len(s.Key)) + " bytes of key"
	}
}

// canonical writes a partition key as encoding/json does.
func (s *Sighting) canonical(sent string) string {
	var parts []any
	if err := json.Unmarshal([]byte(sent), &parts); err != nil {
		s.Notes = append(s.Notes, "key: "+err.Error())
		return sent
	}
	canonical, err := json.Marshal(parts)
	if err != nil {
		s.Notes = append(s.Notes, "key: "+err.Error())
	}
	return string(canonical)
}
