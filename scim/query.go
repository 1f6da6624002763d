package scim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// query holds the parameters of RFC 7644 §3.4.2 and RFC 9865 that this server
// reads; any other is ignored, since providers send junk.
type query struct {
	filter, sortBy, sortOrder string
	attributes, excluded      string
	startIndex, count         int
	cursor                    string
	hasCursor, hasAttributes  bool
	spent                     *spending
}

const (
	defaultCount = 100
	maxCount     = 1000
)

// parseQuery reads a raw query string. A parameter given twice is refused.
func parseQuery(raw string) (query, error) {
	values, err := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
	if err != nil {
		return query{}, refusal(KindInvalidSyntax, "query can't be read")
	}
	fields := map[string]any{}
	for key, list := range values {
		name := canonicalParameter(key)
		if name == "" {
			continue
		}
		if _, twice := fields[name]; twice || len(list) != 1 {
			return query{}, refusal(KindInvalidSyntax, "parameter %s is given twice", name)
		}
		fields[name] = list[0]
	}
	return readQuery(fields)
}

// parameters are the known names.
var parameters = []string{
	"filter", "sortBy", "sortOrder", "attributes", "excludedAttributes", "startIndex", "count", "cursor",
}

func canonicalParameter(key string) string {
	for _, name := range parameters {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return ""
}

// parseSearch reads the body of a .search request.
func parseSearch(body map[string]any, strict bool) (query, error) {
	if err := messageSchema(body, urnSearch, strict); err != nil {
		return query{}, err
	}
	fields := map[string]any{}
	for key, value := range body {
		name := canonicalParameter(key)
		if name == "" && !strings.EqualFold(key, "schemas") {
			return query{}, refusal(KindInvalidSyntax, "unknown parameter %q", clip(key)) // a misspelt filter would be none
		}
		if list, ok := value.([]any); ok && name != "" {
			names := make([]string, 0, len(list))
			for _, v := range list {
				s, ok := v.(string)
				if !ok {
					return query{}, refusal(KindInvalidSyntax, "%s needs strings", name)
				}
				names = append(names, s)
			}
			value = strings.Join(names, ",")
		}
		if name != "" && value != nil {
			fields[name] = value
		}
	}
	return readQuery(fields)
}

// readQuery checks and types the parameters.
func readQuery(fields map[string]any) (query, error) {
	for _, name := range parameters {
		if _, text := fields[name].(string); fields[name] != nil && !text && name != "startIndex" && name != "count" {
			return query{}, refusal(KindInvalidSyntax, "%s needs a string", name)
		}
	}
	word := func(name string) string { s, _ := fields[name].(string); return s }
	q := query{
		filter: word("filter"), sortBy: word("sortBy"), sortOrder: word("sortOrder"),
		attributes: word("attributes"), excluded: word("excludedAttributes"), cursor: word("cursor"),
		startIndex: 1, count: defaultCount,
	}
	_, q.hasCursor = fields["cursor"]
	q.hasAttributes = q.attributes != "" || q.excluded != ""
	if !integer(fields["startIndex"], &q.startIndex) {
		return query{}, refusal(KindInvalidValue, "startIndex needs an integer")
	}
	if !integer(fields["count"], &q.count) {
		kind := KindInvalidValue
		if q.hasCursor {
			kind = KindInvalidCount
		}
		return query{}, refusal(kind, "count needs an integer")
	}
	if q.hasCursor && q.startIndex > 1 {
		return query{}, refusal(KindInvalidValue, "startIndex and cursor exclude each other")
	}
	// RFC 7644 §3.4.2.4: below one means one, a negative count means zero.
	q.startIndex = max(q.startIndex, 1)
	q.count = min(max(q.count, 0), maxCount)
	switch strings.ToLower(q.sortOrder) {
	case "", "ascending", "descending":
	default:
		return query{}, refusal(KindInvalidValue, "sortOrder must be ascending or descending")
	}
	return q, nil
}

// integer reads a number, or the spelling of one, and reports whether it was
// one, or nothing.
func integer(value any, into *int) bool {
	s, ok := scalar(value)
	if !ok || s == "" {
		return value == nil || s == "" && ok
	}
	n, err := strconv.Atoi(s)
	if err == nil {
		*into = n
	}
	return err == nil
}

// projection says which attributes an answer holds.
type projection struct {
	only, without []attrPath
	restricted    bool
	spent         *spending
}

// projection resolves the names of a query; names that don't exist select
// nothing.
func (q query) projection(kind *resourceType) projection {
	p := projection{restricted: strings.TrimSpace(q.attributes) != "", spent: q.spent}
	p.only = resolveAll(kind, q.attributes)
	p.without = resolveAll(kind, q.excluded)
	return p
}

func resolveAll(kind *resourceType, list string) []attrPath {
	var paths []attrPath
	for name := range strings.SplitSeq(list, ",") {
		// A value filter behind a name selects the whole attribute.
		name, _, _ = strings.Cut(strings.TrimSpace(name), "[")
		if schema := kind.extension(name); schema != nil && name != "" {
			for _, a := range schema.Attributes {
				paths = append(paths, attrPath{extension: schema, attribute: a})
			}
		} else if p, ok := kind.resolve(name); ok {
			paths = append(paths, p)
		}
	}
	return paths
}

// wants reports whether a core attribute will be part of the answer at all.
func (p projection) wants(name string) bool {
	for _, path := range p.without {
		if path.extension == nil && path.attribute.Name == name && path.sub == nil {
			return false
		}
	}
	if !p.restricted {
		return true
	}
	for _, path := range p.only {
		if path.extension == nil && path.attribute.Name == name {
			return true
		}
	}
	return false
}

// parts reports whether some of a core attribute's sub-attributes are named.
func (p projection) parts(name string) bool {
	return slices.ContainsFunc(slices.Concat(p.only, p.without), func(path attrPath) bool {
		return path.extension == nil && path.attribute.Name == name && path.sub != nil
	})
}

// asks reports whether a core sub-attribute is named.
func (p projection) asks(name, sub string) bool {
	return slices.ContainsFunc(p.only, func(path attrPath) bool {
		return path.extension == nil && path.attribute.Name == name && path.sub != nil && path.sub.Name == sub
	})
}

// apply returns what remains of a resource.
func (p projection) apply(resource map[string]any) map[string]any {
	if p.restricted {
		kept := map[string]any{"id": resource["id"], "schemas": resource["schemas"]}
		for _, path := range p.only {
			keep(kept, resource, path)
		}
		resource = kept
	}
	for _, path := range p.without {
		if path.attribute.Returned != returnedAlways {
			drop(resource, path)
		}
	}
	return resource
}

// keep copies what path names from one resource to another.
func keep(to, from map[string]any, path attrPath) {
	if path.extension != nil {
		inner, ok := from[path.extension.ID].(map[string]any)
		if !ok {
			return
		}
		target, _ := to[path.extension.ID].(map[string]any)
		if target == nil {
			target = map[string]any{}
		}
		keep(target, inner, attrPath{attribute: path.attribute, sub: path.sub})
		if len(target) > 0 {
			to[path.extension.ID] = target
		}
		return
	}
	value, ok := from[path.attribute.Name]
	if !ok {
		return
	}
	if path.sub == nil {
		to[path.attribute.Name] = value
		return
	}
	switch v := value.(type) {
	case map[string]any:
		target, _ := to[path.attribute.Name].(map[string]any)
		if target == nil {
			target = map[string]any{}
		}
		if inner, ok := v[path.sub.Name]; ok {
			target[path.sub.Name] = inner
			to[path.attribute.Name] = target
		}
	case []any:
		keepElements(to, v, path)
	}
}

// keepElements copies one sub-attribute of every element.
func keepElements(to map[string]any, elements []any, path attrPath) {
	targets, _ := to[path.attribute.Name].([]any)
	if targets == nil {
		for range elements {
			targets = append(targets, map[string]any{})
		}
	}
	for i, v := range elements {
		object, _ := v.(map[string]any)
		target, _ := targets[i].(map[string]any)
		if inner, ok := object[path.sub.Name]; ok && target != nil {
			target[path.sub.Name] = inner
		}
	}
	to[path.attribute.Name] = targets
}

// drop removes what path names from a resource, which is the caller's own.
func drop(resource map[string]any, path attrPath) {
	if path.extension != nil {
		inner, ok := resource[path.extension.ID].(map[string]any)
		if !ok {
			return
		}
		if drop(inner, attrPath{attribute: path.attribute, sub: path.sub}); len(inner) == 0 {
			delete(resource, path.extension.ID)
		}
		return
	}
	if path.sub == nil {
		delete(resource, path.attribute.Name)
		return
	}
	switch v := resource[path.attribute.Name].(type) {
	case map[string]any:
		delete(v, path.sub.Name)
	case []any:
		for _, element := range v {
			if object, ok := element.(map[string]any); ok {
				delete(object, path.sub.Name)
			}
		}
	}
}

// etag returns the weak entity tag of a version.
func etag(version uint64) string { return `W/"` + strconv.FormatUint(version, 10) + `"` }

// matchesTag reports whether a list of entity tags names a version.
func matchesTag(header string, version uint64) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag(version), "W/") {
			return true
		}
	}
	return false
}

// expected returns the revision that a conditional write insists on, zero for
// none (RFC 9110 §13.2.2).
func (k call) expected(current uint64) (uint64, error) {
	changed := &Error{Status: http.StatusPreconditionFailed, Detail: "resource has changed"}
	always := k.ifMatch == "" || strings.TrimSpace(k.ifMatch) == "*"
	if !always && !matchesTag(k.ifMatch, current) {
		return 0, changed
	}
	if k.ifNoneMatch != "" && matchesTag(k.ifNoneMatch, current) {
		return 0, &Error{Status: http.StatusPreconditionFailed, Detail: "the resource exists in a version that If-None-Match names"}
	}
	if always && k.ifNoneMatch == "" {
		return 0, nil
	}
	return current, nil
}
