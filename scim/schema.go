package scim

import (
	"slices"
	"strings"
)

// URNs of RFC 7643 and RFC 7644.
const (
	urnUser         = "urn:ietf:params:scim:schemas:core:2.0:User"
	urnGroup        = "urn:ietf:params:scim:schemas:core:2.0:Group"
	urnEnterprise   = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	urnSchema       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	urnResourceType = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	urnProvider     = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	urnList         = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	urnSearch       = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
	urnPatch        = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	urnBulk         = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	urnBulkAnswer   = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
	urnError        = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// URNs of providers: dropped, or read as the RFC's.
const (
	urnMicrosoftGroup       = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
	urnOneLoginCore         = "urn:scim:schemas:core:2.0"
	urnOneLoginEnterprise   = "urn:scim:schemas:extension:enterprise:2.0"
	urnOneLoginEnterpriseV2 = "urn:scim:schemas:extension:enterprise:2.0:User"
)

// Type is an attribute's data type (RFC 7643 §2.3).
type Type string

// The data types.
const (
	TypeString    Type = "string"
	TypeBoolean   Type = "boolean"
	TypeDecimal   Type = "decimal"
	TypeInteger   Type = "integer"
	TypeDateTime  Type = "dateTime"
	TypeReference Type = "reference"
	TypeBinary    Type = "binary"
	TypeComplex   Type = "complex"
)

// Words of an attribute's definition (RFC 7643 §2.2).
const (
	readWrite = "readWrite"
	readOnly  = "readOnly"
	writeOnly = "writeOnly"
	immutable = "immutable"

	returnedDefault = "default"
	returnedAlways  = "always"
	returnedRequest = "request"
	returnedNever   = "never"

	uniqueNone   = "none"
	uniqueServer = "server"
)

// Attribute is one row of a schema; it drives validation, filters, projection
// and discovery alike.
type Attribute struct {
	Name          string       `json:"name"`
	Type          Type         `json:"type"`
	MultiValued   bool         `json:"multiValued"`
	Description   string       `json:"description"`
	Required      bool         `json:"required"`
	CaseExact     bool         `json:"caseExact"`
	Mutability    string       `json:"mutability"`
	Returned      string       `json:"returned"`
	Uniqueness    string       `json:"uniqueness"`
	Canonical     []string     `json:"canonicalValues,omitempty"`
	References    []string     `json:"referenceTypes,omitempty"`
	SubAttributes []*Attribute `json:"subAttributes,omitempty"`
	// Policy is a short name under which policy also reads the attribute, beside
	// its full URN; only for attributes of own schemas.
	Policy string `json:"-"`
}

// Schema is a set of attributes under a URN.
type Schema struct {
	ID          string
	Name        string
	Description string
	Attributes  []*Attribute
}

// resourceType is a kind of resource with its schemas.
type resourceType struct {
	name, endpoint, description string
	core                        *Schema
	extensions                  []*Schema
}

// find returns the attribute with a name in any case, or nil.
func find(attributes []*Attribute, name string) *Attribute {
	for _, a := range attributes {
		if len(a.Name) == len(name) && strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

// attrPath is a resolved attribute path.
type attrPath struct {
	extension *Schema // nil for the core schema
	attribute *Attribute
	sub       *Attribute // nil if the path ends at the attribute
}

// String returns the path as RFC 7644 §3.10 writes it.
func (p attrPath) String() string {
	s := p.attribute.Name
	if p.extension != nil {
		s = p.extension.ID + ":" + s
	}
	if p.sub != nil {
		s += "." + p.sub.Name
	}
	return s
}

// leaf returns the attribute that a comparison looks at: a bare complex
// attribute means its value.
func (p attrPath) leaf() *Attribute {
	if p.sub != nil {
		return p.sub
	}
	if p.attribute.Type == TypeComplex {
		return find(p.attribute.SubAttributes, "value")
	}
	return p.attribute
}

// vendorURN reports whether a URN is a provider's own spelling.
func vendorURN(urn string) bool {
	for _, vendor := range []string{
		urnMicrosoftGroup, urnOneLoginCore, urnOneLoginEnterprise, urnOneLoginEnterpriseV2,
	} {
		if strings.EqualFold(urn, vendor) {
			return true
		}
	}
	return false
}

// canonicalURN maps providers' spellings of a URN to the RFC's.
func (t *resourceType) canonicalURN(urn string) string {
	switch {
	case strings.EqualFold(urn, urnOneLoginCore):
		return t.core.ID
	case strings.EqualFold(urn, urnOneLoginEnterprise), strings.EqualFold(urn, urnOneLoginEnterpriseV2):
		return urnEnterprise
	default:
		return urn
	}
}

// extension returns the extension schema with a URN in any case, or nil.
func (t *resourceType) extension(urn string) *Schema {
	urn = t.canonicalURN(urn)
	for _, s := range t.extensions {
		if strings.EqualFold(s.ID, urn) {
			return s
		}
	}
	return nil
}

// resolve finds the attribute that a path names: plain, dotted or with a URN.
func (t *resourceType) resolve(path string) (attrPath, bool) {
	attributes, extension, rest := t.split(path)
	name, subName, dotted := strings.Cut(rest, ".")
	p := attrPath{extension: extension, attribute: find(attributes, name)}
	if p.attribute == nil && extension == nil {
		p.attribute = find(commonAttributes, name)
	}
	if p.attribute == nil {
		return attrPath{}, false
	}
	if dotted {
		if p.sub = find(p.attribute.SubAttributes, subName); p.sub == nil {
			return attrPath{}, false
		}
	}
	return p, true
}

// split separates a URN prefix from an attribute path.
func (t *resourceType) split(path string) ([]*Attribute, *Schema, string) {
	if len(path) < 4 || !strings.EqualFold(path[:4], "urn:") {
		return t.core.Attributes, nil, path
	}
	for _, s := range t.extensions {
		if rest, ok := cutURN(path, s.ID); ok {
			return s.Attributes, s, rest
		}
	}
	if rest, ok := cutURN(path, t.core.ID); ok {
		return t.core.Attributes, nil, rest
	}
	for _, vendor := range []string{urnOneLoginEnterpriseV2, urnOneLoginEnterprise, urnOneLoginCore} {
		rest, ok := cutURN(path, vendor)
		if !ok {
			continue
		}
		if s := t.extension(vendor); s != nil {
			return s.Attributes, s, rest
		}
		return t.core.Attributes, nil, rest
	}
	return nil, nil, path
}

// cutURN removes urn and a separator from the front of path. The separator is
// a colon; Microsoft's inbound requests write a dot.
func cutURN(path, urn string) (string, bool) {
	if len(path) > len(urn) && (path[len(urn)] == ':' || path[len(urn)] == '.') && strings.EqualFold(path[:len(urn)], urn) {
		return path[len(urn)+1:], true
	}
	return "", false
}

// canonicalType reports whether a type value is one that its schema names.
func canonicalType(a *Attribute, value string) bool {
	t := find(a.SubAttributes, "type")
	return t != nil && slices.ContainsFunc(t.Canonical, func(c string) bool { return strings.EqualFold(c, value) })
}
