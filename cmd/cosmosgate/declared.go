package main

import (
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
)

// declarations are the callers without a person that one policy declares, as authentication knows them.
type declarations struct {
	set          *policy.Set
	applications []identity.Application
	agents       []identity.Agent
}

var errKeys = errors.New("is no JWK Set of public keys")

// declarationsOf reports every agent whose keys are none.
func declarationsOf(set *policy.Set) (*declarations, error) {
	d := &declarations{set: set, applications: []identity.Application{}, agents: []identity.Agent{}}
	for _, a := range set.Applications() {
		d.applications = append(d.applications, identity.Application{
			Name: a.Name, Issuer: a.Issuer, Claims: a.Claims, VirtualKeys: a.VirtualKeys, Attributes: a.Attributes,
		})
	}
	var faults []error
	for _, a := range set.Agents() {
		keys, err := publicKeys(a.JWKS)
		if err != nil {
			faults = append(faults, fmt.Errorf("jwks of agent %s: %w", a.Name, err))
		}
		d.agents = append(d.agents, identity.Agent{Name: a.Name, Issuer: a.Issuer, Claims: a.Claims, Attributes: a.Attributes, Keys: keys})
	}
	return d, errors.Join(faults...)
}

func publicKeys(text []byte) ([]jose.JSONWebKey, error) {
	if text == nil {
		return nil, nil
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("%w: %w", errKeys, err)
	}
	for i := range set.Keys {
		if key := &set.Keys[i]; !key.Valid() || !key.IsPublic() {
			return nil, fmt.Errorf("%w: key %q", errKeys, key.KeyID)
		}
	}
	return set.Keys, nil
}

// callers returns what the policy in force declares. It is made from the very set that decides, so that a caller is never
// recognised by one policy while another is already, or still, deciding.
func (p *policyFolder) callers() *declarations {
	set := p.engine.Set()
	if d := p.declared.Load(); d != nil && d.set == set {
		return d
	}
	d, _ := declarationsOf(set) // has been checked before the set came into force
	p.declared.Store(d)
	return d
}

func (p *policyFolder) declaredApplications() []identity.Application { return p.callers().applications }

func (p *policyFolder) declaredAgents() []identity.Agent { return p.callers().agents }
