package policy

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

//go:embed starter/*.yaml
var starterFiles embed.FS

// Starter fills in the policy that a new installation begins with. The policy
// has the roles orders-reader, shop-writer and shop-operator, on the upstream
// identities reader, writer and operator.
type Starter struct {
	// Account is the name of the account whose database `shop` it is about.
	Account string
	// Groups are the SCIM ids or external ids of the groups that are given the
	// roles, by role. A role that is absent goes to the group whose external id
	// is the name of the role.
	Groups map[string]string
	// Checkout says how the tokens of the application `checkout` are
	// recognised: its Issuer and one claim. Without an issuer the policy has no
	// application.
	Checkout Application
	// Agent says how the tokens of the agent `orders-agent` are recognised: its
	// Issuer and one claim. Without an issuer the policy has no agent.
	Agent Agent
}

var (
	errStarterAccount = errors.New("the account of a starter policy")
	errStarterClaims  = errors.New("the application and the agent of a starter policy need exactly one claim")
)

// Files returns the texts of the policy by file name. They are commented for
// people to edit, load without faults, and pass their own tests.
func (s Starter) Files() (map[string][]byte, error) {
	if err := checkSegment(s.Account); err != nil {
		return nil, fmt.Errorf("%w: %w", errStarterAccount, err)
	}
	if s.Checkout.Issuer != "" && len(s.Checkout.Claims) != 1 || s.Agent.Issuer != "" && len(s.Agent.Claims) != 1 {
		return nil, errStarterClaims
	}
	filled := strings.NewReplacer(s.replacements()...)
	names, err := fs.Glob(starterFiles, "starter/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the starter policy: %w", err)
	}
	files := make(map[string][]byte, len(names))
	for _, name := range names {
		base := path.Base(name)
		if base == "applications.yaml" && s.Checkout.Issuer == "" || base == "agents.yaml" && s.Agent.Issuer == "" {
			continue
		}
		text, err := fs.ReadFile(starterFiles, name)
		if err != nil {
			return nil, fmt.Errorf("reading the starter policy: %w", err)
		}
		files[base] = []byte(filled.Replace(string(text)))
	}
	return files, nil
}

// replacements are what stands in the texts, and what comes there.
func (s Starter) replacements() []string {
	all := []string{"__account__", s.Account, "__issuer__", strconv.Quote(s.Checkout.Issuer), "__agent-issuer__", strconv.Quote(s.Agent.Issuer)}
	for claim, value := range s.Checkout.Claims {
		all = append(all, "__claim__", strconv.Quote(claim), "__value__", strconv.Quote(value))
	}
	for claim, value := range s.Agent.Claims {
		all = append(all, "__agent-claim__", strconv.Quote(claim), "__agent-value__", strconv.Quote(value))
	}
	for _, role := range []string{"orders-reader", "shop-writer", "shop-operator"} {
		group := role
		if id, ok := s.Groups[role]; ok {
			group = id
		}
		all = append(all, "__"+role+"__", strconv.Quote(group))
	}
	return all
}
