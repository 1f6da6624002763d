package scim

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxBulkOperations bounds the operations of one Bulk request.
	maxBulkOperations = 1000
	// bulkPatience is how long the operations of one may take together, most of it
	// waiting for the log, and maxBulkWork what they may compare.
	bulkPatience = time.Minute
	maxBulkWork  = 5 * maxWork
)

func bulkRequest(path []string) bool { return len(path) == 1 && path[0] == "Bulk" }

// bulkReference is how data names a resource that the same request creates.
const bulkReference = "bulkId:"

// bulk is one Bulk request (RFC 7644 §3.7) under way. Each operation stands
// alone: those that succeeded stay.
type bulk struct {
	c        *connection
	made     map[string]string // bulkId → id
	failures int
	limit    int       // failOnErrors, zero for none
	until    time.Time // when no further operation begins
	spent    *spending
}

// bulkOperation is one of its operations.
type bulkOperation struct {
	method, bulkID, path, version string
	data                          map[string]any
	// needs are the references that are not known to be made yet.
	needs []string
}

// handleBulk runs the operations in order; one that refers to a resource made
// further down waits for it.
func (c *connection) handleBulk(ctx context.Context, k call) (answer, error) {
	if k.method != http.MethodPost || len(k.path) != 1 {
		return answer{}, pathOrMethod(len(k.path) == 1)
	}
	operations, limit, err := parseBulk(k.body, c.strict)
	if err != nil {
		return answer{}, err
	}
	// Each operation costs what a request of its own would.
	if err := k.query.spent.pay(len(operations) - 1); err != nil {
		return answer{}, err
	}
	b := bulk{c: c, made: map[string]string{}, limit: limit, until: c.clock().Add(bulkPatience), spent: k.query.spent}
	results := make([]any, len(operations))
	waiting := make([]int, 0, len(operations))
	for i := range operations {
		waiting = append(waiting, i)
	}
	for len(waiting) > 0 && !b.over() {
		left := b.pass(ctx, operations, waiting, results)
		if len(left) == len(waiting) {
			b.refuseAll(operations, left, results, b.hopeless(ctx))
			break
		}
		waiting = left
	}
	done := []any{}
	for _, r := range results {
		if r != nil {
			done = append(done, r)
		}
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"schemas": []string{urnBulkAnswer}, "Operations": done,
	}}, nil
}

func parseBulk(body map[string]any, strict bool) ([]bulkOperation, int, error) {
	if err := messageSchema(body, urnBulk, strict); err != nil {
		return nil, 0, err
	}
	raw, _ := lookup(body, "Operations")
	list, ok := raw.([]any)
	if !ok || len(list) == 0 {
		return nil, 0, refusal(KindInvalidSyntax, "Operations needs an array of operations")
	}
	if len(list) > maxBulkOperations {
		return nil, 0, &Error{Status: http.StatusRequestEntityTooLarge, Detail: "too many operations"}
	}
	limit, err := failOnErrors(body)
	if err != nil {
		return nil, 0, err
	}
	taken := map[string]bool{}
	operations := make([]bulkOperation, 0, len(list))
	for _, element := range list {
		object, ok := element.(map[string]any)
		if !ok {
			return nil, 0, refusal(KindInvalidSyntax, "an operation needs an object")
		}
		text := func(key string) string { v, _ := lookup(object, key); s, _ := v.(string); return s }
		data, _ := lookup(object, "data")
		fields, _ := data.(map[string]any)
		op := bulkOperation{
			method: strings.ToUpper(text("method")), bulkID: text("bulkId"), path: text("path"),
			version: text("version"), data: fields,
		}
		if op.method == http.MethodPost && op.bulkID != "" {
			if taken[op.bulkID] {
				return nil, 0, refusal(KindInvalidValue, "bulkId %q is given twice", clip(op.bulkID))
			}
			taken[op.bulkID] = true
		}
		if _, reference, found := strings.Cut(op.path, bulkReference); found {
			op.needs = append(op.needs, reference)
		}
		op.needs = references(op.data, op.needs)
		operations = append(operations, op)
	}
	return operations, limit, nil
}

// failOnErrors reads after how many failures a request ends, zero for never.
func failOnErrors(body map[string]any) (int, error) {
	raw, _ := lookup(body, "failOnErrors")
	if raw == nil {
		return 0, nil
	}
	number, _ := raw.(json.Number)
	n, err := strconv.Atoi(number.String())
	if err != nil || n < 0 {
		return 0, refusal(KindInvalidValue, "failOnErrors needs a positive integer")
	}
	return n, nil
}

// references appends what a value refers to.
func references(value any, to []string) []string {
	switch v := value.(type) {
	case string:
		if reference, found := strings.CutPrefix(v, bulkReference); found {
			to = append(to, reference)
		}
	case []any:
		for _, element := range v {
			to = references(element, to)
		}
	case map[string]any:
		for _, element := range v {
			to = references(element, to)
		}
	}
	return to
}

// ready reports whether all that an operation refers to is made. What was found
// once is not looked for again, however often the others are gone through.
func (b *bulk) ready(op *bulkOperation) bool {
	for len(op.needs) > 0 {
		if _, made := b.made[op.needs[0]]; !made {
			return false
		}
		op.needs = op.needs[1:]
	}
	return true
}

// late reports whether the request has had its time, or its work.
func (b *bulk) late() bool { return b.spent.compared > maxBulkWork || !b.c.clock().Before(b.until) }

// hopeless is what operations are told that were not begun.
func (b *bulk) hopeless(ctx context.Context) *Error {
	if ctx.Err() != nil { // for the status of the connection: it is nobody's mistake
		return &Error{Status: http.StatusServiceUnavailable, Detail: hungUp + " this operation was begun"}
	}
	if b.late() {
		return &Error{Status: http.StatusTooManyRequests, Detail: "the operations before this one took too long together: send it again"}
	}
	return &Error{
		Status: http.StatusConflict, Kind: KindInvalidValue,
		Detail: "bulkId refers to nothing, to itself in a circle, or to a failed operation",
	}
}

// over reports whether enough operations failed to stop.
func (b *bulk) over() bool { return b.limit > 0 && b.failures >= b.limit }

// pass runs every waiting operation whose references are known and returns the
// others.
func (b *bulk) pass(ctx context.Context, operations []bulkOperation, waiting []int, results []any) []int {
	var left []int
	for _, i := range waiting {
		if b.over() {
			break
		}
		if ctx.Err() != nil || b.late() || !b.ready(&operations[i]) {
			left = append(left, i)
			continue
		}
		op := operations[i]
		object, _ := b.resolve(op.data).(map[string]any)
		results[i] = b.run(ctx, op, b.resolvePath(op.path), object)
	}
	return left
}

// run executes one operation as if it were a request of its own.
func (b *bulk) run(ctx context.Context, op bulkOperation, path string, data map[string]any) map[string]any {
	result := map[string]any{"method": op.method}
	if op.bulkID != "" {
		result["bulkId"] = op.bulkID
	}
	b.spent.written = false // one operation may be refused though another was done
	a, err := b.execute(ctx, op, path, data)
	if err != nil {
		b.failures++
		e := explain(err)
		b.c.refused(request{method: op.method, path: op.path, body: op.data}, e)
		result["status"] = strconv.Itoa(e.Status)
		result["response"] = e.body()
		if op.method != http.MethodPost && !strings.Contains(op.path, bulkReference) {
			result["location"] = b.c.base + path
		}
		return result
	}
	result["status"] = strconv.Itoa(a.status)
	result["location"] = a.location
	if a.location == "" {
		result["location"] = b.c.base + path
	}
	if a.version != 0 {
		result["version"] = etag(a.version)
	}
	if body, ok := a.body.(map[string]any); ok && op.method == http.MethodPost && op.bulkID != "" {
		b.made[op.bulkID], _ = body["id"].(string)
	}
	return result
}

func (b *bulk) execute(ctx context.Context, op bulkOperation, path string, data map[string]any) (answer, error) {
	parts := segments(strings.TrimPrefix(path, "/"))
	if len(parts) == 0 || parts[0] != "Users" && parts[0] != "Groups" {
		return answer{}, refusal(KindInvalidPath, "path must name a user or a group")
	}
	switch op.method {
	case http.MethodPost:
		if op.bulkID == "" || len(parts) != 1 {
			return answer{}, refusal(KindInvalidSyntax, "POST needs a bulkId and the path of a resource type")
		}
	case http.MethodPut, http.MethodPatch:
	case http.MethodDelete:
		return b.c.handle(ctx, call{method: op.method, path: parts, query: query{spent: b.spent}, ifMatch: op.version})
	default:
		return answer{}, refusal(KindInvalidSyntax, "method must be POST, PUT, PATCH or DELETE")
	}
	if data == nil {
		return answer{}, refusal(KindInvalidSyntax, "%s needs data", op.method)
	}
	return b.c.handle(ctx, call{method: op.method, path: parts, query: query{spent: b.spent}, body: data, ifMatch: op.version})
}

// refuseAll answers operations that were not begun.
func (b *bulk) refuseAll(operations []bulkOperation, left []int, results []any, e *Error) {
	for _, i := range left {
		if b.over() {
			return
		}
		b.failures++
		b.c.refused(request{method: operations[i].method, path: operations[i].path, body: operations[i].data}, e)
		results[i] = map[string]any{
			"method": operations[i].method, "status": strconv.Itoa(e.Status), "response": e.body(),
			"bulkId": operations[i].bulkID,
		}
	}
}

// resolvePath replaces a reference at the end of a path.
func (b *bulk) resolvePath(path string) string {
	head, reference, found := strings.Cut(path, bulkReference)
	if !found {
		return path
	}
	return head + b.made[reference]
}

// resolve replaces references in data, all of which are known.
func (b *bulk) resolve(value any) any {
	switch v := value.(type) {
	case string:
		if reference, found := strings.CutPrefix(v, bulkReference); found {
			return b.made[reference]
		}
		return v
	case []any:
		list := make([]any, 0, len(v))
		for _, element := range v {
			list = append(list, b.resolve(element))
		}
		return list
	case map[string]any:
		if v == nil {
			return v
		}
		object := make(map[string]any, len(v))
		for key, element := range v {
			object[key] = b.resolve(element)
		}
		return object
	default:
		return v
	}
}
