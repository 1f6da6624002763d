package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/cosmosgate/cosmosgate/credential"
)

var errUnknownAccount = errors.New("the gate has no account of that name")

// cosmosClient is a stock SDK client for one account of the gate; an empty name means the one that the gate's URL leads to.
func (e *engineer) cosmosClient(ctx context.Context, c *credential.Credential, account string) (*azcosmos.Client, error) {
	endpoint := c.Endpoint()
	if account != "" {
		g, err := c.Guide(ctx)
		if err != nil {
			return nil, withHint(err)
		}
		if endpoint = endpointOf(g, account); endpoint == "" {
			return nil, fmt.Errorf("%w: %q (it has %s)", errUnknownAccount, account, accountNames(g))
		}
	}
	// Whether there is a session is known before the SDK is asked, which would wrap the answer in its own.
	if _, err := c.GetToken(ctx, policy.TokenRequestOptions{}); err != nil {
		return nil, withHint(err)
	}
	o := azcosmos.ClientOptions{ClientOptions: c.ClientOptions()}
	const retries, wait = 3, 500 * time.Millisecond
	o.Retry = policy.RetryOptions{MaxRetries: retries, RetryDelay: wait, MaxRetryDelay: 4 * wait} //nolint:mnd // somebody is waiting
	o.Telemetry.ApplicationID = "cosmosgate-cli"
	client, err := azcosmos.NewClient(endpoint, c, &o)
	if err != nil {
		return nil, failed(fmt.Errorf("preparing the SDK: %w", err), "")
	}
	return client, nil
}

func endpointOf(g *credential.Guide, account string) string {
	for i := range g.Accounts {
		if g.Accounts[i].Name == account {
			return g.Accounts[i].Endpoint
		}
	}
	return ""
}

func accountNames(g *credential.Guide) string {
	names := make([]string, len(g.Accounts))
	for i := range g.Accounts {
		names[i] = plainCell(g.Accounts[i].Name)
	}
	return strings.Join(names, ", ")
}

// sdkFault shortens what the SDK says about an answer: its own text is a page.
type sdkFault struct {
	answer *azcore.ResponseError
	text   string
}

func (f *sdkFault) Error() string { return f.text }
func (f *sdkFault) Unwrap() error { return f.answer }

// shortened returns err with the native message in place of the SDK's page, if it is about an answer of the gate.
func shortened(err error) error { return shortenedFrom("the gate", err) }

// shortenedFrom does so for an answer of another.
func shortenedFrom(who string, err error) error {
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return err
	}
	var native struct {
		Message string `json:"message"`
	}
	if answer.RawResponse != nil && answer.RawResponse.Body != nil {
		const enough = 64 << 10
		text, err := io.ReadAll(io.LimitReader(answer.RawResponse.Body, enough))
		if err == nil {
			_ = json.Unmarshal(text, &native) // without a message the status has to do
		}
	}
	message, _, _ := strings.Cut(native.Message, "\r\n")
	if message == "" {
		message = http.StatusText(answer.StatusCode)
	}
	text := fmt.Sprintf("%s answered %d: %s", who, answer.StatusCode, plainCell(message))
	return &sdkFault{answer: answer, text: text}
}
