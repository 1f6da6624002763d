package config

import (
	"fmt"
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
