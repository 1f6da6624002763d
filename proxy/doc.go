// Package proxy is the data path of the gate: an [http.Handler] that takes a
// request of any Cosmos SDK, finds out who sent it and what it does, asks the
// policy, and forwards it under the managed identity of the role that allowed it.
//
// A request is accepted, admitted (sanitized, authenticated, classified,
// authorized, given an upstream token and a place in the audit log), forwarded,
// filtered on its way back, and recorded. What goes upstream is built from what was
// decided, never copied from what arrived. The caller's credential never goes up,
// and neither the upstream credential nor the name of the upstream comes down.
//
// [Proxy.Run] must be running while the handler serves: it keeps the upstream
// tokens and the account documents fresh.
package proxy
