package proxy

import (
	"encoding/json"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/policy"
)

// maxFeedBytes bounds a list of databases or containers, which is filtered as a whole.
const maxFeedBytes = 4 << 20

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

// checkFeedQuery lets a query over databases or containers through only if it returns
// whole entries: an alias could show one entry under the name of another. What is
// sent on is written anew, so that upstream reads the text that was checked.
func (p *Proxy) checkFeedQuery(c *call) error {
	if c.op.Type != cosmos.OpQueryDatabases && c.op.Type != cosmos.OpQueryContainers {
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
	if !wholeEntries(query) {
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

// deliverFeed sends a list of databases or containers without what the caller can't reach.
func (p *Proxy) deliverFeed(c *call, from *answer) {
	whole, err := p.readResponse(c, from, maxFeedBytes)
	if err != nil {
		p.refuse(c, c.upstreamFault(err))
		return
	}
	question := c.question()
	question.PartitionKeys, question.Ranged, question.NoData = nil, false, true
	kept, err := cosmos.FilterFeed(whole, func(name string) bool {
		if c.op.Database == "" {
			question.Resource.Database = name
		} else {
			question.Resource.Container = name
		}
		question.Actions = policy.ReadMetadata
		return p.authorizer.Decide(question).Allow
	})
	if err != nil {
		p.refuse(c, c.upstreamFault(err))
		return
	}
	if refusal := p.stands(c); refusal != nil { // reading it whole took time
		p.withhold(c, from, refusal)
		return
	}
	h := c.w.Header()
	cosmos.FilterResponse(h, from.Header)
	h.Del("X-Ms-Item-Count")
	setLength(h, from.StatusCode, len(kept))
	p.write(c, from.StatusCode, kept)
}
