// Package identity turns the credential of a request into a [Principal].
//
// An [Authenticator] trusts a fixed list of [Issuer] values. A token is checked in this order: shape and algorithm, issuer,
// signature, audience, kind, client, times, binding. The verdict is cached under the SHA-256 of the token; what may change while
// a token lives (the person's directory record and locks, the declared applications, the issuer's keys) is consulted on every
// call, after the cache.
//
// A valid token is not enough. A person needs an active directory record linked by an immutable claim, an application needs
// exactly one declaration that matches. Group claims are never read: groups come from the directory.
//
// Not every credential is a token: [Keys] are account keys that only the gate accepts. A token that is bound to a key of its holder
// needs a [Proof] with every request. [Revocations] take credentials away before their time, and [Once] lets what is good once be
// used once, at all gates of a directory; providers reach them through package feeds.
//
// Refusals are *[Error] values. Their Reason is for the record and the log; a caller is told a native substatus and nothing else.
package identity
