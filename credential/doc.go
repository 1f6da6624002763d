// Package credential signs engineers and programs in to a cosmosgate, for use with Azure SDKs.
//
// [New] needs one URL, the gate's. Everything else (where to sign in, as which client, for which audience) comes from the guide
// that the gate publishes. The [Credential] is an azcore.TokenCredential:
//
//	cred, err := credential.New(credential.Options{Gate: "https://cosmos.corp.example/"})
//	client, err := azcosmos.NewClient(cred.Endpoint(), cred, &azcosmos.ClientOptions{ClientOptions: cred.ClientOptions()})
//
// How it signs in is the [Flow]: a person in a browser or on another device, or a program by its private key, by a token that
// its platform puts into a file, or by a command. The scope that an SDK asks for is ignored: tokens are always for the gate.
//
// Sessions of people are kept in a [Store] and shared by every process of the same user: a file of mode 0600, sealed with a key
// in the operating system's keyring where there is one. Refresh tokens change with every use, so processes take turns.
//
// A credential never sends an access token anywhere but to its gate, and never a refresh token anywhere but to the issuer.
package credential
