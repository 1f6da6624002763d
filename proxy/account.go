package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// account is one Cosmos DB account at work.
type account struct {
	name      string
	public    string // base URL that is published
	secret    string // upstream's name in lower case, which callers never see
	label     string // of secret, and its domain: the account's regions are label-region.domain; "" if it has none
	domain    string
	region    string
	upstream  *url.URL
	transport http.RoundTripper
	dedicated bool // upstream is a dedicated gateway

	tokens map[string]TokenSource
	every  TokenSource // replaces tokens: an emulator's key
	reader TokenSource
	own    string // name of the reader, for metrics

	document atomic.Pointer[accountDocument]
	rids     *ridCache
	kept     []*identityTokens
	now      func() time.Time
	metrics  *metrics
}

func newAccount(a *Account, cfg *Config, m *metrics) (*account, error) {
	built := &account{
		name: a.Name, public: a.PublicURL, region: a.Region,
		upstream: a.Upstream, transport: a.Transport,
		dedicated: strings.HasSuffix(strings.ToLower(a.Upstream.Hostname()), ".sqlx.cosmos.azure.com"),
		tokens:    make(map[string]TokenSource, len(a.Identities)),
		own:       a.Reader,
		now:       cfg.Now,
		metrics:   m,
	}
	built.secret = secretName(a)
	if label, domain, found := strings.Cut(built.secret, "."); found && net.ParseIP(built.secret) == nil {
		built.label, built.domain = label+"-", "."+domain
	}
	built.rids = newRIDCache(built.readName, cfg.Now)
	if a.InsecureMasterKey != "" {
		key, err := newMasterKey(a.InsecureMasterKey)
		if err != nil {
			return nil, fmt.Errorf("account %q: %w: %w", a.Name, ErrConfig, err)
		}
		built.every, built.reader, built.own = key, key, "master-key"
		return built, nil
	}
	for name, credential := range a.Identities {
		source := newIdentityTokens(a.Name, name, credential, cfg)
		source.failed = m.tokenFailures.WithLabelValues(a.Name, name).Inc
		built.tokens[name] = source
		built.kept = append(built.kept, source)
	}
	built.reader = built.tokens[a.Reader]
	return built, nil
}

// secretName is upstream's host name, with the port where the gate has the same name.
func secretName(a *Account) string {
	name := strings.ToLower(a.Upstream.Hostname())
	if base, err := url.Parse(a.PublicURL); err == nil && strings.EqualFold(base.Hostname(), name) {
		return strings.ToLower(a.Upstream.Host)
	}
	return name
}

// named says whether a text tells where upstream is.
func (a *account) named(text string) bool {
	if len(text) < len(a.secret) {
		return false
	}
	if strings.Contains(text, a.secret) {
		return true
	}
	if !strings.Contains(text, ".") {
		return false
	}
	text = strings.ToLower(text)
	return strings.Contains(text, a.secret) ||
		a.label != "" && strings.Contains(text, a.label) && strings.Contains(text, a.domain)
}

// tokensOf returns the source of an identity's tokens; false if the account has no such identity.
func (a *account) tokensOf(identity string) (TokenSource, bool) {
	if a.every != nil {
		return a.every, true
	}
	source, ok := a.tokens[identity]
	return source, ok
}

// run keeps tokens and document fresh until ctx ends.
func (a *account) run(ctx context.Context, cfg *Config) {
	var group sync.WaitGroup
	for _, source := range a.kept {
		group.Go(func() { source.run(ctx) })
	}
	group.Go(func() { a.keepDocument(ctx, cfg) })
	group.Wait()
}

// selectByHost maps every name that an account is reached under to it.
func selectByHost(configured []Account, built []*account) (map[string]*account, error) {
	hosts := map[string]*account{}
	var faults []error
	for i := range configured {
		names := append([]string{}, configured[i].Hosts...)
		if base, err := url.Parse(configured[i].PublicURL); err == nil {
			names = append(names, base.Host)
		}
		for _, name := range names {
			name = strings.ToLower(name)
			if other := hosts[name]; other != nil && other != built[i] {
				faults = append(faults, fault("host %q selects both %q and %q", name, other.name, built[i].name))
			}
			hosts[name] = built[i]
		}
	}
	return hosts, errors.Join(faults...)
}

// accountOf returns the account that a request's host selects: by host and port, else by host alone. Where keys have host names
// of their own, it also returns the key that the host names.
func (p *Proxy) accountOf(host string) (*account, string) {
	if a := p.hosts[host]; a != nil {
		return a, ""
	}
	host = strings.ToLower(host)
	if a := p.namedAccount(host); a != nil {
		return a, ""
	}
	if !p.cfg.KeyHosts {
		return nil, ""
	}
	key, rest, found := strings.Cut(host, keyLabel)
	if !found || key == "" || strings.Contains(key, ".") {
		return nil, ""
	}
	return p.namedAccount(rest), key
}

// keyLabel stands between the id of a key and the host name of the gate.
const keyLabel = ".keys."

func (p *Proxy) namedAccount(host string) *account {
	if a := p.hosts[host]; a != nil {
		return a
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return nil
	}
	return p.hosts[name]
}
