package credential_test

import (
	"context"
	"fmt"
	"log"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/cosmosgate/cosmosgate/credential"
)

// A person signs in: a browser opens at the first request, and again only when the session has ended.
func ExampleNew() {
	cred, err := credential.New(credential.Options{Gate: "https://cosmos.corp.example/"})
	if err != nil {
		log.Fatal(err)
	}
	client, err := azcosmos.NewClient(cred.Endpoint(), cred, &azcosmos.ClientOptions{ClientOptions: cred.ClientOptions()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Endpoint())
	// Output: https://cosmos.corp.example/
}

// Another program knows how to get a token, and prints it. It is told the gate in COSMOSGATE_GATE.
func ExampleNew_command() {
	cred, err := credential.New(credential.Options{
		Gate: "https://cosmos.corp.example/", Flow: credential.Exec,
		Command: []string{"sh", "-c", `echo '{"access_token": "token-for-the-gate", "expires_in": 600}'`},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Token)
	// Output: token-for-the-gate
}

// A workload shows the token that its platform puts into a file, and is declared in the gate's policy by its claims.
func ExampleNew_workload() {
	cred, err := credential.New(credential.Options{
		Gate: "https://cosmos.corp.example/", Flow: credential.WorkloadDirect, TokenFile: "/var/run/secrets/cosmosgate/token",
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{})
	fmt.Println(err)
	// Output: credential: reading the token file: open /var/run/secrets/cosmosgate/token: no such file or directory
}
