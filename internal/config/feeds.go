package config

import (
	"fmt"
	"net/url"
)

// Feed is an identity provider that may withdraw what people hold, before it ends: docs/operations.md. The provider reaches it at the
// services listener.
type Feed struct {
	// Name is what records and metrics call it.
	Name string `yaml:"name"`
	// Kind is global_revocation (Okta Universal Logout, POST /oauth2/global-revoke), events (Shared Signals, CAEP: POST /oauth2/events)
	// or backchannel_logout (OpenID Connect: POST /oauth2/backchannel-logout).
	Kind string `yaml:"kind"`
	// Issuers are the issuers whose people it is about: one, or the two that Entra ID has for one tenant.
	Issuers []string `yaml:"issuers"`
	// Transmitter is the iss of its messages. Default: the url of the first issuer.
	Transmitter string `yaml:"transmitter"`
	// KeysURL is where the transmitter's keys are. Default: where its discovery document says.
	KeysURL string `yaml:"keys_url"`
	// Audiences are the values of aud that mean this gate: the endpoint's URL as the provider was given it, or for
	// backchannel_logout the client ids.
	Audiences []string `yaml:"audiences"`
	// SubjectIssuers are further values of iss in subjects that mean the issuers, such as Okta's org URL.
	SubjectIssuers []string `yaml:"subject_issuers"`
	// SessionOnly says that the issuers' access tokens carry sid, so that the end of one session leaves a person's others alone.
	SessionOnly bool `yaml:"session_only"`
}

// TransmitterURL is the iss of the feed's messages.
func (c *Config) TransmitterURL(f *Feed) string {
	if f.Transmitter != "" || len(f.Issuers) == 0 {
		return f.Transmitter
	}
	for i := range c.Issuers {
		if c.Issuers[i].Name == f.Issuers[0] {
			return c.Issuers[i].URL
		}
	}
	return ""
}

func (c *Config) checkFeeds(ps *problems) {
	names(ps, "feeds", c.Feeds, func(f *Feed) string { return f.Name })
	seen := map[[2]string]int{}
	for n := range c.Feeds {
		f, path := &c.Feeds[n], fmt.Sprintf("feeds[%d]", n)
		c.checkFeed(ps, f, path)
		key := [2]string{f.Kind, c.TransmitterURL(f)}
		if first, twice := seen[key]; twice {
			ps.add(path+".transmitter", "feeds[%d] already takes %s from it: name all issuers in one feed", first, f.Kind)
		}
		seen[key] = n
	}
}

func (c *Config) checkFeed(ps *problems, f *Feed, path string) {
	oneOf(ps, path+".kind", f.Kind, "global_revocation", "events", "backchannel_logout")
	if len(f.Audiences) == 0 {
		ps.add(path+".audiences", "is empty: give the aud that the provider puts into its messages")
	}
	if len(f.Issuers) == 0 {
		ps.add(path+".issuers", "is empty: name the issuer whose people it is about")
	}
	known := map[string]bool{}
	for i := range c.Issuers {
		known[c.Issuers[i].Name] = true
	}
	for n, name := range f.Issuers {
		if !known[name] {
			ps.add(fmt.Sprintf("%s.issuers[%d]", path, n), "%q is not one of the issuers", name)
		}
	}
	httpsURL(ps, path+".transmitter", f.Transmitter)
	httpsURL(ps, path+".keys_url", f.KeysURL)
}

// httpsURL wants an https URL, or nothing.
func httpsURL(ps *problems, path, value string) {
	if value == "" {
		return
	}
	if u, err := url.Parse(value); err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" || u.User != nil {
		ps.add(path, "%q is not an https URL", value)
	}
}
