// Command golang runs the conformance cases with azcosmos.
//
// It reads one plan (JSON) from standard input and writes one line of JSON per
// case to standard output. The plan, the steps and the results are described
// in ../../README.md. The authority of the endpoint arrives through
// SSL_CERT_FILE, so that the SDK's own transport is used.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// plan is what the runner asks for.
type plan struct {
	Endpoint   string                     `json:"endpoint"`
	Key        string                     `json:"key"`
	Tokens     map[string]json.RawMessage `json:"tokens"`
	Containers map[string]place           `json:"containers"`
	CaseURL    string                     `json:"case_url"`
	Cases      []testCase                 `json:"cases"`
}

// place is a container's address.
type place struct {
	Database  string `json:"database"`
	Container string `json:"container"`
}

// testCase is one named case: steps taken in order by one principal.
type testCase struct {
	Name  string `json:"name"`
	As    string `json:"as"`
	Steps []step `json:"steps"`
}

// step is one call. Which fields count depends on Op.
type step struct {
	Op          string          `json:"op"`
	As          string          `json:"as"`
	Container   string          `json:"container"`
	ID          string          `json:"id"`
	PK          []any           `json:"pk"`
	Item        json.RawMessage `json:"item"`
	Query       string          `json:"query"`
	Parameters  []parameter     `json:"parameters"`
	Max         int32           `json:"max"`
	Resume      bool            `json:"resume"`
	Minimal     bool            `json:"minimal"`
	IfMatch     *string         `json:"if_match"`
	IfNoneMatch *string         `json:"if_none_match"`
	Condition   *string         `json:"condition"`
	Operations  []operation     `json:"operations"`
	IDs         []identity      `json:"ids"`
	Save        string          `json:"save"`
	Regions     []string        `json:"regions"`
	Direct      bool            `json:"direct"`
}

type parameter struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

type identity struct {
	ID string `json:"id"`
	PK []any  `json:"pk"`
}

// operation is one entry of a PATCH (Kind is its verb) or of a batch (Kind is
// the point call).
type operation struct {
	Kind       string          `json:"op"`
	Path       string          `json:"path"`
	Value      any             `json:"value"`
	ID         string          `json:"id"`
	PK         []any           `json:"pk"`
	Item       json.RawMessage `json:"item"`
	Operations []operation     `json:"operations"`
	Condition  *string         `json:"condition"`
	IfMatch    *string         `json:"if_match"`
}

// result is what the SDK let its caller see of one step.
type result struct {
	Unsupported string            `json:"unsupported,omitempty"`
	Type        string            `json:"type,omitempty"`
	Status      int               `json:"status,omitempty"`
	Substatus   int               `json:"substatus,omitempty"`
	Code        string            `json:"code,omitempty"`
	Message     string            `json:"message,omitempty"`
	Seen        []string          `json:"seen,omitempty"`
	Item        json.RawMessage   `json:"item,omitempty"`
	Items       []json.RawMessage `json:"items,omitzero"`
	Pages       []int             `json:"pages,omitzero"`
	Results     []result          `json:"results,omitzero"`

	etag azcore.ETag
}

// unsupportedError says that this SDK has no call for what a step asks.
type unsupportedError string

func (e unsupportedError) Error() string { return string(e) }

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s := session{clients: map[string]*azcosmos.Client{}, saved: map[string]azcore.ETag{}}
	if err := json.NewDecoder(os.Stdin).Decode(&s.plan); err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, c := range s.plan.Cases {
		if err := s.announce(ctx, c.Name); err != nil {
			return err
		}
		results := make([]result, 0, len(c.Steps))
		for _, one := range c.Steps {
			if one.As == "" {
				one.As = c.As
			}
			results = append(results, s.step(ctx, one))
		}
		if err := out.Encode(map[string]any{"case": c.Name, "steps": results}); err != nil {
			return fmt.Errorf("writing a result: %w", err)
		}
	}
	return nil
}

// session is the state of one run: a client per principal, saved entity tags.
type session struct {
	plan    plan
	clients map[string]*azcosmos.Client
	saved   map[string]azcore.ETag
}

// announce tells the recorder, if there is one, which case begins.
func (s *session) announce(ctx context.Context, name string) error {
	if s.plan.CaseURL == "" {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.plan.CaseURL+url.QueryEscape(name), nil)
	if err != nil {
		return fmt.Errorf("announcing %s: %w", name, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("announcing %s: %w", name, err)
	}
	return response.Body.Close()
}

func (s *session) step(ctx context.Context, one step) result {
	found, err := s.do(ctx, one)
	if err != nil {
		return failure(err)
	}
	if one.Save != "" {
		s.saved[one.Save] = found.etag
	}
	return found
}

// failure says what the SDK's own error exposes.
func failure(err error) result {
	var unsupported unsupportedError
	if errors.As(err, &unsupported) {
		return result{Unsupported: unsupported.Error()}
	}
	var native *azcore.ResponseError
	if !errors.As(err, &native) {
		return result{Type: fmt.Sprintf("%T", err), Message: err.Error()}
	}
	found := result{Type: "*azcore.ResponseError", Status: native.StatusCode, Code: native.ErrorCode}
	if native.RawResponse == nil {
		return found
	}
	if sub, err := strconv.Atoi(native.RawResponse.Header.Get("X-Ms-Substatus")); err == nil {
		found.Substatus = sub
	}
	var body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if err := json.NewDecoder(native.RawResponse.Body).Decode(&body); err == nil {
		found.Message = body.Message
		if body.Code != "" {
			found.Code = body.Code
		}
	}
	return found
}

// client returns the client that signs in as the step's principal and prefers
// its regions.
func (s *session) client(one step) (*azcosmos.Client, error) {
	if one.Direct {
		return nil, unsupportedError("azcosmos has no direct mode")
	}
	name := strings.Join(append([]string{one.As}, one.Regions...), "\n")
	if known, ok := s.clients[name]; ok {
		return known, nil
	}
	client, err := s.connect(one.As, &azcosmos.ClientOptions{PreferredRegions: one.Regions})
	if err != nil {
		return nil, err
	}
	s.clients[name] = client
	return client, nil
}

func (s *session) connect(principal string, options *azcosmos.ClientOptions) (*azcosmos.Client, error) {
	if s.plan.Key != "" {
		key, err := azcosmos.NewKeyCredential(s.plan.Key)
		if err != nil {
			return nil, err
		}
		return azcosmos.NewClientWithKey(s.plan.Endpoint, key, options)
	}
	return azcosmos.NewClient(s.plan.Endpoint, credential{s.plan.Tokens[principal]}, options)
}

// credential is a TokenCredential that runs the command that prints a token; a
// JSON string is taken as the token itself.
type credential struct{ source json.RawMessage }

func (c credential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	var token string
	if json.Unmarshal(c.source, &token) == nil {
		return azcore.AccessToken{Token: token, ExpiresOn: expiry(token)}, nil
	}
	var command []string
	if err := json.Unmarshal(c.source, &command); err != nil {
		return azcore.AccessToken{}, err
	}
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	if err != nil {
		return azcore.AccessToken{}, err
	}
	token = string(bytes.TrimSpace(out))
	return azcore.AccessToken{Token: token, ExpiresOn: expiry(token)}, nil
}

// expiry reads when a token ends; one that does not say ends in an hour.
func expiry(token string) time.Time {
	var claims struct {
		Expiry int64 `json:"exp"`
	}
	if parts := strings.Split(token, "."); len(parts) > 1 {
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(text, &claims) == nil {
			return time.Unix(claims.Expiry, 0)
		}
	}
	return time.Now().Add(time.Hour)
}
