package sts

import (
	"encoding/json"
	"net/http"
)

// metadata is RFC 8414, which OpenID Connect Discovery agrees with as far as clients look: there is nobody to sign in here, so that
// it has no authorization endpoint.
func metadata(cfg *Config) []byte {
	authentication := []string{methodKey}
	if cfg.Certificates {
		authentication = append(authentication, methodTLS)
	}

	if len(cfg.Secrets) > 0 {
		authentication = append(authentication, "client_secret_basic", "client_secret_post")
	}

	algorithms := []string{"ES256", "RS256", "PS256", "EdDSA"}

	document := map[string]any{
		"issuer":                                                   cfg.Issuer,
		"token_endpoint":                                           cfg.Issuer + pathToken,
		"revocation_endpoint":                                      cfg.Issuer + pathRevoke,
		"introspection_endpoint":                                   cfg.Issuer + pathIntrospect,
		"jwks_uri":                                                 cfg.Issuer + pathKeys,
		"grant_types_supported":                                    []string{grantExchange, grantBearer, grantClient},
		"response_types_supported":                                 []string{}, // required by RFC 8414
		"subject_types_supported":                                  []string{"public"},
		"id_token_signing_alg_values_supported":                    []string{"ES256"},
		"scopes_supported":                                         everyScope(),
		"authorization_details_types_supported":                    []string{"cosmos"},
		"tls_client_certificate_bound_access_tokens":               cfg.Certificates,
		"authorization_grant_profiles_supported":                   []string{"urn:ietf:params:oauth:grant-profile:id-jag"},
		"token_endpoint_auth_methods_supported":                    authentication,
		"token_endpoint_auth_signing_alg_values_supported":         algorithms,
		"revocation_endpoint_auth_methods_supported":               authentication,
		"revocation_endpoint_auth_signing_alg_values_supported":    algorithms,
		"introspection_endpoint_auth_methods_supported":            authentication,
		"introspection_endpoint_auth_signing_alg_values_supported": algorithms,
		"request_parameter_supported":                              false,
		"request_uri_parameter_supported":                          false,
		"client_id_metadata_document_supported":                    false,
	}
	if cfg.Proofs != nil {
		document["dpop_signing_alg_values_supported"] = algorithms
	}

	text, err := json.Marshal(document)
	if err != nil {
		return []byte("{}") // of texts and lists alone: it always encodes
	}

	return text
}

func (s *Service) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Del("Pragma")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.metadata) // nothing to tell a caller who has gone
}
