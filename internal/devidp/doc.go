// Package devidp is the development identity provider: it signs in seeded people and applications, and plays the managed
// identity endpoint of a host, so that `cosmosgate dev` and tests run the real protocols.
//
// It authenticates nobody. It therefore answers on loopback only, its issuer says "dev", and its keys are random per start.
//
// Under the path of its issuer a [Provider] serves discovery (OpenID Connect and RFC 8414), keys, the authorization code flow
// with PKCE S256, the device flow (RFC 8628), refresh with rotation, revocation (RFC 7009), and client credentials. Access tokens follow RFC 9068.
package devidp
