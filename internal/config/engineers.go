package config

import (
	"fmt"
	"slices"
	"strings"
)

// SignIns returns where people sign in, with every default filled in.
func (c *Config) SignIns() []SignIn {
	var all []SignIn
	if len(c.Engineers.SignIn) == 0 {
		for i := range c.Issuers {
			if c.Issuers[i].Connection != "" {
				all = append(all, SignIn{Issuer: c.Issuers[i].Name})
			}
		}
	}
	all = append(all, c.Engineers.SignIn...)
	for n := range all {
		if i := c.issuer(all[n].Issuer); i != nil {
			all[n].complete(i)
		}
	}
	return all
}

func (s *SignIn) complete(i *Issuer) {
	if s.ClientID == "" && len(i.FrontEndClients) > 0 {
		s.ClientID = i.FrontEndClients[0]
	}
	if s.Audience == "" && len(i.Audiences) > 0 {
		s.Audience = i.Audiences[0]
	}
	if len(s.Scopes) > 0 {
		return
	}
	s.Scopes = []string{"openid", "profile", "offline_access"}
	if i.TokenType == "entra" {
		s.Scopes = append(s.Scopes, s.Audience+"/.default") // Entra ID chooses the audience by the scope
	}
}

func (c *Config) issuer(name string) *Issuer {
	for n := range c.Issuers {
		if c.Issuers[n].Name == name {
			return &c.Issuers[n]
		}
	}
	return nil
}

// Services returns the base of the SCIM and token services; empty if there is none.
func (c *Config) Services() string {
	if c.Engineers.ServicesURL != "" {
		return c.Engineers.ServicesURL
	}
	return c.SCIM.PublicURL
}

func (c *Config) checkEngineers(ps *problems) {
	if c.Engineers.ServicesURL != "" {
		httpsBase(ps, "engineers.services_url", c.Engineers.ServicesURL)
	}
	for n := range c.Engineers.SignIn {
		s, path := &c.Engineers.SignIn[n], fmt.Sprintf("engineers.sign_in[%d]", n)
		i := c.issuer(s.Issuer)
		switch {
		case i == nil:
			ps.add(path+".issuer", "%q is not one of the issuers", s.Issuer)
		case i.Connection == "":
			ps.add(path+".issuer", "%q has no connection: nobody signs in there", s.Issuer)
		default:
			s.check(ps, path, i)
		}
	}
}

func (s *SignIn) check(ps *problems, path string, i *Issuer) {
	if s.ClientID != "" && !slices.Contains(i.FrontEndClients, s.ClientID) {
		ps.add(path+".client_id", "%q is not one of the issuer's front_end_clients: its tokens would be refused", s.ClientID)
	}
	if s.Audience != "" && !slices.Contains(i.Audiences, s.Audience) {
		ps.add(path+".audience", "%q is not one of the issuer's audiences: its tokens would be refused", s.Audience)
	}
	for n, scope := range s.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\r\n\"\\") {
			ps.add(fmt.Sprintf("%s.scopes[%d]", path, n), "%q is not one scope", scope)
		}
	}
	if len(s.Scopes) > 0 && !slices.Contains(s.Scopes, "openid") {
		ps.add(path+".scopes", "lack openid: the nonce of a sign-in could not be checked")
	}
}
