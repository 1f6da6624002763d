package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/policy"
)

// maxFeedBytes bounds a list of databases or containers, which is filtered as a whole.
const maxFeedBytes = 4 << 20

// maxFeedParts bounds in how many parts upstream may give it.
const maxFeedParts = 256

// filtered says whether the answer lists databases or containers, of which the caller
// may see only what it can reach.
func filtered(op *cosmos.Operation) bool {
	return op.FiltersFeed() || op.Type == cosmos.OpQueryDatabases || op.Type == cosmos.OpQueryContainers
}

// feedQuery is the body of a query over databases or containers.
type feedQuery struct {
	Query      string          `json:"query"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// checkFeedQuery reads which part of a list of databases or containers is asked for, and lets a query over them through
// only if it returns whole entries: an alias could show one entry under the name of another. What is sent on is written
// anew, so that upstream reads the text that was checked.
func (p *Proxy) checkFeedQuery(c *call) error {
	if !filtered(c.op) {
		return nil
	}
	if err := c.readListPlace(); err != nil {
		return err
	}
	if c.op.FiltersFeed() { // no query
		return nil
	}
	if c.body.held == nil {
		c.body.limit = min(c.body.limit, smallBody)
		if err := p.readWhole(c); err != nil {
			return err
		}
	}
	var asked feedQuery
	if err := json.Unmarshal(c.body.held, &asked); err != nil {
		return cosmos.Malformed("the query is not a JSON object")
	}
	query, err := sql.Parse(asked.Query)
	if err != nil {
		return cosmos.Malformed("the query over databases or containers cannot be read")
	}
	// TOP and the like count entries that are hidden, and would tell of them by what is missing.
	if !wholeEntries(query) || query.Distinct || query.Top != nil || query.Offset != nil || query.Limit != nil {
		return cosmos.Malformed("a query over databases or containers must be SELECT * FROM c, with WHERE and ORDER BY if needed")
	}
	if asked.Query, err = sql.Rewrite(asked.Query); err != nil {
		return cosmos.Malformed("the query over databases or containers cannot be written anew")
	}
	if c.body.held, err = json.Marshal(asked); err != nil {
		return cosmos.Internal("writing a feed query: " + err.Error())
	}
	return nil
}

// wholeEntries says whether every row of a query is one entry, unchanged.
func wholeEntries(q *sql.Query) bool {
	return q.Star && len(q.From) == 1 && len(q.GroupBy) == 0 &&
		!q.From[0].Iterate && len(q.From[0].Path) == 0 && q.From[0].Subquery == nil
}

// deliverFeed sends a list of databases or containers without what the caller can't reach. It is read to its end and cut
// into pages here: upstream's continuations name what is hidden, and a page that is short tells of it.
func (p *Proxy) deliverFeed(c *call, from *answer) {
	defer func() { _ = from.Body.Close() }() // of whichever part was last
	var list cosmos.Feed
	keep := p.reaches(c)
	size := 0
	for parts := 1; ; parts++ {
		read, err := p.readPart(c, from, &list, keep, maxFeedBytes-size)
		if err == nil && parts > maxFeedParts {
			err = errResponseTooLarge
		}
		if err != nil {
			p.refuse(c, c.upstreamFault(err))
			return
		}
		size += read
		if c.listAt = from.Header.Get(headerContinuation); c.listAt == "" {
			break
		}
		if !p.nextPart(c, from) {
			return
		}
	}
	if refusal := p.stands(c); refusal != nil { // reading it whole took time
		p.withhold(c, from, refusal)
		return
	}
	p.sendPage(c, from, &list)
}

// readPart reads a part of upstream's list, and returns its size.
func (p *Proxy) readPart(c *call, from *answer, list *cosmos.Feed, keep func(string) bool, limit int) (int, error) {
	whole, err := p.readResponse(c, from, int64(limit))
	if err != nil {
		return 0, err
	}
	if !p.hold(c, int64(len(whole))) {
		return 0, errHeld
	}
	return len(whole), list.Add(whole, keep)
}

// nextPart asks upstream to go on; false if it does not, and the caller has been told.
func (p *Proxy) nextPart(c *call, from *answer) bool {
	if p.now().Sub(c.start) > p.limits.UpstreamTimeout+p.limits.TransferTimeout {
		p.refuse(c, c.upstreamFault(errTooSlow))
		return false
	}
	from.patience.Reset(p.limits.UpstreamTimeout)
	next, err := p.roundTrip(from.ctx, c) //nolint:bodyclose // deliverFeed closes the last part
	if err != nil {
		p.refuse(c, p.unanswered(from.ctx, c, err))
		return false
	}
	from.Response = next
	c.earlier = c.charge
	c.readCharge(next.Header)
	if next.StatusCode != http.StatusOK || cosmos.CheckResponse(next.StatusCode, next.Header) != nil {
		p.deliver(c, from)
		return false
	}
	c.dropNaming(next.Header)
	return true
}

// reaches says of a name in the list whether the caller may see it.
func (p *Proxy) reaches(c *call) func(name string) bool {
	question := c.question()
	question.PartitionKeys, question.Ranged, question.NoData = nil, false, true
	question.Actions = policy.ReadMetadata
	return func(name string) bool {
		if c.op.Database == "" {
			question.Resource.Database = name
		} else {
			question.Resource.Container = name
		}
		return p.authorizer.Decide(question).Allow
	}
}

// sendPage sends the part of a list that was asked for, and says where the next one begins.
func (p *Proxy) sendPage(c *call, from *answer, list *cosmos.Feed) {
	begin := min(c.listFrom, list.Len())
	end := list.Len()
	if limit := c.pageSize(); limit > 0 && limit < end-begin {
		end = begin + limit
	}
	page := list.Page(begin, end)
	h := c.w.Header()
	cosmos.FilterResponse(h, from.Header)
	for _, name := range [...]string{ // what they count and name includes what is hidden
		"X-Ms-Item-Count", headerContinuation, "X-Ms-Resource-Usage", "X-Ms-Resource-Quota", "X-Ms-Documentdb-Query-Metrics",
		"X-Ms-Cosmos-Index-Utilization", "Etag",
	} {
		h.Del(name)
	}
	if end < list.Len() {
		h[headerContinuation] = []string{listMark + strconv.Itoa(end)}
	}
	if c.charged {
		h[headerCharge] = []string{strconv.FormatFloat(c.charge, 'f', -1, 64)}
	}
	setLength(h, from.StatusCode, len(page))
	p.write(c, from.StatusCode, page)
}

// listMark begins the continuations of lists, which are the gate's own: how many entries were seen.
const listMark = "cosmosgate-list:"

// readListPlace reads where in a list the caller wants to go on.
func (c *call) readListPlace() error {
	sent := c.r.Header.Get(headerContinuation)
	if sent == "" {
		return nil
	}
	number, ours := strings.CutPrefix(sent, listMark)
	place, err := strconv.Atoi(number)
	if !ours || err != nil || place < 1 {
		return cosmos.Malformed("the continuation is not one of this list")
	}
	c.listFrom = place
	return nil
}

// pageSize is how many entries of a list the caller wants at once; 0 is all.
func (c *call) pageSize() int {
	limit := c.decision.Obligations.MaxItems
	asked, err := strconv.Atoi(c.r.Header.Get(headerMaxItemCount))
	if err != nil || asked < 1 || limit > 0 && limit < asked {
		return limit
	}
	return asked
}

// wholeList asks upstream for the next part of a list, as large as it likes, and whether or not anything has changed in it.
func (c *call) wholeList(header http.Header) {
	for _, name := range [...]string{headerContinuation, "If-Match", "If-None-Match", "If-Modified-Since"} {
		delete(header, name)
	}
	header[headerMaxItemCount] = []string{"-1"} // a hundred if it is left out
	if c.listAt != "" {
		header[headerContinuation] = []string{c.listAt}
	}
}
