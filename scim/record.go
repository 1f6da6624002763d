package scim

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/cosmosgate/cosmosgate/directory"
)

// policyAttributes are the attributes that policy reads by their short name.
var policyAttributes = map[string][]string{
	"":            {"title", "userType"},
	urnEnterprise: {"department", "costCenter", "organization", "division"},
}

// decodeDocument reverses encodeJSON for a document that this server wrote.
func decodeDocument(document []byte) (map[string]any, error) {
	if len(document) == 0 {
		return map[string]any{}, nil
	}
	return parseObject(document)
}

// fillUser sets a record's fields from a normalised document. Without "active"
// the record stays as it is: clearing the attribute must not let anybody in.
func fillUser(u *directory.User, kind *resourceType, document map[string]any) (err error) {
	name, _ := document["userName"].(string)
	if strings.TrimSpace(name) == "" {
		return refusal(KindInvalidValue, "userName is required")
	}
	u.UserName = name
	u.ExternalID, _ = document["externalId"].(string)
	if active, ok := document["active"].(bool); ok {
		u.Active = active
	}
	u.Emails = nil
	emails, _ := document["emails"].([]any)
	for _, e := range emails {
		object, _ := e.(map[string]any)
		if address, ok := object["value"].(string); ok {
			u.Emails = append(u.Emails, address)
		}
	}
	u.Attributes = policyValues(kind, document)
	u.Document, err = encodeDocument(document)
	return err
}

// maxDocument bounds a resource without its members: every change writes all of
// it.
const maxDocument = 1 << 20

func encodeDocument(document map[string]any) ([]byte, error) {
	text, err := encodeJSON(document)
	if err == nil && len(text) > maxDocument {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: "the resource is larger than 1 MiB"}
	}
	return text, err
}

// policyValues collects what policy may read about a user.
func policyValues(kind *resourceType, document map[string]any) map[string]string {
	values := map[string]string{}
	for urn, names := range policyAttributes {
		object := document
		if urn != "" {
			object, _ = document[urn].(map[string]any)
		}
		for _, name := range names {
			if s, ok := object[name].(string); ok {
				values[name] = s
			}
		}
	}
	for _, schema := range kind.extensions {
		object, _ := document[schema.ID].(map[string]any)
		for name, v := range object {
			s, ok := scalar(v)
			if !ok {
				continue
			}
			values[schema.ID+":"+name] = s
			if a := find(schema.Attributes, name); a != nil && a.Policy != "" {
				values[a.Policy] = s
			}
		}
	}
	return values
}

// scalar returns the text of a string, number or boolean.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	default:
		return "", false
	}
}

// fillGroup sets a record's fields from a normalised document without members.
func fillGroup(g *directory.GroupRecord, document map[string]any) (err error) {
	name, _ := document["displayName"].(string)
	if strings.TrimSpace(name) == "" {
		return refusal(KindInvalidValue, "displayName is required")
	}
	g.DisplayName = name
	g.ExternalID, _ = document["externalId"].(string)
	g.Document, err = encodeDocument(document)
	return err
}

// memberIDs reads the ids out of normalised members.
func memberIDs(members any) ([]directory.ID, error) {
	list, _ := members.([]any)
	ids := make([]directory.ID, 0, len(list))
	for _, m := range list {
		object, _ := m.(map[string]any)
		id, _ := object["value"].(string)
		if id == "" {
			return nil, refusal(KindInvalidValue, "a member needs a value")
		}
		ids = append(ids, directory.ID(id))
	}
	return ids, nil
}
