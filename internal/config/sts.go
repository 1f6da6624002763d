package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TokenService issues delegated tokens to agents (docs/agents.md). It answers on the services listener, listen.scim, at /oauth2/….
type TokenService struct {
	// Issuer is its name and the base of its endpoints as clients reach them, https://host[:port]. Empty: there is no token service. It
	// needs secrets.keys.
	Issuer string `yaml:"issuer"`
	// Audience is the aud of its tokens. Default: public_url of the first account, without the slash at its end.
	Audience string `yaml:"audience"`
	// FurtherAudiences are other resources that tokens may be asked for. They are not accepted on the data plane.
	FurtherAudiences []string `yaml:"further_audiences"`
	// Lifetime of tokens, at most 15m. Default 10m: SDKs renew five minutes ahead, and there are no refresh tokens.
	Lifetime time.Duration `yaml:"lifetime"`
	// RotateEvery is how long a key signs, at least 48h. Default 720h.
	RotateEvery time.Duration `yaml:"rotate_every"`
	// RequestsPerSecond bounds each client, and each address that proves no client. Default 20.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// Burst is how many requests may come at once. Default 100.
	Burst int `yaml:"burst"`
	// InsecureClientSecrets are shared secrets of agents and applications, by their name in policy. Whoever learns one is the client:
	// for development. Otherwise clients prove themselves with a key of their own or a token of their platform.
	InsecureClientSecrets map[string]Secret `yaml:"insecure_client_secrets"`
}

// Exchange says what else of an issuer the token service takes in exchange, besides access tokens for the gate.
type Exchange struct {
	// IDTokenClients are the clients whose ID tokens are taken. Default: none.
	IDTokenClients []string `yaml:"id_token_clients"`
	// Grants takes identity assertions of the issuer (ID-JAG).
	Grants bool `yaml:"grants"`
	// Claim is the immutable claim of ID tokens and grants that equals externalId. Default: the issuer's claim.
	Claim string `yaml:"claim"`
}

// KeyVault is a key of Azure Key Vault. The identity needs the role Key Vault Crypto Service Encryption User on it.
type KeyVault struct {
	// URL is the vault, such as https://corp.vault.azure.net.
	URL string `yaml:"url"`
	// Key is the name of an RSA key in it.
	Key string `yaml:"key"`
	// Identity signs in to the vault.
	Identity Identity `yaml:"identity"`
}

// Enabled reports whether there is a token service.
func (t *TokenService) Enabled() bool { return t.Issuer != "" }

// DataAudience is the aud of tokens for the data plane.
func (c *Config) DataAudience() string {
	if c.TokenService.Audience != "" || len(c.Accounts) == 0 {
		return c.TokenService.Audience
	}
	return strings.TrimSuffix(c.Accounts[0].PublicURL, "/")
}

func (c *Config) checkTokenService(ps *problems) {
	t := &c.TokenService
	if !t.Enabled() {
		if t.Audience != "" || len(t.FurtherAudiences) > 0 || len(t.InsecureClientSecrets) > 0 {
			ps.add("token_service.issuer", "is required: https://host[:port], as clients reach listen.scim")
		}
		return
	}
	if u, err := url.Parse(t.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || t.Issuer != u.Scheme+"://"+u.Host {
		ps.add("token_service.issuer", "%q is not https://host[:port], without a slash at the end", t.Issuer)
	}
	for n := range c.Issuers {
		if c.Issuers[n].URL == t.Issuer || c.Issuers[n].Name == OwnIssuer {
			ps.add(fmt.Sprintf("issuers[%d]", n), "is the token service itself: the gate knows its keys without asking")
		}
	}
	if !c.Secrets.Keys.Set() {
		ps.add("token_service.issuer", "needs secrets.keys, under which signing keys are sealed")
	}
	t.checkAudiences(ps, c.DataAudience())
	t.checkNumbers(ps)
	for _, name := range slices.Sorted(maps.Keys(t.InsecureClientSecrets)) {
		oneReference(ps, "token_service.insecure_client_secrets."+name, t.InsecureClientSecrets[name])
	}
}

// OwnIssuer is what policy and records call the token service.
const OwnIssuer = "gate"

func (t *TokenService) checkAudiences(ps *problems, data string) {
	seen := map[string]bool{data: true}
	for n, aud := range t.FurtherAudiences {
		if seen[aud] || aud == "" {
			ps.add(fmt.Sprintf("token_service.further_audiences[%d]", n), "%q is empty or named already", aud)
		}
		seen[aud] = true
	}
	for _, aud := range slices.Sorted(maps.Keys(seen)) {
		if cosmosAudience(aud) {
			ps.add("token_service", "%q is Cosmos DB's own: such a token would open the account itself", aud)
		}
	}
}

func (t *TokenService) checkNumbers(ps *problems) {
	const shortest, longest, often = 6 * time.Minute, 15 * time.Minute, 48 * time.Hour
	if t.Lifetime != 0 && (t.Lifetime < shortest || t.Lifetime > longest) {
		ps.add("token_service.lifetime", "is %s: use 6m to 15m", t.Lifetime)
	}
	if t.RotateEvery != 0 && t.RotateEvery < often {
		ps.add("token_service.rotate_every", "is %s: use at least 48h, a key is published a day before it signs", t.RotateEvery)
	}
	if t.RequestsPerSecond < 0 || t.Burst < 0 {
		ps.add("token_service.requests_per_second", "and burst must not be negative")
	}
}

// checkDelegation checks what is taken of an issuer besides tokens of its people themselves.
func (i *Issuer) checkDelegation(ps *problems, path string) {
	if i.Connection == "" && (i.Delegation || i.Exchange.Grants || len(i.Exchange.IDTokenClients) > 0) {
		ps.add(path+".connection", "is required with delegation and exchange: they are about its people")
	}
	for _, scope := range slices.Sorted(maps.Keys(i.Scopes)) {
		for _, meant := range i.Scopes[scope] {
			oneOf(ps, path+".scopes."+scope, meant, "cosmos.read", "cosmos.write", "cosmos.execute")
		}
	}
	if mutableClaim(i.Exchange.Claim) {
		ps.add(path+".exchange.claim", "%q can change or be reused: link on an immutable id such as oid or sub", i.Exchange.Claim)
	}
}

func (k *SealingKeys) check(ps *problems) {
	if k.Vault == nil {
		return
	}
	if k.File != "" {
		ps.add("secrets.keys", "give file or vault, not both")
	}
	httpsBase(ps, "secrets.keys.vault.url", k.Vault.URL)
	ps.require("secrets.keys.vault.key", k.Vault.Key, "name the RSA key")
	k.Vault.Identity.check(ps, "secrets.keys.vault.identity")
}
