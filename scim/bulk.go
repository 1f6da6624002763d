package scim

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// maxBulkOperations bounds the operations of one Bulk request.
const maxBulkOperations = 1000

// bulkReference is how data names a resource that the same request creates.
const bulkReference = "bulkId:"

// bulk is one Bulk request (RFC 7644 §3.7) under way. Each operation stands
// alone: those that succeeded stay.
type bulk struct {
	c        *connection
	made     map[string]string // bulkId → id
	failures int
	limit    int // failOnErrors, zero for none
}

// bulkOperation is one of its operations.
type bulkOperation struct {
	method, bulkID, path, version string
	data                          map[string]any
}

// handleBulk runs the operations in order; one that refers to a resource made
// further down waits for it.
func (c *connection) handleBulk(ctx context.Context, k call) (answer, error) {
	if k.method != http.MethodPost || len(k.path) != 1 {
		return answer{}, pathOrMethod(len(k.path) == 1)
	}
	operations, limit, err := parseBulk(k.body)
	if err != nil {
		return answer{}, err
	}
	b := bulk{c: c, made: map[string]string{}, limit: limit}
	results := make([]any, len(operations))
	waiting := make([]int, 0, len(operations))
	for i := range operations {
		waiting = append(waiting, i)
	}
	for len(waiting) > 0 && !b.over() {
		left := b.pass(ctx, operations, waiting, results)
		if len(left) == len(waiting) {
			b.refuseAll(operations, left, results)
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

func parseBulk(body map[string]any) ([]bulkOperation, int, error) {
	raw, _ := lookup(body, "Operations")
	list, ok := raw.([]any)
	if !ok || len(list) == 0 {
		return nil, 0, refusal(KindInvalidSyntax, "Operations needs an array of operations")
	}
	if len(list) > maxBulkOperations {
		return nil, 0, &Error{Status: http.StatusRequestEntityTooLarge, Detail: "too many operations"}
	}
	limit := 0
	if number, ok := body["failOnErrors"].(json.Number); ok {
		n, err := strconv.Atoi(number.String())
		if err != nil || n < 0 {
			return nil, 0, refusal(KindInvalidValue, "failOnErrors needs a positive integer")
		}
		limit = n
	}
	operations := make([]bulkOperation, 0, len(list))
	for _, element := range list {
		object, ok := element.(map[string]any)
		if !ok {
			return nil, 0, refusal(KindInvalidSyntax, "an operation needs an object")
		}
		text := func(key string) string { v, _ := lookup(object, key); s, _ := v.(string); return s }
		data, _ := lookup(object, "data")
		fields, _ := data.(map[string]any)
		operations = append(operations, bulkOperation{
			method: strings.ToUpper(text("method")), bulkID: text("bulkId"), path: text("path"),
			version: text("version"), data: fields,
		})
	}
	return operations, limit, nil
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
		op := operations[i]
		path, okPath := b.resolvePath(op.path)
		data, okData := b.resolve(op.data)
		if !okPath || !okData {
			left = append(left, i)
			continue
		}
		object, _ := data.(map[string]any)
		results[i] = b.run(ctx, op, path, object)
	}
	return left
}

// run executes one operation as if it were a request of its own.
func (b *bulk) run(ctx context.Context, op bulkOperation, path string, data map[string]any) map[string]any {
	result := map[string]any{"method": op.method}
	if op.bulkID != "" {
		result["bulkId"] = op.bulkID
	}
	a, err := b.execute(ctx, op, path, data)
	if err != nil {
		b.failures++
		e := explain(err)
		b.c.contact.failed(b.c.failure(request{method: op.method, path: op.path, body: op.data}, e))
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
		return b.c.handle(ctx, call{method: op.method, path: parts, ifMatch: op.version})
	default:
		return answer{}, refusal(KindInvalidSyntax, "method must be POST, PUT, PATCH or DELETE")
	}
	if data == nil {
		return answer{}, refusal(KindInvalidSyntax, "%s needs data", op.method)
	}
	return b.c.handle(ctx, call{method: op.method, path: parts, body: data, ifMatch: op.version})
}

// refuseAll answers operations whose references nothing in the request makes.
func (b *bulk) refuseAll(operations []bulkOperation, left []int, results []any) {
	for _, i := range left {
		if b.over() {
			return
		}
		b.failures++
		e := &Error{
			Status: http.StatusConflict, Kind: KindInvalidValue,
			Detail: "bulkId refers to nothing, to itself in a circle, or to a failed operation",
		}
		results[i] = map[string]any{
			"method": operations[i].method, "status": strconv.Itoa(e.Status), "response": e.body(),
			"bulkId": operations[i].bulkID,
		}
	}
}

// resolvePath replaces a reference at the end of a path.
func (b *bulk) resolvePath(path string) (string, bool) {
	head, reference, found := strings.Cut(path, bulkReference)
	if !found {
		return path, true
	}
	id, ok := b.made[reference]
	return head + id, ok
}

// resolve replaces references in data; false if one isn't known yet.
func (b *bulk) resolve(value any) (any, bool) {
	switch v := value.(type) {
	case string:
		reference, found := strings.CutPrefix(v, bulkReference)
		if !found {
			return v, true
		}
		id, ok := b.made[reference]
		return id, ok
	case []any:
		list := make([]any, 0, len(v))
		for _, element := range v {
			resolved, ok := b.resolve(element)
			if !ok {
				return nil, false
			}
			list = append(list, resolved)
		}
		return list, true
	case map[string]any:
		if v == nil {
			return nil, true
		}
		object := make(map[string]any, len(v))
		for key, element := range v {
			resolved, ok := b.resolve(element)
			if !ok {
				return nil, false
			}
			object[key] = resolved
		}
		return object, true
	default:
		return v, true
	}
}
