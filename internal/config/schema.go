package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

var (
	urnForm       = regexp.MustCompile(`^urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}:[A-Za-z0-9:._-]+$`)
	attributeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	policyForm    = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)
)

// checkSchemas checks own attributes: what a provider pushes, and what policy then reads, must be the same thing under one name.
func (s *SCIM) checkSchemas(ps *problems) {
	urns := map[string]int{}
	policy := map[string]string{"id": "every person's id"}
	for _, name := range []string{"costCenter", "department", "division", "organization", "title", "userType"} {
		policy[name] = "the RFC's " + name
	}
	for n := range s.Schemas {
		x, path := &s.Schemas[n], fmt.Sprintf("scim.schemas[%d]", n)
		switch first, twice := urns[strings.ToLower(x.URN)]; {
		case !urnForm.MatchString(x.URN):
			ps.add(path+".urn", "%q is no URN: use a form like urn:corp:params:scim:schemas:1.0:Access", x.URN)
		case strings.HasPrefix(strings.ToLower(x.URN), "urn:ietf:"):
			ps.add(path+".urn", "%q is the IETF's: the RFC's schemas are built in, own ones need a name of your own", x.URN)
		case twice:
			ps.add(path+".urn", "is already that of scim.schemas[%d]", first)
		}
		urns[strings.ToLower(x.URN)] = n
		if len(x.Attributes) == 0 {
			ps.add(path+".attributes", "is empty: name what the schema holds")
		}
		x.checkAttributes(ps, path, policy)
	}
}

func (x *Schema) checkAttributes(ps *problems, path string, policy map[string]string) {
	names := map[string]int{}
	for i := range x.Attributes {
		a, at := &x.Attributes[i], fmt.Sprintf("%s.attributes[%d]", path, i)
		if first, twice := names[strings.ToLower(a.Name)]; !attributeForm.MatchString(a.Name) {
			ps.add(at+".name", "%q is not a name: use a letter, then letters, digits, _ and -", a.Name)
		} else if twice {
			ps.add(at+".name", "is already that of attributes[%d]: names differ by more than case", first)
		}
		names[strings.ToLower(a.Name)] = i
		oneOf(ps, at+".type", a.Type, "string", "boolean", "integer", "decimal", "dateTime", "reference", "")
		if a.Policy == "" {
			continue
		}
		switch holder, taken := policy[a.Policy]; {
		case !policyForm.MatchString(a.Policy):
			ps.add(at+".policy", "%q is not a name: use a small letter, then letters, digits and _", a.Policy)
		case a.MultiValued:
			ps.add(at+".policy", "policy reads single values: leave it out, or multi_valued")
		case taken:
			ps.add(at+".policy", "%q is already %s", a.Policy, holder)
		}
		policy[a.Policy] = at
	}
}

// entraSharedAudience is in tokens that any tenant's provisioning can send to any server: it proves nothing.
const entraSharedAudience = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621"

// Fingerprints returns the SHA-256 hashes that the connection is pinned to.
func (c *Connection) Fingerprints() ([][sha256.Size]byte, error) {
	var all [][sha256.Size]byte
	for _, text := range c.Certificates {
		hash, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("%w: %q", errFingerprint, text)
		}
		all = append(all, [sha256.Size]byte(hash))
	}
	return all, nil
}

var errFingerprint = errors.New("no SHA-256 fingerprint in hexadecimal")

func (c *Connection) checkCertificates(ps *problems, path string, asked bool) {
	for n, text := range c.Certificates {
		if _, err := (&Connection{Certificates: []string{text}}).Fingerprints(); err != nil {
			ps.add(fmt.Sprintf("%s[%d]", path, n), "%q is no SHA-256 fingerprint: openssl x509 -noout -fingerprint -sha256 -in FILE prints it", text)
		}
	}
	if len(c.Certificates) > 0 && !asked {
		ps.add(path, "needs listen.scim.client_certificates: true, or no certificate is ever shown")
	}
}

// check checks how a provider proves itself: a claim left open would let others of its platform in.
func (o *OAuth) check(ps *problems, path string) {
	f := o.Federated
	if f == nil {
		return
	}
	path += ".federated"
	u, err := url.Parse(f.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		ps.add(path+".issuer", "%q is not an https URL without query", f.Issuer)
	case strings.HasSuffix(f.Issuer, "/common/v2.0") || strings.HasSuffix(f.Issuer, "/organizations/v2.0"):
		ps.add(path+".issuer", "accepts every Entra tenant: put your tenant id in place of common or organizations")
	}
	ps.require(path+".subject", f.Subject, "give the sub of the provider's tokens; without it anybody of the issuer is the provider")
	switch {
	case f.Audience == "":
		ps.require(path+".audience", f.Audience, "give the aud of the provider's tokens, api://<application id> for Entra ID")
	case cosmosAudience(f.Audience):
		ps.add(path+".audience", "%q is Cosmos DB's own: register an application for provisioning", f.Audience)
	case strings.Contains(f.Audience, entraSharedAudience):
		ps.add(path+".audience", "is shared by all tenants of Entra ID, so it proves nothing: choose workload identity federation for the connection, with an application of your own")
	}
}
