package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

// problem is one fault by its path in the file.
type problem struct{ path, what string }

// problems collects faults; its methods keep the checks below to one line each.
type problems []problem

func (ps *problems) add(path, format string, args ...any) {
	*ps = append(*ps, problem{path: path, what: fmt.Sprintf(format, args...)})
}

func (ps *problems) require(path, value, fix string) {
	if value == "" {
		ps.add(path, "is required: %s", fix)
	}
}

// Validate reports every fault of the configuration, each with its path. It opens nothing.
func (c *Config) Validate() error {
	ps := c.problems()
	faults := make([]error, 0, len(ps))
	for _, p := range ps {
		faults = append(faults, fault("configuration", 0, 0, p.path+": "+p.what))
	}
	return errors.Join(faults...)
}

func (c *Config) problems() problems {
	var ps problems
	c.Listen.Data.check(&ps, "listen.data", true)
	c.Listen.SCIM.check(&ps, "listen.scim", true)
	c.Listen.Admin.check(&ps, "listen.admin", false)
	c.checkControl(&ps)
	c.checkAccounts(&ps)
	c.checkIssuers(&ps)
	c.checkConnections(&ps)
	if len(c.Connections) > 0 {
		httpsBase(&ps, "scim.public_url", c.SCIM.PublicURL)
	}
	c.SCIM.checkSchemas(&ps)
	c.Directory.check(&ps)
	ps.require("policy.path", c.Policy.Path, "name the policy file or folder")
	ps.require("audit.path", c.Audit.Path, "name the file that every request is recorded in")
	const smallestAudit = 1 << 20
	if c.Audit.MaxBytes < smallestAudit {
		ps.add("audit.max_bytes", "is %d: use at least 1048576", c.Audit.MaxBytes)
	}
	if c.Audit.Keep < 1 {
		ps.add("audit.keep", "is %d: keep at least 1 rotated file", c.Audit.Keep)
	}
	if c.Audit.SyncEvery < 0 {
		ps.add("audit.sync_every", "is %s: use 0s or more", c.Audit.SyncEvery)
	}
	if c.Audit.HashKey != (Secret{}) {
		oneReference(&ps, "audit.hash_key", c.Audit.HashKey)
	}
	oneOf(&ps, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(&ps, "log.format", c.Log.Format, "json", "text")
	c.Limits.check(&ps)
	c.checkKeys(&ps)
	c.checkFeeds(&ps)
	c.checkTokenService(&ps)
	c.checkEngineers(&ps)
	return ps
}

func (l *Listener) check(ps *problems, path string, needTLS bool) {
	if _, _, err := net.SplitHostPort(l.Address); err != nil {
		ps.add(path+".address", "%q is not host:port", l.Address)
	}
	switch given := l.TLS.Certificate != "" || l.TLS.Key != ""; {
	case !given && needTLS:
		ps.add(path+".tls", "is required: give certificate and key, callers' tokens travel on this listener")
	case given:
		ps.require(path+".tls.certificate", l.TLS.Certificate, "name the PEM chain")
		ps.require(path+".tls.key", l.TLS.Key, "name the PEM private key")
	}
	if l.MaxConnections < 1 {
		ps.add(path+".max_connections", "is %d: use at least 1", l.MaxConnections)
	}
}

// checkControl measures the socket's path: what a system takes is short, and its own message for it says nothing.
func (c *Config) checkControl(ps *problems) {
	const shortest = 103 // bytes; macOS. Linux takes four more, and says so itself
	if n := len(c.ControlSocket()); n > shortest+4 {
		ps.add("listen.control.socket", "would be %d bytes long (%s): name a path of at most %d", n, c.ControlSocket(), shortest)
	}
}

func (l *Limits) check(ps *problems) {
	if l.MaxInFlight < 1 {
		ps.add("limits.max_in_flight", "is %d: use at least 1", l.MaxInFlight)
	}
	const sdkWait = 65 * time.Second
	if l.UpstreamTimeout < sdkWait {
		ps.add("limits.upstream_timeout", "is %s: use at least 65s, as long as SDKs wait", l.UpstreamTimeout)
	}
	if l.AccountRefresh < time.Second {
		ps.add("limits.account_refresh", "is %s: use at least 1s", l.AccountRefresh)
	}
	if l.Drain < 0 {
		ps.add("limits.drain", "is %s: use 0s or more", l.Drain)
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// names checks that every name is well formed and used once.
func names[T any](ps *problems, list string, items []T, name func(*T) string) {
	seen := map[string]int{}
	for i := range items {
		path, n := fmt.Sprintf("%s[%d].name", list, i), name(&items[i])
		if !nameForm.MatchString(n) {
			ps.add(path, "%q is not a name: use lower-case letters, digits and hyphens, at most 63", n)
		} else if first, twice := seen[n]; twice {
			ps.add(path, "%q is already the name of %s[%d]", n, list, first)
		}
		seen[n] = i
	}
}

func (c *Config) checkAccounts(ps *problems) {
	if len(c.Accounts) == 0 {
		ps.add("accounts", "is empty: name the Cosmos DB account behind the gate")
	}
	names(ps, "accounts", c.Accounts, func(a *Account) string { return a.Name })
	hosts := map[string]int{}
	for i := range c.Accounts {
		a, path := &c.Accounts[i], fmt.Sprintf("accounts[%d]", i)
		a.check(ps, path)
		for _, h := range a.AllHosts() {
			if first, taken := hosts[h]; taken {
				ps.add(path+".hosts", "host %q already selects accounts[%d]", h, first)
			}
			hosts[h] = i
		}
	}
}

// AllHosts returns every host[:port] that selects the account: that of PublicURL, then Hosts, lower-cased.
func (a *Account) AllHosts() []string {
	var all []string
	if u, err := url.Parse(a.PublicURL); err == nil && u.Host != "" {
		all = append(all, strings.ToLower(u.Host))
	}
	for _, h := range a.Hosts {
		all = append(all, strings.ToLower(h))
	}
	return all
}

func (a *Account) check(ps *problems, path string) {
	httpsBase(ps, path+".public_url", a.PublicURL)
	httpsBase(ps, path+".upstream", a.Upstream)
	ps.require(path+".region", a.Region, `name the region SDKs shall see, such as "West Europe"`)
	if a.InsecureMasterKey.Set() {
		oneReference(ps, path+".insecure_master_key", a.InsecureMasterKey)
	}
	if len(a.Identities) == 0 {
		ps.add(path+".identities", "is empty: give at least one Entra identity for roles to use")
	}
	for _, name := range sorted(a.Identities) {
		id := a.Identities[name]
		id.check(ps, path+".identities."+name)
	}
	if _, ok := a.Identities[a.Reader]; !ok {
		ps.add(path+".reader", "%q is not one of the account's identities (%s)", a.Reader, strings.Join(sorted(a.Identities), ", "))
	}
}

func (id *Identity) check(ps *problems, path string) {
	kinds := 0
	for _, given := range []bool{id.ManagedIdentity != nil, id.WorkloadIdentity != nil, id.ClientCertificate != nil, id.InsecureAzureCLI != nil} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		ps.add(path, "has %d kinds: give exactly one of managed_identity, workload_identity, client_certificate, insecure_azure_cli", kinds)
	}
	if cc := id.ClientCertificate; cc != nil {
		ps.require(path+".client_certificate.tenant_id", cc.TenantID, "name the Entra tenant")
		ps.require(path+".client_certificate.client_id", cc.ClientID, "name the app registration")
		ps.require(path+".client_certificate.certificate", cc.Certificate, "name the PEM or PKCS#12 file")
	}
}

func (c *Config) checkIssuers(ps *problems) {
	if len(c.Issuers) == 0 {
		ps.add("issuers", "is empty: name the OpenID Connect provider that callers sign in with")
	}
	names(ps, "issuers", c.Issuers, func(i *Issuer) string { return i.Name })
	urls := map[string]int{}
	for n := range c.Issuers {
		i, path := &c.Issuers[n], fmt.Sprintf("issuers[%d]", n)
		i.check(ps, path)
		if first, twice := urls[i.URL]; twice {
			ps.add(path+".url", "is already that of issuers[%d]", first)
		}
		urls[i.URL] = n
		if i.Connection != "" && !slices.ContainsFunc(c.Connections, func(x Connection) bool { return x.Name == i.Connection }) {
			ps.add(path+".connection", "%q is not one of the connections", i.Connection)
		}
		for earlier := range n {
			if other := &c.Issuers[earlier]; i.Connection != "" && other.Connection == i.Connection && (i.TokenType != "entra" || other.TokenType != "entra") {
				ps.add(path+".connection", "%q is already that of issuers[%d]: each could name the other's people (only Entra's two issuers of a tenant may share one)",
					i.Connection, earlier)
			}
		}
	}
}

func (i *Issuer) check(ps *problems, path string) {
	if i.TokenType == "spiffe" {
		i.checkTrustDomain(ps, path)
	} else {
		i.checkURL(ps, path+".url")
	}
	if len(i.Audiences) == 0 {
		ps.add(path+".audiences", "is empty: give the aud of tokens made for this gate")
	}
	for n, aud := range i.Audiences {
		if cosmosAudience(aud) {
			ps.add(fmt.Sprintf("%s.audiences[%d]", path, n),
				"%q is Cosmos DB's own: such a token would open the account itself; register an audience for the gate", aud)
		}
	}
	if i.Connection != "" {
		i.checkLink(ps, path)
	}
	i.checkDelegation(ps, path)
	for n, alg := range i.Algorithms {
		oneOf(ps, fmt.Sprintf("%s.algorithms[%d]", path, n), alg, "RS256", "ES256", "PS256", "EdDSA")
	}
	httpsURL(ps, path+".keys_url", i.KeysURL)
	if i.KeysURL != "" && i.KeysFile != "" {
		ps.add(path+".keys_file", "stands beside keys_url: give one")
	}
	oneOf(ps, path+".token_type", i.TokenType, "at+jwt", "entra", "okta", "keycloak", "jwt", "workload", "spiffe", "")
	const longest = 25 * time.Hour
	if i.MaxLifetime < 0 || i.MaxLifetime > longest {
		ps.add(path+".max_lifetime", "is %s: use at most 25h", i.MaxLifetime)
	}
}

// checkTrustDomain checks an issuer that is a SPIFFE trust domain.
func (i *Issuer) checkTrustDomain(ps *problems, path string) {
	if !trustDomainForm.MatchString(i.URL) {
		ps.add(path+".url", "%q is no trust domain: write spiffe://example.org", i.URL)
	}
	if i.KeysURL == "" && i.KeysFile == "" {
		ps.add(path+".keys_url", "is required: a trust domain has no discovery, give the address of its bundle, or keys_file")
	}
}

var trustDomainForm = regexp.MustCompile(`^spiffe://[a-z0-9._-]+$`)

func (i *Issuer) checkURL(ps *problems, path string) {
	u, err := url.Parse(i.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		ps.add(path, "%q is not an https URL without query", i.URL)
	case loopback(u.Hostname()) && !i.InsecureLoopback:
		ps.add(path, "is on loopback: set insecure_loopback for a development provider")
	case strings.HasSuffix(i.URL, "/common/v2.0") || strings.HasSuffix(i.URL, "/organizations/v2.0"):
		ps.add(path, "accepts every Entra tenant: put your tenant id in place of common or organizations")
	}
}

// checkLink checks how people of the connection are found by their tokens.
func (i *Issuer) checkLink(ps *problems, path string) {
	ps.require(path+".claim", i.Claim, "name the immutable claim that equals externalId (oid for Entra ID)")
	if len(i.FrontEndClients) == 0 {
		ps.add(path+".front_end_clients", "is empty: give the client ids that people sign in with")
	}
	switch {
	case i.Claim == "":
	case mutableClaim(i.Claim):
		ps.add(path+".claim", "%q can change or be reused: link on an immutable id such as oid or sub", i.Claim)
	case i.TokenType == "entra" && i.Claim != "oid":
		ps.add(path+".claim", "%q is not what Entra ID pushes: sub differs from application to application; use oid, and map objectId to externalId", i.Claim)
	case i.TokenType == "okta" && i.Claim == "sub":
		ps.add(path+".claim", "sub of a custom Okta authorization server is the login name, which can change: use uid")
	}
}

// mutableClaim is identity's rule, which has no lines to tell.
func mutableClaim(claim string) bool {
	last := strings.ToLower(claim[strings.LastIndexAny(claim, "/:.#")+1:])
	return strings.HasSuffix(last, "upn") || strings.HasPrefix(last, "login") || strings.HasSuffix(last, "name") || strings.Contains(last, "mail") ||
		strings.Contains(last, "phone")
}

// cosmosAudience reports whether a token with this audience would be good at Cosmos DB itself.
func cosmosAudience(aud string) bool {
	u, err := url.Parse(aud)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return host == "cosmos.azure.com" || strings.Contains(host, ".documents.azure.")
}

func (c *Config) checkConnections(ps *problems) {
	names(ps, "connections", c.Connections, func(x *Connection) string { return x.Name })
	const mostTokens, slowest = 2, 25
	for n := range c.Connections {
		x, path := &c.Connections[n], fmt.Sprintf("connections[%d]", n)
		i := slices.IndexFunc(c.Issuers, func(i Issuer) bool { return i.Name == x.Issuer })
		switch {
		case i < 0:
			ps.add(path+".issuer", "%q is not one of the issuers", x.Issuer)
		case c.Issuers[i].Connection != x.Name:
			ps.add(path+".issuer", "%q does not name this connection in its connection: the link goes both ways", x.Issuer)
		}
		if len(x.Tokens) > mostTokens {
			ps.add(path+".tokens", "holds %d: at most two may live at once", len(x.Tokens))
		}
		for t := range x.Tokens {
			oneReference(ps, fmt.Sprintf("%s.tokens[%d].value", path, t), x.Tokens[t].Value)
			if x.Tokens[t].Expires.IsZero() {
				ps.add(fmt.Sprintf("%s.tokens[%d].expires", path, t), "is required: a token without an end outlives its reason")
			}
		}
		x.OAuth.check(ps, path+".oauth")
		x.checkCertificates(ps, path+".certificates", c.Listen.SCIM.ClientCertificates)
		oneOf(ps, path+".dialect", x.Dialect, "entra", "okta", "onelogin", "jumpcloud", "ping", "google", "sailpoint", "")
		if x.SilentAfter < 0 {
			ps.add(path+".silent_after", "is %s: use 0s or more", x.SilentAfter)
		}
		if x.Rate.RPS != 0 && x.Rate.RPS < slowest {
			ps.add(path+".rate.rps", "is %v: identity providers send at least 25", x.Rate.RPS)
		}
	}
}

func oneOf(ps *problems, path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		ps.add(path, "%q is not one of %s", value, strings.TrimSuffix(strings.Join(allowed, ", "), ", "))
	}
}

func oneReference(ps *problems, path string, s Secret) {
	if (s.File == "") == (s.Env == "") {
		ps.add(path, "give exactly one of file and env")
	}
}

func httpsBase(ps *problems, path, value string) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		ps.add(path, "%q is not https://host[:port]/", value)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
