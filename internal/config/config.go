// Package config reads the gate's one configuration file.
//
// [Load] starts from [Default], decodes the file strictly (an unknown or repeated key is a fault), and checks the
// result with [Config.Validate]. Every fault is reported at once, each with its place in the file and what to do
// about it. Reading a configuration opens nothing but the file itself: secrets stay references until
// [Secret.Resolve] is called, certificates and policies are opened by their owners.
package config

import "time"

// Config is the whole configuration file. Keys are snake_case; an option that weakens the gate is called insecure_….
type Config struct {
	// Listen says where the gate accepts connections: the data plane, SCIM, and administration apart.
	Listen Listen `yaml:"listen"`
	// Trust names the certificate authorities the gate believes, one bundle for each kind of peer.
	Trust Trust `yaml:"trust"`
	// Accounts are the Cosmos DB accounts behind the gate, chosen by the host name a caller used.
	Accounts []Account `yaml:"accounts"`
	// Issuers are the OpenID Connect providers whose tokens are accepted.
	Issuers []Issuer `yaml:"issuers"`
	// Connections are the identity providers that push people and groups over SCIM.
	Connections []Connection `yaml:"connections"`
	// SCIM is how identity providers reach the gate. Required with connections.
	SCIM SCIM `yaml:"scim"`
	// Directory is where people, groups and locks are kept.
	Directory Directory `yaml:"directory"`
	// Policy is what decides.
	Policy Policy `yaml:"policy"`
	// Audit is the record of every request.
	Audit Audit `yaml:"audit"`
	// Log is the operations log, which is not the audit record.
	Log Log `yaml:"log"`
	// Limits bound what one gate takes on.
	Limits Limits `yaml:"limits"`
	// Feeds are identity providers that may withdraw what people hold before it ends.
	Feeds []Feed `yaml:"feeds"`
	// Keys are account keys of the gate's own, for clients that speak nothing else.
	Keys Keys `yaml:"keys"`
	// Secrets says how the gate keeps the secrets that it makes itself.
	Secrets Secrets `yaml:"secrets"`
	// TokenService issues delegated tokens to agents.
	TokenService TokenService `yaml:"token_service"`
	// Proofs is what callers show for tokens that are bound to a key.
	Proofs Proofs `yaml:"proofs"`
	// Engineers is what the gate tells people's tools about signing in, at /.well-known/cosmosgate of the data listener.
	Engineers Engineers `yaml:"engineers"`
}

// Listen holds the three listeners and the control socket.
type Listen struct {
	// Data is the Cosmos data plane that SDKs are pointed at.
	Data Listener `yaml:"data"`
	// SCIM is what identity providers push to.
	SCIM Listener `yaml:"scim"`
	// Control is how commands on this machine, such as cosmosgate lock, reach the running gate.
	Control Control `yaml:"control"`
	// Admin serves health checks, metrics and the log level. Keep it on loopback or a private network: it asks for no credential.
	Admin Listener `yaml:"admin"`
}

// Listener is one address the gate accepts connections on.
type Listener struct {
	// Address is host:port; an empty host means every interface, port 0 a free one.
	Address string `yaml:"address"`
	// TLS is the certificate served. Required for data and scim; optional for admin.
	TLS TLS `yaml:"tls"`
	// MaxConnections is how many connections may be open at once; further ones are closed at once. Default 10000.
	MaxConnections int `yaml:"max_connections"`
	// ClientCertificates asks callers for a certificate, to which their token may be bound (RFC 8705). It proves nothing by itself,
	// so that no authority needs to have signed it.
	ClientCertificates bool `yaml:"client_certificates"`
}

// Control is the Unix socket of administration. Only the gate's own user and root can open it, and every act is recorded.
type Control struct {
	// Socket is its path, at most 107 bytes (103 outside Linux), in a folder that others cannot write and that is made if it is missing.
	// Default: gate.sock in a folder beside directory.path, named as it with .control in place of the extension.
	Socket string `yaml:"socket"`
}

// TLS is a certificate chain and its key, as PEM files. Both are read again when they change.
type TLS struct {
	// Certificate is the path of the PEM chain, leaf first.
	Certificate string `yaml:"certificate"`
	// Key is the path of the PEM private key. If its mode lets every user read it, the gate says so in its log.
	Key string `yaml:"key"`
}

// Trust names PEM bundles. An empty one means the system's authorities.
type Trust struct {
	// Upstream is the bundle for Cosmos DB endpoints.
	Upstream string `yaml:"upstream"`
	// Issuers is the bundle for OpenID Connect providers.
	Issuers string `yaml:"issuers"`
}

// Account is one Cosmos DB account behind the gate.
type Account struct {
	// Name is what policies call the account: the first segment of account/database/container.
	Name string `yaml:"name"`
	// PublicURL is the base that SDKs are pointed at, and the only location the gate publishes. Its host selects the account.
	PublicURL string `yaml:"public_url"`
	// Hosts are further host[:port] names that select the account.
	Hosts []string `yaml:"hosts"`
	// Upstream is the account's endpoint, https://<account>.documents.azure.com/.
	Upstream string `yaml:"upstream"`
	// Region is the name published for the one location; it is what preferred regions in SDKs are compared with.
	Region string `yaml:"region"`
	// Reader is the identity that the gate itself reads the account document and container ids with.
	Reader string `yaml:"reader"`
	// Identities are the Entra identities that roles forward under, by the name policies use.
	Identities map[string]Identity `yaml:"identities"`
	// InsecureMasterKey signs every request with an account key instead of a role's identity. For emulators only.
	InsecureMasterKey Secret `yaml:"insecure_master_key"`
}

// Identity says how the gate obtains one Entra identity. Exactly one kind is given.
type Identity struct {
	// ManagedIdentity is the platform's managed identity.
	ManagedIdentity *ManagedIdentity `yaml:"managed_identity"`
	// WorkloadIdentity exchanges a projected service account token, as on Kubernetes.
	WorkloadIdentity *WorkloadIdentity `yaml:"workload_identity"`
	// ClientCertificate signs in as an app registration with a certificate.
	ClientCertificate *ClientCertificate `yaml:"client_certificate"`
	// InsecureAzureCLI uses whoever is signed in to the Azure CLI. For a developer's own machine only.
	InsecureAzureCLI *AzureCLI `yaml:"insecure_azure_cli"`
}

// ManagedIdentity is a system-assigned identity, or a user-assigned one by its client id.
type ManagedIdentity struct {
	// ClientID is the user-assigned identity's client id; empty means the system-assigned identity.
	ClientID string `yaml:"client_id"`
}

// WorkloadIdentity is federation from a token file. Empty fields come from the AZURE_* variables that the platform sets.
type WorkloadIdentity struct {
	// TenantID is the Entra tenant.
	TenantID string `yaml:"tenant_id"`
	// ClientID is the app registration or managed identity that trusts the token.
	ClientID string `yaml:"client_id"`
	// TokenFile is the path of the projected token.
	TokenFile string `yaml:"token_file"`
}

// ClientCertificate is an app registration with a certificate credential.
type ClientCertificate struct {
	// TenantID is the Entra tenant.
	TenantID string `yaml:"tenant_id"`
	// ClientID is the app registration.
	ClientID string `yaml:"client_id"`
	// Certificate is the path of a PEM or PKCS#12 file with the certificate and its key. It is read again when it changes.
	Certificate string `yaml:"certificate"`
}

// AzureCLI is the signed-in user of the Azure CLI.
type AzureCLI struct {
	// TenantID selects the tenant if the user has several.
	TenantID string `yaml:"tenant_id"`
}

// Issuer is one OpenID Connect provider.
type Issuer struct {
	// Name is what connections, applications and records call the issuer.
	Name string `yaml:"name"`
	// URL is the issuer, exactly as tokens carry it in iss.
	URL string `yaml:"url"`
	// Audiences are the values of aud that mean this gate. A Cosmos DB audience is refused.
	Audiences []string `yaml:"audiences"`
	// Connection is the SCIM connection whose people sign in here; empty if only applications do.
	Connection string `yaml:"connection"`
	// Claim is the immutable claim that equals externalId in the directory: oid for Entra ID, uid or sub for Okta.
	Claim string `yaml:"claim"`
	// FrontEndClients are the client ids (azp, appid or client_id) that carry a person's own sign-in.
	FrontEndClients []string `yaml:"front_end_clients"`
	// Algorithms are the accepted signature algorithms. Default RS256 and ES256.
	Algorithms []string `yaml:"algorithms"`
	// TokenType is how the provider marks access tokens: at+jwt (RFC 9068, the default), entra, okta, keycloak, jwt for plain JWTs with
	// client_id and jti (ZITADEL), workload for issuers of nothing but workload tokens (GitHub Actions, Kubernetes), or spiffe for a SPIFFE
	// trust domain (JWT-SVIDs), whose url is spiffe://example.org.
	TokenType string `yaml:"token_type"`
	// KeysURL is where the provider's keys are, for one whose discovery cannot be reached or does not exist (Kubernetes, SPIFFE).
	KeysURL string `yaml:"keys_url"`
	// KeysFile is a JWK set in a file, instead; it is read again every few minutes.
	KeysFile string `yaml:"keys_file"`
	// CertificateAuthority is the PEM bundle for this provider alone, such as a cluster's own. Default: trust.issuers.
	CertificateAuthority string `yaml:"certificate_authority"`
	// MaxLifetime is the longest exp−iat accepted. Default 25h.
	MaxLifetime time.Duration `yaml:"max_lifetime"`
	// Delegation accepts tokens that name who acts (act, RFC 8693), as Okta and Auth0 issue them: act.sub is a client of the issuer that
	// policy declares as an Agent. A person's token that was issued to an agent's client is a delegation without it, as with Entra ID.
	Delegation bool `yaml:"delegation"`
	// Scopes says what the issuer's scopes mean here: cosmos.read, cosmos.write, cosmos.execute. Delegated tokens are narrowed to their
	// scopes; what is not mapped grants them nothing.
	Scopes map[string][]string `yaml:"scopes"`
	// Exchange says what else of the issuer the token service takes.
	Exchange Exchange `yaml:"exchange"`
	// InsecureLoopback allows a provider on 127.0.0.1, ::1 or localhost, as development ones are.
	InsecureLoopback bool `yaml:"insecure_loopback"`
}

// Connection is one identity provider pushing people and groups to /scim/v2/{name}.
type Connection struct {
	// Name is the path segment and the owner of the records it makes.
	Name string `yaml:"name"`
	// Issuer is the one issuer whose tokens these people present.
	Issuer string `yaml:"issuer"`
	// Tokens are the bearer tokens it may present: at most two, so that one can replace the other without a gap.
	Tokens []Token `yaml:"tokens"`
	// OAuth says how else than by a client secret it proves itself at /scim/oauth/token. Secrets are made by cosmosgate scim token create.
	OAuth OAuth `yaml:"oauth"`
	// Certificates pins the provider: SHA-256 fingerprints, in hexadecimal, of certificates of which it must show one beside its token or
	// client secret. Who signed them does not matter. Needs listen.scim.client_certificates.
	Certificates []string `yaml:"certificates"`
	// Dialect is which provider it is: entra, okta, onelogin, jumpcloud, ping, google, sailpoint. Warnings and silent_after go by it, and for ping
	// the first of several primary values wins, which are refused otherwise; nothing else does.
	Dialect string `yaml:"dialect"`
	// Strict refuses what the interoperability profiles forbid and large providers still send.
	Strict bool `yaml:"strict"`
	// Rate bounds its requests.
	Rate Rate `yaml:"rate"`
	// SilentAfter is how long it may be silent before that is a warning. Default: 80m for entra, 24h for google, 48h for others.
	SilentAfter time.Duration `yaml:"silent_after"`
}

// OAuth is how a connection's identity provider proves itself by assertions (RFC 7523) instead of a secret. Its client_id is the connection's name.
type OAuth struct {
	// Keys is the path of a JWK set with the provider's own public keys, which it signs assertions with.
	Keys string `yaml:"keys"`
	// Federated is its identity at its platform, as Entra ID's provisioning service has in your tenant.
	Federated *Federated `yaml:"federated"`
}

// Federated is a platform's token that proves the identity provider. Entra ID shows the three values where provisioning is connected.
type Federated struct {
	// Issuer is the exact iss: https://login.microsoftonline.com/<tenant>/v2.0 for Entra ID, whose tid must then be that tenant.
	Issuer string `yaml:"issuer"`
	// Subject is the exact sub: the object id of the provisioning service.
	Subject string `yaml:"subject"`
	// Audience is the exact and only aud: api://<application id>.
	Audience string `yaml:"audience"`
}

// SCIM is how identity providers reach the gate.
type SCIM struct {
	// PublicURL is the base that providers push to, https://host[:port]/; locations of records are built from it.
	PublicURL string `yaml:"public_url"`
	// Schemas are attributes of people beyond the RFC's, for every connection. They are published, stored, filterable, and known to policy.
	Schemas []Schema `yaml:"schemas"`
}

// Schema is a set of own attributes of people, under a URN.
type Schema struct {
	// URN names the schema in requests, such as urn:corp:params:scim:schemas:1.0:Access.
	URN string `yaml:"urn"`
	// Name is for people who read /Schemas. Default: the last part of the URN.
	Name string `yaml:"name"`
	// Description is for people who read /Schemas.
	Description string `yaml:"description"`
	// Attributes are what it holds.
	Attributes []Attribute `yaml:"attributes"`
}

// Attribute is one own attribute. Policy reads it as ${user.URN:NAME}, unless it has several values.
type Attribute struct {
	// Name is the attribute's name in requests: a letter, then letters, digits, _ and -.
	Name string `yaml:"name"`
	// Type is string (the default), boolean, integer, decimal, dateTime or reference.
	Type string `yaml:"type"`
	// MultiValued allows several values.
	MultiValued bool `yaml:"multi_valued"`
	// CaseExact compares in filters with regard to case.
	CaseExact bool `yaml:"case_exact"`
	// Description is for people who read /Schemas.
	Description string `yaml:"description"`
	// Policy is a short name for policy, as clearance for ${user.clearance}.
	Policy string `yaml:"policy"`
}

// Token is one bearer token of a connection.
type Token struct {
	// Value is the secret itself, by reference.
	Value Secret `yaml:"value"`
	// Expires ends it.
	Expires time.Time `yaml:"expires"`
}

// Rate is a token bucket.
type Rate struct {
	// RPS is requests a second; one that costs much counts as several (docs/scim-conformance.md). Default 50, at least 25.
	RPS float64 `yaml:"rps"`
	// Burst is the bucket's size. Default 200.
	Burst int `yaml:"burst"`
}

// Policy is the policy set.
type Policy struct {
	// Path is a file or a folder of .yaml files; it is read again when it changes.
	Path string `yaml:"path"`
	// InsecureExplainDenials tells a refused caller which rule was missing or in the way, which is otherwise for the record
	// alone. For development. Default false.
	InsecureExplainDenials bool `yaml:"insecure_explain_denials"`
}

// Audit is the record of every request.
type Audit struct {
	// Path is the JSON-lines file.
	Path string `yaml:"path"`
	// MaxBytes is the size at which the file is rotated. Default 104857600.
	MaxBytes int64 `yaml:"max_bytes"`
	// Keep is how many rotated files stay. Default 10.
	Keep int `yaml:"keep"`
	// SyncEvery is how much of the record a power failure may cost; 0s puts every batch on disk first. Default 1s.
	SyncEvery time.Duration `yaml:"sync_every"`
	// HashKey keys the hashes of partition keys and ids, so that they can't be guessed. Recommended.
	HashKey Secret `yaml:"hash_key"`
}

// Log is the operations log, on standard error.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `yaml:"level"`
	// Format is json or text. Default json.
	Format string `yaml:"format"`
}

// Limits bound what one gate takes on.
type Limits struct {
	// MaxInFlight is how many requests are in progress at once, of them no more for one caller than three times
	// what is free; further ones get 503 with Retry-After. While it is not known yet who calls, no more than a quarter
	// waits for the keys of issuers, and a quarter for those of virtual keys. Default 1024.
	MaxInFlight int `yaml:"max_in_flight"`
	// UpstreamTimeout is how long Cosmos may take to begin answering; SDKs wait 65s. Default 70s.
	UpstreamTimeout time.Duration `yaml:"upstream_timeout"`
	// AccountRefresh is how often the account document is read again. Default 5m.
	AccountRefresh time.Duration `yaml:"account_refresh"`
	// Drain is how long requests in flight may go on after SIGTERM. Default 30s.
	Drain time.Duration `yaml:"drain"`
}

// Engineers is published to everybody who can reach the data listener: it holds no secret.
type Engineers struct {
	// SignIn lists where people sign in, the usual one first. Default: every issuer with a connection.
	SignIn []SignIn `yaml:"sign_in"`
	// CertificateAuthority is a PEM file with the authority of the gate's certificate, if it is a private one. It is published with its
	// fingerprint, so that cosmosgate login can be told the fingerprint instead of a file.
	CertificateAuthority string `yaml:"certificate_authority"`
	// ServicesURL is the base of the SCIM and token services. Default: scim.public_url.
	ServicesURL string `yaml:"services_url"`
}

// SignIn is how people sign in at one issuer.
type SignIn struct {
	// Issuer is the name of one of the issuers.
	Issuer string `yaml:"issuer"`
	// ClientID is the public client that cosmosgate login signs in as. Default: the first of the issuer's front_end_clients.
	ClientID string `yaml:"client_id"`
	// Audience is what tokens are asked for. Default: the first of the issuer's audiences.
	Audience string `yaml:"audience"`
	// Scopes are asked for. Default: openid, profile, offline_access, and for Entra ID the audience with /.default.
	Scopes []string `yaml:"scopes"`
}

// Default returns the configuration that an empty file means. It has no accounts and no issuers, so it does not validate.
func Default() Config {
	return Config{
		Listen: Listen{
			Data:  Listener{Address: ":8443", MaxConnections: defaultConnections},
			SCIM:  Listener{Address: ":8444", MaxConnections: defaultConnections},
			Admin: Listener{Address: "127.0.0.1:9090", MaxConnections: adminConnections},
		},
		Audit:  Audit{MaxBytes: 100 << 20, Keep: 10, SyncEvery: time.Second},
		Log:    Log{Level: "info", Format: "json"},
		Keys:   Keys{DateSkew: 5 * time.Minute, WarnBefore: 14 * 24 * time.Hour},
		Limits: Limits{MaxInFlight: 1024, UpstreamTimeout: 70 * time.Second, AccountRefresh: 5 * time.Minute, Drain: 30 * time.Second},
	}
}

const (
	defaultConnections = 10000
	adminConnections   = 64
)
