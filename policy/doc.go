// Package policy decides whether a principal may perform data actions on a
// Cosmos DB resource, and under which role.
//
// Operators write roles, bindings and guardrails as YAML (docs/policy.md).
// [Load] and [Parse] check everything that was written, report every fault at
// once with its place, and compile the documents to Cedar. [Engine.Decide]
// answers one request from the compiled [Set]; it is pure: it reads no clock,
// no network and no state but the set it was given.
//
// Everything refuses by default: a nil Set, the zero [Engine], the zero
// [Request] and the zero [Decision] all deny, and so does any error while a
// condition is evaluated.
package policy
