// Package feeds takes revocations that identity providers push: Global Token Revocation (Okta calls it Universal Logout), security
// events of the Shared Signals Framework (CAEP) over HTTP push (RFC 8935), and OpenID Connect Back-Channel Logout.
//
// A feed can only take away. What it withdraws, it withdraws for the people of the issuers it is declared for, up to the moment at
// which its message was signed, so that a message that comes twice does no more than one. An e-mail address may say whom to revoke,
// though it never says who somebody is: if several people have it, all of them are revoked.
//
// Divergence from the standards: a message about one session also withdraws what its subject was issued before, unless the feed is
// declared [Feed.SessionOnly]: not every issuer writes sid into its access tokens, and a logout that does nothing is worse than one
// that asks for another sign-in.
package feeds
