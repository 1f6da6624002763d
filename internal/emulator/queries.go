package emulator

import (
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
	"github.com/cosmosgate/cosmosgate/internal/emulator/query"
)

// isQuery reports whether a POST carries a query: by either header, or by its content type alone.
func (x *exchange) isQuery() bool {
	header := x.request.Header
	return is(header, headerIsQuery) || is(header, headerQuery) ||
		strings.HasPrefix(strings.ToLower(header.Get("Content-Type")), "application/query+json")
}

// question is a query as it was sent.
type question struct {
	text       string
	tree       *sql.Query
	parameters map[string]document.Value
}

// parseQuestion reads {"query": …, "parameters": [{"name", "value"}]}.
func (x *exchange) parseQuestion() (question, error) {
	body, err := x.parseBody()
	if err != nil {
		return question{}, err
	}
	var q question
	var ok bool
	if q.text, ok = body.Get("query").Text(); !ok {
		return question{}, badRequest(`Message: {"Errors":["The input content is invalid because it has no query."]}`)
	}
	parameters, _ := body.Get("parameters").Elements()
	q.parameters = make(map[string]document.Value, len(parameters))
	for _, one := range parameters {
		name, ok := one.Get("name").Text()
		if !ok || !strings.HasPrefix(name, "@") {
			return question{}, badRequest(`Message: {"Errors":["The name of a query parameter must start with '@'."]}`)
		}
		q.parameters[name] = one.Get("value")
	}
	if q.tree, err = sql.Parse(q.text); err != nil {
		return question{}, asNative(err)
	}
	return q, nil
}

// queryValues runs a query over a list of resources that are no items.
func (x *exchange) queryValues(rid, name string, values []document.Value) (*response, error) {
	q, err := x.parseQuestion()
	if err != nil {
		return nil, err
	}
	plan, err := x.emulator.language.Compile(q.tree, q.parameters)
	if err != nil {
		return nil, asNative(err)
	}
	page, err := x.newPage(name + rid + q.text)
	if err != nil {
		return nil, err
	}
	steps, err := x.collect(page, plan, slices.Values(values))
	if err != nil {
		return nil, err
	}
	answer := feed(rid, name, page.values)
	page.finish(answer)
	return answer.charged(queryCharge(steps, page.size)), nil
}

// collect gathers one page of results that don't follow items: those before it are computed anew
// and left out.
func (x *exchange) collect(page *page, plan *query.Plan, documents iter.Seq[document.Value]) (int, error) {
	passed := 0
	steps, err := plan.Run(x.request.Context(), documents, func(value document.Value) bool {
		passed++
		return passed <= page.from.Offset || page.add(value, len(value.Append(nil)), 0, 0)
	})
	return steps, asNative(err)
}

// stream gathers one page of results that follow items one by one, so that it goes on where the
// last page ended also when items have come or gone.
func (x *exchange) stream(page *page, plan *query.Plan, items []*item) (int, error) {
	total := 0
	for _, one := range items {
		if one.sequence < page.from.At {
			continue
		}
		index := -1
		steps, err := plan.Run(x.request.Context(), slices.Values([]document.Value{one.value}), func(value document.Value) bool {
			index++
			return page.given(one.sequence, index) || page.add(value, len(value.Append(nil)), one.sequence, index)
		})
		total += steps
		if err != nil {
			return total, asNative(err)
		}
		if page.full {
			break
		}
		if total > maxQuerySteps {
			return total, asNative(query.ErrTooMuch)
		}
	}
	return total, nil
}

// maxQuerySteps bounds a streaming query as a whole; each item's part is bounded by package query.
const maxQuerySteps = 100_000_000

// queryCharge grows with the work done and the size of the results.
func queryCharge(steps, size int) float64 {
	const base, perStep, perKilobyte = 2.28, 0.0005, 0.1
	return base + perStep*float64(steps) + perKilobyte*float64(size)/kilobyte
}

// query serves a query over the items of a container.
func (x *exchange) query() (*response, error) {
	wanted := []action{actionQuery, actionChangeFeed}
	if err := x.require(wanted...); err != nil {
		return nil, err
	}
	q, err := x.parseQuestion()
	if err != nil {
		return nil, err
	}
	plan, err := x.emulator.language.Compile(q.tree, q.parameters)
	if err != nil {
		return nil, asNative(err)
	}
	s := x.emulator.store
	s.mu.RLock()
	c, _, err := x.target()
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	if len(q.tree.OrderBy) == 1 && c.indexes(q.tree.OrderBy[0].Expr) {
		plan = plan.WithUndefined()
	}
	over, fanned, err := x.queryScope(c, q)
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	items := c.within(over, x.now())
	s.mu.RUnlock()
	page, err := x.newPage(fmt.Sprint("query ", encodeRID(c.rid), over, q.text))
	if err != nil {
		return nil, err
	}
	var steps int
	if plan.Streams() {
		steps, err = x.stream(page, plan, items)
	} else {
		steps, err = x.collect(page, plan, valuesOf(items))
	}
	if err != nil {
		return nil, err
	}
	// Fanning out, the gateway ends a page when it has enough, before it looks for more.
	page.full = page.full || fanned && len(page.values) == page.most
	return x.queryAnswer(c, page, steps, len(items)), nil
}

// indexes says whether the indexing policy names the property itself, not only some path above it.
func (c *container) indexes(property sql.Expr) bool {
	_, members, ok := sql.Path(property)
	if !ok {
		return false
	}
	path := "/" + strings.Join(members, "/")
	included, _ := c.properties.Get("indexingPolicy").Get("includedPaths").Elements()
	return slices.ContainsFunc(included, func(one document.Value) bool {
		named, _ := one.Get("path").Text()
		return named == path+"/?" || named == path+"/*"
	})
}

func (x *exchange) queryAnswer(c *container, page *page, steps, loaded int) *response {
	answer := feed(encodeRID(c.rid), "Documents", page.values)
	page.finish(answer)
	s := x.emulator.store
	s.mu.RLock()
	x.containerHeaders(answer, c)
	s.mu.RUnlock()
	header := x.request.Header
	if is(header, headerPopulateQueryMetrics) {
		answer.header.Set(headerQueryMetrics, fmt.Sprintf(
			"totalExecutionTimeInMs=0.10;queryCompileTimeInMs=0.01;queryLogicalPlanBuildTimeInMs=0.00;queryPhysicalPlanBuildTimeInMs=0.01;queryOptimizationTimeInMs=0.00;VMExecutionTimeInMs=0.05;indexLookupTimeInMs=0.00;instructionCount=%d;documentLoadTimeInMs=0.02;systemFunctionExecuteTimeInMs=0.00;userFunctionExecuteTimeInMs=0.00;retrievedDocumentCount=%d;retrievedDocumentSize=%d;outputDocumentCount=%d;outputDocumentSize=%d;writeOutputTimeInMs=0.00;indexUtilizationRatio=1.00",
			steps, loaded, page.size, len(page.values), page.size))
	}
	if is(header, headerPopulateIndexMetrics) || is(header, headerPopulateIndexMetricsV2) {
		answer.header.Set(headerIndexUtilization, base64.StdEncoding.EncodeToString(
			[]byte(`{"UtilizedSingleIndexes":[],"PotentialSingleIndexes":[],"UtilizedCompositeIndexes":[],"PotentialCompositeIndexes":[]}`)))
	}
	return answer.charged(queryCharge(steps, page.size))
}

// queryScope finds what a query ranges over. Without a partition key, a range or a WHERE clause
// that fixes the whole key, the gateway fans out: only what needs no merging, and only when allowed.
func (x *exchange) queryScope(c *container, q question) (over scope, fanned bool, err error) {
	over, scoped, err := x.scope(c)
	if err != nil || scoped {
		return over, false, err
	}
	if key, ok := pinned(c, q); ok {
		return scope{scoped: true, key: key}, false, nil
	}
	if !is(x.request.Header, headerCrossPartition) {
		return scope{}, false, badRequest("Cross partition query is required but disabled. Please set x-ms-documentdb-query-enablecrosspartition to true, specify x-ms-documentdb-partitionkey, or revise your query to avoid this exception.")
	}
	if mustMerge(q.tree) {
		refused := badRequest("The provided cross partition query can not be directly served by the gateway. This is a first chance (internal) exception that all newer clients will know how to handle gracefully. This exception is traced, but unless you see it bubble up as an exception (which only happens on older SDK clients), then you can safely ignore this message.").with(substatusNotServable)
		// SDKs that ask without a plan find it here.
		refused.additional = passThroughPlan
		return scope{}, false, refused
	}
	return scope{}, true, nil
}

// mustMerge reports whether the results of several partitions could not just be put in a row.
func mustMerge(tree *sql.Query) bool {
	if len(tree.OrderBy) > 0 || len(tree.GroupBy) > 0 || tree.Distinct || tree.Top != nil || tree.Offset != nil {
		return true
	}
	merges := false
	visit := func(node sql.Node) bool {
		if call, ok := node.(*sql.Call); ok && slices.Contains(query.Aggregates(), strings.ToUpper(call.Name)) {
			merges = true
		}
		_, subquery := node.(*sql.Subquery)
		return !subquery && !merges
	}
	if tree.Value != nil {
		sql.Walk(tree.Value, visit)
	}
	for _, one := range tree.Items {
		sql.Walk(one.Expr, visit)
	}
	return merges
}

// pinned finds the partition key that a WHERE clause fixes by equality with constants, one for
// each path, joined by AND.
func pinned(c *container, q question) (partitionKey, bool) {
	if q.tree.Where == nil || len(q.tree.From) == 0 || len(q.tree.From[0].Path) > 0 || q.tree.From[0].Subquery != nil {
		return nil, false
	}
	fixed := map[string]document.Value{}
	terms := []sql.Expr{q.tree.Where}
	for len(terms) > 0 {
		term := terms[0]
		terms = terms[1:]
		switch term := term.(type) {
		case *sql.Logical:
			if term.Operator == "AND" {
				terms = append(terms, term.Terms...)
			}
		case *sql.Binary:
			if term.Operator == "=" {
				q.fix(fixed, term.X, term.Y)
				q.fix(fixed, term.Y, term.X)
			}
		}
	}
	key := make(partitionKey, len(c.paths))
	for i, path := range c.paths {
		value, ok := fixed[strings.Join(path, "\n")]
		if !ok || value.Kind() > document.String {
			return nil, false
		}
		key[i] = value
	}
	return key, true
}

// fix notes that the path is equal to the constant, if the two are that.
func (q *question) fix(fixed map[string]document.Value, path, constant sql.Expr) {
	root, members, ok := sql.Path(path)
	if !ok || root != q.tree.From[0].Alias {
		return
	}
	at := strings.Join(members, "\n")
	switch constant := constant.(type) {
	case *sql.Parameter:
		if value, ok := q.parameters[constant.Name]; ok {
			fixed[at] = value
		}
	case *sql.Literal:
		switch constant.Kind {
		case sql.LiteralString:
			fixed[at] = document.StringValue(constant.String)
		case sql.LiteralNumber:
			fixed[at] = document.NumberValue(constant.Number)
		case sql.LiteralBool:
			fixed[at] = document.BoolValue(constant.Bool)
		case sql.LiteralNull:
			fixed[at] = document.NullValue()
		case sql.LiteralUndefined:
		}
	}
}

// passThroughPlan tells an SDK to send the query as it is to the one physical partition.
const passThroughPlan = `{"partitionedQueryExecutionInfoVersion":2,"queryInfo":{"distinctType":"None","top":null,"offset":null,` +
	`"limit":null,"orderBy":[],"orderByExpressions":[],"groupByExpressions":[],"groupByAliases":[],"aggregates":[],` +
	`"groupByAliasToAggregateType":{},"rewrittenQuery":"","hasSelectValue":false,"dCountInfo":null,` +
	`"hasNonStreamingOrderBy":false},"queryRanges":[{"min":"","max":"FF","isMinInclusive":true,` +
	`"isMaxInclusive":false}]}`

// queryPlan answers what an SDK must do to run a query over several partitions: nothing, because
// there is one. Faults of the query are found here as well.
func (x *exchange) queryPlan() (*response, error) {
	if err := x.require(actionQuery); err != nil {
		return nil, err
	}
	q, err := x.parseQuestion()
	if err != nil {
		return nil, err
	}
	if _, err := x.emulator.language.Compile(q.tree, q.parameters); err != nil {
		var fault *sql.Error
		if !errors.As(err, &fault) || fault.Code != query.CodeParameter {
			return nil, asNative(err)
		}
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, _, err := x.target()
	if err != nil {
		return nil, err
	}
	answer := newResponse(http.StatusOK, []byte(passThroughPlan)).charged(1)
	x.containerHeaders(answer, c)
	return answer, nil
}
