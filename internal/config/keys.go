package config

import "time"

// Keys are virtual keys: account keys of the gate's own, for clients that speak nothing but connection strings (docs/keys.md).
type Keys struct {
	// Enabled accepts them. They need secrets.keys, and applications that policy declares with virtualKeys.
	Enabled bool `yaml:"enabled"`
	// ByHost gives every key a host name, KEYID.keys.HOST of the account, in place of trying up to 64 keys. The gate's DNS and
	// certificate must cover *.keys.HOST.
	ByHost bool `yaml:"by_host"`
	// DateSkew is how far x-ms-date of a request may be from the gate's clock, which is how long a captured signature can be
	// replayed. Default 5m, at most 15m.
	DateSkew time.Duration `yaml:"date_skew"`
	// WarnBefore is how long before its end a key is warned of, in the log and by cosmosgate key ls. Default 336h.
	WarnBefore time.Duration `yaml:"warn_before"`
}

// Secrets says how the gate keeps the secrets that it makes itself: virtual keys, signing keys.
type Secrets struct {
	// Keys are what they are sealed under before they are written to the directory.
	Keys SealingKeys `yaml:"keys"`
}

// SealingKeys are key-encryption keys.
type SealingKeys struct {
	// File holds them: 32 random bytes in base64 on each line, the first seals, all open. Its mode must be 0600. Every gate of a
	// directory needs the same ones.
	File string `yaml:"file"`
	// Vault is a key of Azure Key Vault, in place of a file.
	Vault *KeyVault `yaml:"vault"`
}

// Proofs is what callers show for tokens that are bound to a key (DPoP, RFC 9449).
type Proofs struct {
	// InsecureWithoutNonce accepts proofs without a nonce of this gate, so that one that was caught can be replayed for a minute
	// at another gate of the same name.
	InsecureWithoutNonce bool `yaml:"insecure_without_nonce"`
}

func (c *Config) checkKeys(ps *problems) {
	const longestSkew = 15 * time.Minute
	if c.Keys.Enabled && !c.Secrets.Keys.Set() {
		ps.add("keys.enabled", "needs secrets.keys, under which keys are sealed")
	}
	c.Secrets.Keys.check(ps)
	if c.Keys.DateSkew < 0 || c.Keys.DateSkew > longestSkew {
		ps.add("keys.date_skew", "is %s: use at most 15m, as the service does", c.Keys.DateSkew)
	}
	if c.Keys.WarnBefore < 0 {
		ps.add("keys.warn_before", "is %s: use 0s or more", c.Keys.WarnBefore)
	}
}

// Set reports whether there are any.
func (k *SealingKeys) Set() bool { return k.File != "" || k.Vault != nil }
