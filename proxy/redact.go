package proxy

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/policy"
)

const (
	// maxRedacted bounds a response that is held to be redacted; the service's pages end at 4 MB.
	maxRedacted = 8 << 20
	// maxQueryBody bounds a query that is read because it is analysed.
	maxQueryBody = 1 << 20
	// redactionHint tells the caller what would pass, without telling what is redacted.
	redactionHint = "Your role reads this container without some properties: queries must be SELECT * FROM c and may name " +
		"those properties in no clause, and documents may not be replaced whole."
	// reasonRedaction is what the record says of such a refusal.
	reasonRedaction = "redaction"
)

// firstBinary is the lowest first byte of the service's binary forms; no JSON begins with one.
const firstBinary = 0x80

// redacts says whether the role of a call redacts what is in its answer.
func (c *call) redacts() bool {
	return len(c.decision.Obligations.Redact) > 0 && !c.op.NoData
}

// withholds says whether the text of an upstream error might tell something of a document. What the service says about
// the text of a query does not: it has been analysed.
func (c *call) withholds(status int) bool {
	return c.redacts() && (status != http.StatusBadRequest || c.op.Type != cosmos.OpQueryItems)
}

// checkRedaction refuses what a role that redacts could learn a property by, or write over it with.
func (p *Proxy) checkRedaction(c *call) error {
	if len(c.decision.Obligations.Redact) == 0 || c.op.Disposition != cosmos.Forward {
		return nil
	}
	if c.op.Actions&(cosmos.ExecuteStoredProcedure|cosmos.ManageConflicts) != 0 {
		return c.exposed("scripts and conflicts show documents whole")
	}
	switch c.op.Type {
	case cosmos.OpReadItem, cosmos.OpReadFeed, cosmos.OpChangeFeed, cosmos.OpChangeFeedAllVersions, cosmos.OpCreateItem, cosmos.OpDeleteItem:
		return nil
	case cosmos.OpReplaceItem, cosmos.OpUpsertItem, cosmos.OpPatchItem, cosmos.OpBatch, cosmos.OpBulk:
		return c.checkWrites()
	case cosmos.OpQueryItems, cosmos.OpQueryPlan, cosmos.OpChangeFeedQuery:
		return p.checkQuery(c)
	default:
		if c.op.NoData {
			return nil
		}
		return c.exposed(c.op.Type.String() + " cannot be redacted")
	}
}

// exposed is the refusal of a request that would show, or write over, what is redacted. Why is for the record.
func (c *call) exposed(why string) error {
	c.reason, c.detail, c.verdict = reasonRedaction, why, audit.Deny
	return cosmos.Denied(c.op, cosmos.Denial{
		Account: c.account.name, Principal: c.principal.Subject, Missing: c.op.Actions,
		Hint: redactionHint + " Ask an administrator of the gate, naming decision " + c.decisionID + ".",
	})
}

// checkWrites refuses to write documents whole over ones that may exist, and patches that touch what is redacted.
func (c *call) checkWrites() error {
	body := c.body.held
	if len(body) > 0 && body[0] >= firstBinary {
		return c.exposed("a binary body is not analysed")
	}
	whole, err := c.op.ReplacesWhole(body)
	if err != nil {
		return err
	}
	if whole {
		return c.exposed("a document that is read redacted is not written back whole")
	}
	var why string
	path := func(text string) *cosmos.Error {
		if at := c.patched(text); at != "" {
			why = "a patch names " + at
		}
		return nil
	}
	condition := func(text string) *cosmos.Error {
		// A condition is what follows the select list of a query. It is not written anew, so what two readers might
		// read in two ways is not read at all.
		if strings.Contains(text, "--") || strings.ContainsAny(text, "\\") || strings.Contains(text, "/*") {
			why = "the condition of a patch has escapes or comments"
			return nil
		}
		if fault := c.queried("SELECT * " + text); fault != "" {
			why = "the condition of a patch: " + fault
		}
		return nil
	}
	if c.op.Type == cosmos.OpPatchItem || c.op.Type == cosmos.OpBatch || c.op.Type == cosmos.OpBulk {
		if err := c.op.PatchTargets(body, path, condition); err != nil {
			return err
		}
	}
	if why != "" {
		return c.exposed(why)
	}
	return nil
}

// patched returns the redacted property that a path of a patch (RFC 6901) touches, or "". What is not plainly a path
// touches everything; nor is one with an empty name, which a reader may skip.
func (c *call) patched(text string) string {
	rest, rooted := strings.CutPrefix(text, "/")
	if !rooted || strings.ContainsAny(rest, `"'\\[]`) {
		return strconv.Quote(text)
	}
	raw := strings.Split(rest, "/")
	if slices.Contains(raw, "") {
		return strconv.Quote(text)
	}
	names := strings.Split(strings.NewReplacer("~1", "\x00", "~0", "~").Replace(rest), "/")
	for i := range names {
		names[i] = strings.ReplaceAll(names[i], "\x00", "/")
	}
	for _, path := range c.decision.Obligations.Redact {
		if path.Overlaps(names) || path.Overlaps(raw) {
			return path.String()
		}
	}
	return ""
}

// checkQuery lets only queries through whose rows are whole documents and whose clauses name nothing that is redacted.
// What is sent on is written anew, so that upstream reads the text that was analysed.
func (p *Proxy) checkQuery(c *call) error {
	if c.body.held == nil {
		c.body.limit = min(c.body.limit, maxQueryBody)
		if err := p.readWhole(c); err != nil {
			return err
		}
	}
	var asked feedQuery
	if err := json.Unmarshal(c.body.held, &asked); err != nil {
		return c.exposed("the query is no JSON object")
	}
	if why := c.queried(asked.Query); why != "" {
		return c.exposed(why)
	}
	var err error
	if asked.Query, err = sql.Rewrite(asked.Query); err != nil {
		return c.exposed("the query cannot be written anew: " + err.Error())
	}
	if c.body.held, err = json.Marshal(asked); err != nil {
		return cosmos.Internal("writing a query: " + err.Error())
	}
	return nil
}

// queried says why a query could show something that is redacted, or "".
func (c *call) queried(text string) string {
	query, err := sql.Parse(text)
	if err != nil {
		return "the query cannot be read: " + err.Error()
	}
	if !wholeEntries(query) || query.Distinct {
		return "the query is not SELECT * FROM c"
	}
	a := analysis{alias: query.From[0].Alias, paths: c.decision.Obligations.Redact}
	for _, clause := range clauses(query) {
		sql.Walk(clause, a.visit)
	}
	return a.why
}

// clauses returns every expression of a query besides its select list.
func clauses(q *sql.Query) []sql.Expr {
	var all []sql.Expr
	for _, one := range []sql.Expr{q.Top, q.Where, q.Offset, q.Limit} {
		if one != nil {
			all = append(all, one)
		}
	}
	for _, order := range q.OrderBy {
		all = append(all, order.Expr)
	}
	return all
}

// analysis looks for what is redacted in the clauses of a query.
type analysis struct {
	alias string
	paths []policy.Path
	why   string
}

// visit looks at a node and says whether to look into it.
func (a *analysis) visit(node sql.Node) bool {
	if a.why != "" {
		return false
	}
	switch n := node.(type) {
	case *sql.Member, *sql.Index:
		expr, _ := n.(sql.Expr)
		root, names, ok := sql.Path(expr)
		if !ok || root != a.alias {
			a.why = "the query names a property that is not written out"
			return false
		}
		positions := asPositions(names)
		for _, path := range a.paths {
			if path.Overlaps(names) || path.Overlaps(positions) {
				a.why = "the query names " + path.String()
			}
		}
		return false
	case *sql.Name:
		a.why = "the query computes over a whole document"
	case *sql.Subquery, *sql.Query:
		a.why = "the query has a subquery"
	case *sql.Call:
		if n.UDF {
			a.why = "the query calls a user-defined function"
		}
	}
	return a.why == ""
}

// asPositions reads every name that is a number in any form as a position in an array.
func asPositions(names []string) []string {
	positions := slices.Clone(names)
	for i, name := range positions {
		if _, err := strconv.ParseFloat(name, 64); err == nil {
			positions[i] = "0"
		}
	}
	return positions
}

var (
	errEncoded = errors.New("upstream encoded a response that is to be redacted")
	errHeld    = errors.New("the gate holds too much already to hold a response")
)

// deliverRedacted sends a response without what the role redacts. It is held whole, within a bound: nothing is sent of
// what could not be read to its end.
func (p *Proxy) deliverRedacted(c *call, from *answer) {
	whole, err := p.readRedacted(c, from)
	if err != nil {
		p.refuse(c, c.upstreamFault(err))
		return
	}
	if len(whole) > 0 {
		form, ok := c.op.Body()
		if !ok {
			form = cosmos.BodyNone
		}
		if whole, c.redactions, err = cosmos.Redact(whole, form, pathsOf(c.decision.Obligations.Redact)); err != nil {
			p.refuse(c, c.upstreamFault(err))
			return
		}
	}
	if refusal := p.stands(c); refusal != nil { // reading it whole took time
		from.hold(whole)
		p.withhold(c, from, refusal)
		return
	}
	h := c.w.Header()
	cosmos.FilterResponse(h, from.Header)
	setLength(h, from.StatusCode, len(whole))
	p.write(c, from.StatusCode, whole)
}

func (p *Proxy) readRedacted(c *call, from *answer) ([]byte, error) {
	if encoding := from.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, errEncoded
	}
	whole, err := p.readHeld(c, from)
	if err == nil && int64(len(whole)) < from.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	return whole, err
}

// readHeld reads a response whole that is to be changed, as far as there is memory for it.
func (p *Proxy) readHeld(c *call, from *answer) ([]byte, error) {
	limit := min(p.limits.MaxResponseBytes, maxRedacted)
	size := limit
	if from.ContentLength >= 0 {
		size = min(from.ContentLength, limit)
	}
	if !p.hold(c, size) {
		return nil, errHeld
	}
	return p.readResponse(c, from, limit)
}

// readPlain is readHeld of a response that may be compressed: its caller asked for it so, and it was to be passed on as it is.
func (p *Proxy) readPlain(c *call, from *answer) ([]byte, error) {
	whole, err := p.readHeld(c, from)
	if err != nil || from.Header.Get("Content-Encoding") == "" {
		return whole, err
	}
	limit := min(p.limits.MaxResponseBytes, maxRedacted) // how long it will be is not known
	if !p.hold(c, limit) {
		return nil, errHeld
	}
	return decoded(whole, from.Header, limit)
}

func pathsOf(redact []policy.Path) [][]string {
	paths := make([][]string, len(redact))
	for i, path := range redact {
		paths[i] = path
	}
	return paths
}
