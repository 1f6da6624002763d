package emulator

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// resource is a kind of thing that has an address, named by its keyword in paths.
type resource string

const (
	resourceAccount    resource = ""
	resourceDatabase   resource = "dbs"
	resourceContainer  resource = "colls"
	resourceItem       resource = "docs"
	resourceRange      resource = "pkranges"
	resourceConflict   resource = "conflicts"
	resourceSproc      resource = "sprocs"
	resourceTrigger    resource = "triggers"
	resourceUDF        resource = "udfs"
	resourceUser       resource = "users"
	resourcePermission resource = "permissions"
	resourceKey        resource = "clientencryptionkeys"
	resourceOffer      resource = "offers"
	resourceAddresses  resource = "addresses"
)

// address is a parsed request path.
type address struct {
	// kind is the last keyword of the path; feed is true when nothing follows it.
	kind resource
	feed bool
	// names are the values after the keywords dbs, colls and the last one, decoded once.
	database  string
	container string
	id        string
	// parent is the value before id for users/permissions.
	parent string
	// rids is true when the whole path addresses by resource id; then leaf is the last value.
	rids bool
	leaf string
	// raw is the path as sent without slashes at its ends; decoded is it decoded once.
	raw, decoded string
}

// parseAddress splits the escaped path into keywords and values.
func parseAddress(u *url.URL) (address, error) {
	var segments, raw []string
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if segment == "" {
			continue
		}
		value, err := url.PathUnescape(segment)
		if err != nil {
			return address{}, badRequest("The request URI is invalid.")
		}
		segments = append(segments, value)
		raw = append(raw, segment)
	}
	a := address{raw: strings.Join(raw, "/"), decoded: strings.Join(segments, "/")}
	for i, segment := range segments {
		if i%2 == 0 {
			a.kind, a.feed = resource(strings.ToLower(segment)), true
			if !child(segments, i) {
				return address{}, notFound()
			}
			continue
		}
		a.feed, a.leaf = false, segment
		switch a.kind {
		case resourceDatabase:
			a.database = segment
			a.rids = isRID(segment, ridDatabase)
		case resourceContainer:
			a.container = segment
		case resourceUser:
			a.parent, a.id = segment, segment
		default:
			a.id = segment
		}
	}
	return a, nil
}

// child reports whether the keyword at place i may follow the keyword before it.
func child(segments []string, i int) bool {
	keyword := resource(strings.ToLower(segments[i]))
	if i == 0 {
		return keyword == resourceDatabase || keyword == resourceOffer || keyword == resourceAddresses
	}
	switch resource(strings.ToLower(segments[i-2])) { //nolint:exhaustive // the others have no children
	case resourceDatabase:
		return keyword == resourceContainer || keyword == resourceUser || keyword == resourceKey
	case resourceUser:
		return keyword == resourcePermission
	case resourceContainer:
		switch keyword { //nolint:exhaustive // the others are no children of a container
		case resourceItem, resourceRange, resourceConflict, resourceSproc, resourceTrigger, resourceUDF:
			return true
		}
	}
	return false
}

// links returns the resource links that a caller may have signed for this address: a feed signs
// its parent, an address by resource id signs that id alone in lower case. SDKs disagree on how
// often they decode, so the link is taken as sent, decoded once and decoded twice.
func (a *address) links() []string {
	if a.kind == resourceOffer && !a.feed {
		return []string{strings.ToLower(a.leaf), a.leaf}
	}
	if a.rids {
		return []string{strings.ToLower(a.leaf), a.leaf}
	}
	links := []string{a.decoded, a.raw}
	if twice, err := url.PathUnescape(a.decoded); err == nil {
		links = append(links, twice)
	}
	if a.feed {
		for i, link := range links {
			cut := strings.LastIndexByte(link, '/')
			links[i] = link[:max(cut, 0)]
		}
	}
	return links
}

const (
	ridDatabase  = 4
	ridContainer = 8
	ridChild     = 16
)

// decodeRID reads a resource id: base64 in which - stands for /.
func decodeRID(text string) ([]byte, bool) {
	rid, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "-", "/"))
	return rid, err == nil
}

func encodeRID(rid []byte) string {
	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(rid), "/", "-")
}

func isRID(text string, size int) bool {
	rid, ok := decodeRID(text)
	return ok && len(rid) == size
}

// is reports whether a header says true, in any case.
func is(header http.Header, name string) bool {
	return strings.EqualFold(header.Get(name), valueTrue)
}
