package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// armVersion is the version of the Microsoft.DocumentDB resource provider whose answers are read.
const armVersion = "2024-11-15"

// account is what is read of an account's settings.
type account struct {
	Properties struct {
		DisableLocalAuth    bool              `json:"disableLocalAuth"`
		PublicNetworkAccess string            `json:"publicNetworkAccess"`
		IPRules             []json.RawMessage `json:"ipRules"`
		NetworkFilter       bool              `json:"isVirtualNetworkFilterEnabled"`
	} `json:"properties"`
}

type assignment struct {
	Name       string `json:"name"`
	Properties struct {
		Definition string `json:"roleDefinitionId"`
		Principal  string `json:"principalId"`
		Scope      string `json:"scope"`
	} `json:"properties"`
}

type definition struct {
	Name       string `json:"name"`
	Properties struct {
		RoleName    string `json:"roleName"`
		Permissions []struct {
			DataActions []string `json:"dataActions"`
		} `json:"permissions"`
	} `json:"properties"`
}

// exported is what policy export writes, as far as it is compared.
type exported struct {
	Account     string `json:"account"`
	Definitions []struct {
		ID          string   `json:"id"`
		DataActions []string `json:"dataActions"`
	} `json:"roleDefinitions"`
	Assignments []struct {
		ID         string `json:"id"`
		Definition string `json:"roleDefinitionId"`
		Scope      string `json:"scope"`
	} `json:"roleAssignments"`
}

// around looks for settings of the account that let somebody reach the data without the gate.
func (v *visit) around(ctx context.Context) Result {
	if v.ResourceID == "" {
		return Result{Status: Skipped, Found: "not looked at", Fix: "name the account with --resource-id /subscriptions/…, signed in to Azure"}
	}
	client, err := arm.NewClient("cosmosgate", "v0.1.0", v.Azure, &arm.ClientOptions{
		ClientOptions: policy.ClientOptions{Transport: v.AzureHTTP, Retry: policy.RetryOptions{MaxRetries: 1}}, DisableRPRegistration: true,
	})
	if err != nil {
		return failed(err, "sign in to Azure, as with az login")
	}
	var a account
	if err := v.arm(ctx, client, "", &a); err != nil {
		return failed(short(err), "sign in to Azure as somebody with the Cosmos DB Account Reader role")
	}
	ways := openings(&a)
	wider, err := v.wider(ctx, client)
	if err != nil {
		return failed(short(err), "sign in to Azure as somebody who may read sqlRoleAssignments and sqlRoleDefinitions")
	}
	ways = append(ways, wider...)
	if len(ways) > 0 {
		var found, fixes []string
		for _, w := range ways {
			found, fixes = append(found, w[0]), append(fixes, w[1])
		}
		return Result{Status: Failed, Found: strings.Join(found, "; "), Fix: strings.Join(fixes, "; ")}
	}
	if v.Exported == nil {
		return warning("account keys are off and the network is closed; role assignments were not compared", "give the output of cosmosgate policy export with --exported")
	}
	return ok("account keys are off, the network is closed, and nobody has roles but those exported")
}

// openings are settings that let somebody in, each with what to do.
func openings(a *account) [][2]string {
	var ways [][2]string
	if !a.Properties.DisableLocalAuth {
		ways = append(ways, [2]string{"account keys are accepted", "set disableLocalAuth to true on the account"})
	}
	open := a.Properties.PublicNetworkAccess != "Disabled" && a.Properties.PublicNetworkAccess != "SecuredByPerimeter"
	if open && len(a.Properties.IPRules) == 0 && !a.Properties.NetworkFilter {
		ways = append(ways, [2]string{
			"the account is open to every network", "set publicNetworkAccess to Disabled with a private endpoint for the gate, or allow the gate's addresses only",
		})
	}
	return ways
}

// wider compares the role assignments of the data plane with those that the policy needs.
func (v *visit) wider(ctx context.Context, client *arm.Client) ([][2]string, error) {
	if v.Exported == nil {
		return nil, nil
	}
	want, err := v.exportedFor()
	if err != nil {
		return nil, err
	}
	var assignments struct {
		Value []assignment `json:"value"`
	}
	var definitions struct {
		Value []definition `json:"value"`
	}
	if err := errors.Join(v.arm(ctx, client, "/sqlRoleAssignments", &assignments), v.arm(ctx, client, "/sqlRoleDefinitions", &definitions)); err != nil {
		return nil, err
	}
	var ways [][2]string
	for i := range assignments.Value {
		if way := want.judge(&assignments.Value[i], definitions.Value); way != "" {
			ways = append(ways, [2]string{way, "remove it, or apply the output of cosmosgate policy export again"})
		}
	}
	return ways, nil
}

var errExported = errors.New("is no output of policy export for this account")

// exportedFor finds the account's part of the export: by its name in the resource id, or the only one.
func (v *visit) exportedFor() (*exported, error) {
	var all []exported
	if err := json.Unmarshal(v.Exported, &all); err != nil || len(all) == 0 {
		return nil, fmt.Errorf("--exported %w", errExported)
	}
	name := v.ResourceID[strings.LastIndexByte(v.ResourceID, '/')+1:]
	for i := range all {
		if len(all) == 1 || strings.EqualFold(all[i].Account, name) {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("--exported %w: %s", errExported, name)
}

// judge says in which way an assignment is wider than exported; nothing if it is not.
func (e *exported) judge(a *assignment, definitions []definition) string {
	id := strings.ToLower(a.Name)
	for _, want := range e.Assignments {
		if strings.ToLower(want.ID) != id {
			continue
		}
		scope := a.Properties.Scope
		if i := strings.Index(scope, "/dbs/"); i >= 0 {
			scope = scope[i:]
		} else {
			scope = "/"
		}
		if scope != want.Scope && !strings.HasPrefix(scope, strings.TrimSuffix(want.Scope, "/")+"/") {
			return fmt.Sprintf("assignment %s reaches %s, exported %s", a.Name, scope, want.Scope)
		}
		if more := e.more(a, want.Definition, definitions); len(more) > 0 {
			return fmt.Sprintf("the role of assignment %s also allows %s", a.Name, strings.Join(more, ", "))
		}
		return ""
	}
	return fmt.Sprintf("principal %s has a role of its own (assignment %s)", a.Properties.Principal, a.Name)
}

// more are the data actions of an assignment's role that were not exported.
func (e *exported) more(a *assignment, wanted string, definitions []definition) []string {
	var allowed []string
	for _, d := range e.Definitions {
		if strings.EqualFold(d.ID, wanted) {
			allowed = d.DataActions
		}
	}
	has := a.Properties.Definition[strings.LastIndexByte(a.Properties.Definition, '/')+1:]
	var more []string
	for i := range definitions {
		if !strings.EqualFold(definitions[i].Name, has) {
			continue
		}
		for _, p := range definitions[i].Properties.Permissions {
			for _, action := range p.DataActions {
				if !slices.Contains(allowed, action) {
					more = append(more, action)
				}
			}
		}
		return more
	}
	return []string{"what its unknown role " + has + " allows"}
}

// arm reads one resource below the account.
func (v *visit) arm(ctx context.Context, client *arm.Client, below string, into any) error {
	req, err := runtime.NewRequest(ctx, http.MethodGet, runtime.JoinPaths(client.Endpoint(), v.ResourceID+below))
	if err != nil {
		return fmt.Errorf("asking Azure: %w", err)
	}
	q := req.Raw().URL.Query()
	q.Set("api-version", armVersion)
	req.Raw().URL.RawQuery = q.Encode()
	req.Raw().Header.Set("Accept", "application/json")
	resp, err := client.Pipeline().Do(req)
	if err != nil {
		return fmt.Errorf("asking Azure: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return runtime.NewResponseError(resp) //nolint:wrapcheck // shortened by the caller
	}
	const largest = 16 << 20
	if err := json.NewDecoder(io.LimitReader(resp.Body, largest)).Decode(into); err != nil {
		return fmt.Errorf("reading Azure's answer: %w", err)
	}
	return nil
}

// short is an error without the SDK's page about the answer.
func short(err error) error {
	if answer, is := errors.AsType[*azcore.ResponseError](err); is {
		return fmt.Errorf("%w: %d %s", errAzure, answer.StatusCode, answer.ErrorCode)
	}
	return err
}

var errAzure = errors.New("azure answered")
