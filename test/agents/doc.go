// Package agents signs people in at independent OpenID providers (zitadel/oidc, and oidc-provider of npm), takes their tokens through the
// gate, has agents exchange them, and runs the programs of docs/agents.md as they are printed there.
package agents
