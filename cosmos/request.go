package cosmos

import (
	"net/http"
	"net/url"
	"strings"
)

// selectors are the headers that choose the operation of a POST.
type selectors uint8

const (
	selectQuery selectors = 1 << iota
	selectPlan
	selectBatch
	selectUpsert
	selectIncrementalFeed
	selectAllVersionsFeed
)

const selectFeed = selectIncrementalFeed | selectAllVersionsFeed

// flag is a boolean header that may be absent.
type flag uint8

const (
	flagAbsent flag = iota
	flagFalse
	flagTrue
)

// field is a header of the caller that goes upstream under its canonical name.
type field struct {
	name, value string
}

// Request is a request whose path and headers can be read in one way only.
type Request struct {
	method  string
	address address
	sent    string // the escaped path
	length  int64

	selectors selectors
	media     mediaType
	version   string
	// keys holds the key of the header, if hasKey, in the space that keyParts offers.
	keys     [1]PartitionKey
	keyParts [maxKeyComponents]string
	hasKey   bool

	atomic, ordered, continues      flag
	hasTriggers                     bool
	hasSerialization                bool
	intendedContainer, containerRID string
	activityID                      string
	prefer, contentResponse         string

	// fields go upstream whatever the operation, ranges with operations on items, and dedicated where there is a
	// dedicated gateway.
	fields, ranges, dedicated []field
	stripped                  []string
}

// Sanitize checks the path, the headers and the framing of r and returns their tuple. It removes hop-by-hop headers and
// those named by Connection from r.Header before anything reads them, and reads no body. Its error is an [*Error].
func Sanitize(r *http.Request) (*Request, error) {
	dropHopByHop(r.Header)

	q := &Request{method: r.Method, length: r.ContentLength, fields: make([]field, 0, len(r.Header))}
	if err := q.read(r); err != nil {
		return nil, err
	}

	return q, nil
}

func (q *Request) read(r *http.Request) *Error {
	if err := checkFraming(r); err != nil {
		return err
	}

	path, err := pathAsSent(r.URL)
	if err != nil {
		return err
	}

	q.sent = path
	if err := q.address.parse(path); err != nil {
		return err
	}

	if q.address.resource != resAddresses && (r.URL.RawQuery != "" || r.URL.ForceQuery) {
		return Malformed("the request has a query string")
	}

	for name, values := range r.Header {
		if err := q.take(name, values); err != nil {
			return err
		}
	}

	return nil
}

// pathAsSent is the escaped path in the caller's own spelling. [url.URL.EscapedPath] would decode and encode it anew where it
// holds a character that should have been escaped, and turn an encoded slash beside it into a real one.
func pathAsSent(u *url.URL) (string, *Error) {
	if u.RawPath == "" {
		return u.EscapedPath(), nil
	}

	if strings.ContainsAny(u.RawPath, `\#`) {
		return "", Malformed("the path holds a backslash or a fragment")
	}

	return u.RawPath, nil
}

// checkFraming refuses messages whose body or target reads two ways.
func checkFraming(r *http.Request) *Error {
	switch r.Method {
	case http.MethodGet, http.MethodDelete:
		if r.ContentLength != 0 {
			return Malformed("a " + r.Method + " request has a body")
		}
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return Malformed("the method is not one of the data plane")
	}

	if r.URL == nil || r.URL.Opaque != "" || r.URL.Fragment != "" || r.URL.User != nil {
		return Malformed("the request target is not a path")
	}

	if err := checkAuthority(r); err != nil {
		return err
	}

	// net/http refuses several lengths over HTTP/1.1 and takes the first over HTTP/2.
	if len(r.Header["Content-Length"]) > 1 {
		return Malformed("the request has several lengths")
	}

	if len(r.Trailer) > 0 {
		return Malformed("the request announces trailers")
	}

	return nil
}

// checkAuthority refuses a target in absolute form that is not HTTP, and one that names another host than the request does:
// HTTP/2 lets :path, :authority and Host differ (RFC 9113, section 8.3.1).
func checkAuthority(r *http.Request) *Error {
	if r.URL.Scheme != "" && r.URL.Scheme != "https" && r.URL.Scheme != "http" {
		return Malformed("the request target is not one of HTTP")
	}

	if r.URL.Host != "" && r.URL.Host != r.Host {
		return Malformed("the request target names another host than the request")
	}

	// net/http takes the header away over HTTP/1.1, and leaves it beside :authority over HTTP/2.
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(host, r.Host) {
			return Malformed("the Host header names another host than :authority")
		}
	}

	return nil
}

// dropHopByHop removes the headers that Connection names, then the connection's own. Upgrade and Trailer stay, to be
// refused.
func dropHopByHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			name = strings.TrimSpace(name)
			// "Connection: upgrade" announces the header that is refused for what it is.
			if name != "" && !strings.EqualFold(name, "upgrade") && !strings.EqualFold(name, "trailer") {
				h.Del(name)
			}
		}
	}

	for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding"} {
		delete(h, name)
	}
}

// take judges one header.
func (q *Request) take(name string, values []string) *Error {
	class := classifyHeader(name)

	switch class {
	case headerDropped:
		return nil
	case headerRefused:
		return Malformed("the request has a header that changes its framing or encoding")
	case headerUnknown:
		return q.takeUnknown(name)
	default:
	}

	if len(values) != 1 {
		return Malformed("a header occurs several times")
	}

	value := values[0]

	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return Malformed("a header holds a control character")
		}
	}

	if class == headerForwarded {
		if value != "" { // Python 3.1 sends an empty session token.
			q.fields = append(q.fields, field{name, value})
		}

		return nil
	}

	return q.takeJudged(class, name, value)
}

func (q *Request) takeUnknown(name string) *Error {
	canonical := http.CanonicalHeaderKey(name)
	if looksLikeSelector(canonical) {
		return Malformed("a header may select an operation that this gateway does not know")
	}

	if canonical != name && classifyHeader(canonical) != headerUnknown {
		return Malformed("a header name is not in its canonical form")
	}

	q.stripped = append(q.stripped, canonical)

	return nil
}

// takeJudged reads a header that has a meaning for the gate.
func (q *Request) takeJudged(class headerClass, name, value string) *Error {
	switch class {
	case headerIsQuery, headerQuery:
		return q.choose(selectQuery, value)
	case headerQueryPlan:
		return q.choose(selectPlan, value)
	case headerBatch:
		return q.choose(selectBatch, value)
	case headerUpsert:
		return q.choose(selectUpsert, value)
	case headerFeedMode:
		return q.chooseFeed(value)
	case headerBatchAtomic:
		return setFlag(&q.atomic, value)
	case headerBatchOrdered:
		return setFlag(&q.ordered, value)
	case headerBatchContinue:
		return setFlag(&q.continues, value)
	case headerContentType:
		q.media = parseMedia(value)
	case headerVersion:
		return q.takeVersion(name, value)
	case headerActivityID:
		if isGUID(value) {
			q.activityID = value
		}
	case headerSerialization:
		q.hasSerialization = true
	default:
		return q.takeScope(class, name, value)
	}

	return nil
}

// takeScope reads the headers that say which partitions and which container are meant, and those that some operations
// may not have.
func (q *Request) takeScope(class headerClass, name, value string) *Error {
	switch class {
	case headerPartitionKey:
		return q.takeKey(value)
	case headerIntendedContainer:
		return setContainerRID(&q.intendedContainer, value)
	case headerContainerRID:
		return setContainerRID(&q.containerRID, value)
	default:
	}

	if value == "" {
		return nil
	}

	switch class {
	case headerRangeID, headerStartEPK, headerEndEPK, headerReadKeyType:
		q.ranges = append(q.ranges, field{name, value})
	case headerTrigger:
		q.hasTriggers = true
		q.fields = append(q.fields, field{name, value})
	case headerPrefer:
		q.prefer = value
	case headerContentResponse:
		q.contentResponse = value
	case headerDedicatedGateway:
		q.dedicated = append(q.dedicated, field{name, value})
	default:
	}

	return nil
}

// preferMinimal is the only preference that keeps a written item out of the response.
const preferMinimal = "return=minimal"

// wantsContent says whether the response to a write may hold the item.
func (q *Request) wantsContent() bool { return q.prefer != preferMinimal || q.contentResponse != "" }

func (q *Request) takeKey(value string) *Error {
	n, err := parsePartitionKey(value, &q.keyParts)
	if err != nil {
		return err
	}

	q.keys[0], q.hasKey = q.keyParts[:n:n], true

	return nil
}

// choose reads a selector: true in any case selects, false is as good as absent, anything else could be taken for either.
func (q *Request) choose(s selectors, value string) *Error {
	var f flag
	if err := setFlag(&f, value); err != nil {
		return err
	}

	if f == flagTrue {
		q.selectors |= s
	}

	return nil
}

func (q *Request) chooseFeed(value string) *Error {
	switch {
	case equalASCII(value, feedIncremental):
		q.selectors |= selectIncrementalFeed
	case equalASCII(value, feedAllVersions):
		q.selectors |= selectAllVersionsFeed
	default:
		return Malformed("A-IM names an unknown kind of feed")
	}

	return nil
}

const (
	feedIncremental = "Incremental Feed"
	feedAllVersions = "Full-Fidelity Feed"
)

func setFlag(f *flag, value string) *Error {
	switch {
	case equalASCII(value, "true"):
		*f = flagTrue
	case equalASCII(value, "false"):
		*f = flagFalse
	default:
		return Malformed("a header that must be true or false is neither")
	}

	return nil
}

func setContainerRID(dst *string, value string) *Error {
	if value == "" {
		return nil
	}

	rid, ok := decodeRID(value)
	if !ok || rid.Kind() != ContainerRID {
		return Malformed("a header names a container by something that is not its resource id")
	}

	*dst = rid.String()

	return nil
}

// equalASCII compares without regard to ASCII case only.
func equalASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}

	for i := range len(a) {
		if lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}

	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}

	return c
}

// isGUID accepts the 36-character form of RFC 9562.
func isGUID(s string) bool {
	const size = 36
	if len(s) != size {
		return false
	}

	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23: // the places of the dashes
			if s[i] != '-' {
				return false
			}
		default:
			if _, ok := hexDigit(s[i]); !ok {
				return false
			}
		}
	}

	return true
}

// maxBody is the service's limit on items and batches, 2 MB, with a margin for what it counts differently.
const maxBody = 2<<20 + 64<<10

// BodyLimit returns the largest body in bytes that the request may have (0: none), and whether [Classify] has to see it
// whole. A body that is not inspected is streamed.
func (q *Request) BodyLimit() (limit int64, inspect bool) {
	switch {
	case q.method == http.MethodGet || q.method == http.MethodDelete:
		return 0, false
	case q.address.resource == resItem:
		return maxBody, q.method == http.MethodPatch
	case q.address.resource == resItems:
		return maxBody, q.selectors&selectBatch != 0
	default:
		return maxBody, false
	}
}

// ActivityID is the caller's x-ms-activity-id if it is a GUID, else "".
func (q *Request) ActivityID() string { return q.activityID }

// Target returns the names that the path addresses, for the record of a request that is refused before it is classified.
// Empty where the path is above that level or made of resource ids.
func (q *Request) Target() (database, container string) {
	if q.address.rids {
		return "", ""
	}

	return q.address.database, q.address.container
}

// Stripped returns the names of the headers that were dropped because they are on no list. They are the caller's choice:
// a metric must not be labelled with them.
func (q *Request) Stripped() []string { return q.stripped }
