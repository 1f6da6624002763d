package identity

import (
	"errors"
	"strings"
)

const (
	// spiffeScheme begins every SPIFFE id.
	spiffeScheme = "spiffe://"
	// maxSPIFFEBytes bounds an id (SPIFFE-ID section 2.3).
	maxSPIFFEBytes = 2048
	// useSVID marks the keys of a SPIFFE bundle that sign JWT-SVIDs (SPIFFE Trust Domain and Bundle section 4.2).
	useSVID = "jwt-svid"
)

var (
	errTrustDomain = errors.New("url: the issuer of JWT-SVIDs is written as its trust domain, spiffe://example.org")
	errBundle      = errors.New("keys url or keys file: one is required, a trust domain has no discovery")
)

// validateSPIFFE checks an issuer that is a trust domain.
func (i Issuer) validateSPIFFE() error {
	var faults []error

	if trustDomain(i.URL+"/x") != i.URL {
		faults = append(faults, errTrustDomain)
	}

	if i.KeysURL == "" && i.KeysFile == "" {
		faults = append(faults, errBundle)
	}

	return errors.Join(faults...)
}

// trustDomain returns spiffe://domain of a SPIFFE id with a path, "" for whatever is none (SPIFFE-ID section 2).
func trustDomain(id string) string {
	rest, isSPIFFE := strings.CutPrefix(id, spiffeScheme)
	if !isSPIFFE || len(id) > maxSPIFFEBytes {
		return ""
	}

	domain, path, hasPath := strings.Cut(rest, "/")
	if domain == "" || !hasPath || !isSPIFFEName(domain, false) {
		return ""
	}

	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || !isSPIFFEName(segment, true) {
			return ""
		}
	}

	return spiffeScheme + domain
}

// isSPIFFEName accepts letters, digits, dots, dashes and underscores; a trust domain has no capitals.
func isSPIFFEName(s string, capitals bool) bool {
	for i := range len(s) {
		c := s[i]

		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '-', c == '_', capitals && 'A' <= c && c <= 'Z':
		default:
			return false
		}
	}

	return true
}

// authority returns the issuer that a token names: its iss, or for a JWT-SVID, which need have none, the trust domain of its sub.
func (c claims) authority() string {
	if c.has("iss") {
		return c.text("iss")
	}

	return trustDomain(c.text("sub"))
}

// isSVID reports whether a token is a JWT-SVID of this trust domain (JWT-SVID sections 2 and 3).
func (is *issuer) isSVID(t *token) bool {
	return (isUntyped(t) || t.typ == "jose") && trustDomain(t.claims.text("sub")) == is.URL
}

// keyUse is the use that the issuer's keys must state; "" for sig or none.
func (i Issuer) keyUse() string {
	if i.TokenType == TokenTypeSPIFFE {
		return useSVID
	}

	return ""
}
