package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/cosmosgate/cosmosgate/credential"
)

func (v *visit) issuer(ctx context.Context) Result {
	if len(v.guide.SignIn) == 0 {
		return Result{Status: Warning, Found: "the gate names no place for people to sign in", Fix: "programs may still have tokens of their own"}
	}
	s := v.guide.SignIn[0]
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.Issuer, "/")+"/.well-known/openid-configuration", http.NoBody)
	if err != nil {
		return failed(err, "whoever runs the gate must correct the issuer's URL")
	}
	resp, err := v.httpClient().Do(req)
	if err != nil {
		return failed(err, "may this network reach the identity provider? is it up?")
	}
	defer resp.Body.Close() //nolint:errcheck // only the status matters
	if resp.StatusCode != http.StatusOK {
		return Result{Status: Failed, Found: s.Issuer + " answers " + resp.Status, Fix: "is the identity provider up?"}
	}
	return ok("%s", s.Issuer)
}

func (v *visit) signIn(ctx context.Context) Result {
	token, err := v.Credential.GetToken(ctx, policy.TokenRequestOptions{})
	switch {
	case errors.Is(err, credential.ErrExposed):
		return failed(err, "take others' rights away from the file, or delete it and run cosmosgate login")
	case err != nil:
		return failed(err, "run cosmosgate login")
	}
	left := token.ExpiresOn.Sub(v.Clock()).Round(time.Second)
	if audience := v.wrongAudience(token.Token); audience != "" {
		return Result{
			Status: Failed, Found: "the token is for " + audience, Fix: "whoever runs the gate must let engineers.sign_in ask for scopes that give the gate's audience",
		}
	}
	if _, renewable := v.Credential.Expires(); !renewable {
		return warning(fmt.Sprintf("the token ends in %s and cannot be renewed", left), "the identity provider gave no refresh token: allow offline_access")
	}
	return ok("the token ends in %s and can be renewed", left)
}

// wrongAudience returns the audience of a token that is not the one that the gate asks for. A token that cannot be read is the gate's
// to judge.
func (v *visit) wrongAudience(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(v.guide.SignIn) == 0 { //nolint:mnd // header, claims, signature
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Audience json.RawMessage `json:"aud"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return ""
	}
	var one string
	var many []string
	if json.Unmarshal(claims.Audience, &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(claims.Audience, &many) != nil {
		return ""
	}
	for _, s := range v.guide.SignIn {
		if slices.Contains(many, s.Audience) {
			return ""
		}
	}
	return strings.Join(many, ", ")
}

func (v *visit) record(ctx context.Context) Result {
	who, err := v.Credential.WhoAmI(ctx)
	if answer, is := errors.AsType[*credential.GateError](err); is && answer.Status == http.StatusServiceUnavailable {
		return failed(err, "try again in a moment; if it stays, ask whoever runs the gate: it is not your doing")
	}
	if err != nil {
		return failed(err, "run cosmosgate login to sign in anew")
	}
	v.who = who
	if !who.Known && who.Refused != nil {
		return Result{Status: Failed, Found: who.Refused.Message, Fix: who.Refused.Hint}
	}
	groups := "groups"
	if len(who.Groups) == 1 {
		groups = "group"
	}
	return ok("%s, in %d %s", who.Name, len(who.Groups), groups)
}

func (v *visit) policy(context.Context) Result {
	if len(v.who.Access) == 0 {
		return Result{Status: Failed, Found: "no role gives you anything", Fix: "ask an administrator of the gate for a role"}
	}
	return ok("roles %s", strings.Join(v.who.Roles, ", "))
}

// read makes one request that the policy allows, with the official SDK.
func (v *visit) read(ctx context.Context) Result {
	target := v.readable()
	if target == nil {
		return Result{Status: Skipped, Found: "no container is named in what you may query"}
	}
	client, err := azcosmos.NewClient(v.endpoint(target.Account), v.Credential, &azcosmos.ClientOptions{ClientOptions: v.clientOptions()})
	if err != nil {
		return failed(err, "")
	}
	container, err := client.NewContainer(target.Database, target.Container)
	if err != nil {
		return failed(err, "")
	}
	name := target.Database + "/" + target.Container
	// No TOP: without a partition key the service leaves that to SDKs, and the Go SDK cannot.
	pager := container.NewQueryItemsPager("SELECT c.id FROM c", keyOf(target.PartitionKey), &azcosmos.QueryOptions{PageSizeHint: 1})
	page, err := pager.NextPage(ctx)
	if answer, is := errors.AsType[*azcore.ResponseError](err); is {
		return Result{Status: Failed, Found: fmt.Sprintf("a query of %s was answered %d", name, answer.StatusCode), Fix: fixRead(answer.StatusCode)}
	}
	if err != nil {
		return failed(err, "see the log of the gate")
	}
	return ok("a query of %s, %.2f RU", name, page.RequestCharge)
}

func fixRead(status int) string {
	switch status {
	case http.StatusServiceUnavailable:
		return "ask whoever runs the gate: it cannot reach Cosmos DB, or the role's managed identity lacks a right there"
	case http.StatusNotFound:
		return "the policy names a container that does not exist"
	case http.StatusForbidden:
		return "run cosmosgate query --explain-access; a condition or guardrail of the policy may forbid it now"
	default:
		return "see the record of the gate"
	}
}

// readable picks a container that may be queried, if possible without conditions.
func (v *visit) readable() *credential.Reach {
	var found *credential.Reach
	for i := range v.who.Access {
		r := &v.who.Access[i]
		if strings.Contains(r.Account+r.Database+r.Container, "*") || !slices.Contains(r.Actions, "executeQuery") {
			continue
		}
		if !r.Conditional {
			return r
		}
		found = r
	}
	return found
}

func (v *visit) endpoint(account string) string {
	for i := range v.guide.Accounts {
		if v.guide.Accounts[i].Name == account {
			return v.guide.Accounts[i].Endpoint
		}
	}
	return v.Gate.String()
}

func (v *visit) clientOptions() azcore.ClientOptions {
	o := v.Credential.ClientOptions()
	o.Retry = policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Second}
	return o
}

// keyOf is the partition key that a role is confined to; none means any.
func keyOf(parts []json.RawMessage) azcosmos.PartitionKey {
	key := azcosmos.NewPartitionKey()
	for _, part := range parts {
		var value any
		_ = json.Unmarshal(part, &value) // the gate sends canonical JSON
		switch value := value.(type) {
		case string:
			key = key.AppendString(value)
		case float64:
			key = key.AppendNumber(value)
		case bool:
			key = key.AppendBool(value)
		default:
			key = key.AppendNull()
		}
	}
	return key
}
