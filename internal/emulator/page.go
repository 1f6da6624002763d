package emulator

import (
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// Bounds of a page: the service's default count and its bound on the bytes.
const (
	defaultPage = 100
	maxPageSize = 4 << 20
)

// position is where a feed goes on, hidden in a continuation token.
type position struct {
	// Of is a digest of what the token belongs to.
	Of string `json:"of"`
	// At is the sequence number of the item read last and Skip how many results of it were given;
	// Offset is how many results were given in all, for results that don't follow items.
	At     uint64 `json:"at,omitempty"`
	Skip   int    `json:"skip,omitempty"`
	Offset int    `json:"offset,omitempty"`
}

// page gathers the results of one answer.
type page struct {
	from   position
	next   position
	most   int // -1 is no bound but the size
	values []document.Value
	size   int
	full   bool
}

// newPage reads the page size and the continuation token, which must belong to the same thing.
func (x *exchange) newPage(of string) (*page, error) {
	digest := fnv.New64a()
	_, _ = digest.Write([]byte(of))
	p := &page{most: defaultPage, from: position{Of: strconv.FormatUint(digest.Sum64(), 36)}} //nolint:mnd // any radix
	if asked := x.request.Header.Get(headerMaxItems); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n == 0 || n < -1 {
			return nil, badRequest("The max item count '%s' is invalid.", asked)
		}
		p.most = n
	}
	p.values = []document.Value{}
	token := x.request.Header.Get(headerContinuation)
	if token == "" {
		p.next = p.from
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, tokenMark))
	var from position
	if err != nil || json.Unmarshal(raw, &from) != nil || from.Of != p.from.Of || from.Skip < 0 || from.Offset < 0 {
		return nil, badRequest(`Message: {"Errors":["Invalid Continuation Token"]}`)
	}
	p.from, p.next = from, from
	return p, nil
}

const tokenMark = "+RID:~"

// add takes one result of the item with that sequence number, the index-th of it, and reports
// whether it still fitted.
func (p *page) add(value document.Value, size int, sequence uint64, index int) bool {
	if p.most >= 0 && len(p.values) >= p.most || len(p.values) > 0 && p.size+size > maxPageSize {
		p.full = true
		return false
	}
	p.values = append(p.values, value)
	p.size += size
	p.next.Offset++
	p.next.At, p.next.Skip = sequence, index+1
	return true
}

// given reports whether an earlier page had the index-th result of the item with that sequence number.
func (p *page) given(sequence uint64, index int) bool {
	return sequence < p.from.At || sequence == p.from.At && index < p.from.Skip
}

// finish adds the continuation token if something is left to read.
func (p *page) finish(answer *response) {
	if !p.full {
		return
	}
	raw, err := json.Marshal(p.next)
	if err != nil {
		return
	}
	answer.header.Set(headerContinuation, tokenMark+base64.RawURLEncoding.EncodeToString(raw))
}
