package cosmos

import (
	"net/url"
	"slices"
	"strings"
)

// Signing returns the resource type and the link that a master key signs for this request: the last keyword, and the
// once-decoded path of the resource, or of the parent of a feed.
func (q *Request) Signing() (resourceType, link string) { return q.address.signing() }

// SignedLinks returns every spelling of the link that an SDK may have signed for this request: SDKs do not agree on how often
// an id is decoded first, so besides the once-decoded one there are, where they differ, the one as it was sent and the
// twice-decoded one. What is forwarded is always the once-decoded one.
func (q *Request) SignedLinks() (resourceType string, links []string) {
	resourceType, link := q.address.signing()
	links = append(make([]string, 0, len([...]string{"once", "sent", "twice"})), link)

	if q.address.rids || !strings.Contains(q.sent, "%") {
		return resourceType, links
	}

	if sent := q.sentLink(); sent != link {
		links = append(links, sent)
	}

	if twice, err := url.PathUnescape(link); err == nil && !slices.Contains(links, twice) {
		links = append(links, twice)
	}

	return resourceType, links
}

// sentLink is the link in the caller's own spelling: without empty segments, and for a feed that of its parent.
func (q *Request) sentLink() string {
	segments := slices.DeleteFunc(strings.Split(q.sent, "/"), func(s string) bool { return s == "" })

	const pair = 2 // keyword and name
	if len(segments)%pair != 0 {
		segments = segments[:len(segments)-1]
	}

	return strings.Join(segments, "/")
}
