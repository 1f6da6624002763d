// Package certs holds TLS material that changes while the process runs: key pairs, trust bundles, and a development authority.
//
// A [Store] reads files and keeps watching them. What it hands out stays valid for the life of the process and always answers with the
// newest material that could be loaded as a whole; a file that cannot be read or does not fit its key leaves the old material in use,
// is logged, and shows in the metrics. Bundles are separate by purpose (upstream, issuers, clients), so that trusting an identity
// provider's authority never means trusting it to vouch for the database.
package certs
