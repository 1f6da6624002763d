package scim

import (
	"net/http"
	"strings"
)

// referenceConfig is what Microsoft's reference code calls ServiceProviderConfig,
// and its request collections ask for.
const referenceConfig = "serviceConfiguration"

// discover serves what a client may know without a token (RFC 7644 §4).
func (c *connection) discover(k call) (answer, error) {
	if k.method != http.MethodGet {
		return answer{}, pathOrMethod(true)
	}
	if k.query.filter != "" {
		return answer{}, &Error{Status: http.StatusForbidden, Detail: "discovery can't be filtered"}
	}
	var all []map[string]any
	switch k.path[0] {
	case "ServiceProviderConfig", referenceConfig:
		if len(k.path) > 1 {
			return answer{}, notFound()
		}
		return answer{status: http.StatusOK, body: c.providerConfig()}, nil
	case "ResourceTypes":
		all = []map[string]any{c.describeKind(c.kinds.user), c.describeKind(c.kinds.group)}
	default:
		for _, schema := range c.kinds.schemas() {
			all = append(all, c.describeSchema(schema))
		}
	}
	if len(k.path) == 1 {
		return answer{status: http.StatusOK, body: map[string]any{
			"schemas": []string{urnList}, "totalResults": len(all), "itemsPerPage": len(all),
			"startIndex": 1, "Resources": all,
		}}, nil
	}
	if len(k.path) == 2 {
		for _, one := range all {
			if id, ok := one["id"].(string); ok && strings.EqualFold(id, k.path[1]) {
				return answer{status: http.StatusOK, body: one}, nil
			}
		}
	}
	return answer{}, notFound()
}

func (c *connection) providerConfig() map[string]any {
	supported := func(b bool) map[string]any { return map[string]any{"supported": b} }
	bulk := supported(true)
	bulk["maxOperations"], bulk["maxPayloadSize"] = maxBulkOperations, maxBulk
	filter := supported(true)
	filter["maxResults"] = maxCount
	config := map[string]any{
		"schemas": []string{urnProvider}, "patch": supported(true), "bulk": bulk, "filter": filter,
		"changePassword": supported(false), "sort": supported(true), "etag": supported(true),
		"pagination": map[string]any{
			"cursor": true, "index": true, "defaultPaginationMethod": "index",
			"defaultPageSize": defaultCount, "maxPageSize": maxCount,
		},
		"authenticationSchemes": []any{
			map[string]any{
				"type": "oauthbearertoken", "name": "Bearer token", "primary": true,
				"description": "A token of this connection in the Authorization header.",
				"specUri":     "https://www.rfc-editor.org/info/rfc6750",
			},
			map[string]any{
				"type": "oauth2", "name": "OAuth 2.0 client credentials",
				"description": "A token for an hour, from " + OAuthPath + ", for a client secret or an assertion (RFC 7523).",
				"specUri":     "https://www.rfc-editor.org/info/rfc6749",
			},
		},
		"meta": map[string]any{
			"resourceType": "ServiceProviderConfig", "location": c.base + "/ServiceProviderConfig",
		},
	}
	if c.Strict { // a tolerant connection takes what the profile forbids
		config["interopProfileConformant"] = true
	}
	return config
}

func (c *connection) describeKind(kind *resourceType) map[string]any {
	extensions := []any{}
	for _, schema := range kind.extensions {
		extensions = append(extensions, map[string]any{"schema": schema.ID, "required": false})
	}
	return map[string]any{
		"schemas": []string{urnResourceType}, "id": kind.name, "name": kind.name, "endpoint": kind.endpoint,
		"description": kind.description, "schema": kind.core.ID, "schemaExtensions": extensions,
		"meta": map[string]any{"resourceType": "ResourceType", "location": c.base + "/ResourceTypes/" + kind.name},
	}
}

func (c *connection) describeSchema(schema *Schema) map[string]any {
	return map[string]any{
		"schemas": []string{urnSchema}, "id": schema.ID, "name": schema.Name,
		"description": schema.Description, "attributes": schema.Attributes,
		"meta": map[string]any{"resourceType": "Schema", "location": c.base + "/Schemas/" + schema.ID},
	}
}
