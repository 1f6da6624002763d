package sts

import (
	"slices"
	"strings"

	"github.com/cosmosgate/cosmosgate/identity"
)

// ceiling is what a token may be narrowed from.
type ceiling struct {
	scopes    []string
	details   []identity.CosmosDetail
	audiences []string // that the grant is for; nil: any
}

// narrowed is what a token is for.
type narrowed struct {
	scopes   []string
	details  []identity.CosmosDetail
	audience string
}

const rolePrefix = "role:"

// everyScope is what a token that asks for nothing is for, if nothing narrows it.
func everyScope() []string { return []string{"cosmos.read", "cosmos.write", "cosmos.execute"} }

// ceilingOf is what a subject's token allows at most. Scopes of tokens that policy narrows (our own, delegated ones, grants) bind;
// those of other tokens are their issuer's words and say nothing here, unless they are ours.
func ceilingOf(subject *identity.Subject, isGrant bool) ceiling {
	p := &subject.Principal
	c := ceiling{details: p.Details, audiences: subject.Audiences}

	for _, scope := range p.Scopes {
		if isScope(scope) {
			c.scopes = append(c.scopes, scope)
		}
	}

	// Details bind a token to its scopes on the data plane, too.
	binding := p.Method == identity.MethodSTS || (len(p.Actors) > 0 && !subject.Scopeless) || ((isGrant || len(p.Details) > 0) && len(p.Scopes) > 0) ||
		slices.ContainsFunc(c.scopes, func(scope string) bool { return !strings.HasPrefix(scope, rolePrefix) })
	if !binding {
		c.scopes = append(c.scopes, everyScope()...)
	}

	return c
}

// isScope reports whether a scope means something here: one of ours, or the wish for a role.
func isScope(scope string) bool {
	return slices.Contains(everyScope(), scope) || (strings.HasPrefix(scope, rolePrefix) && len(scope) > len(rolePrefix))
}

// narrow reads what a request asks for, and refuses what the ceiling does not hold.
func (s *Service) narrow(f form, from ceiling) (narrowed, error) {
	audience, err := s.target(f, from)
	if err != nil {
		return narrowed{}, err
	}

	scopes, err := narrowScopes(f["scope"], from.scopes)
	if err != nil {
		return narrowed{}, err
	}

	details := from.details

	if text := f["authorization_details"]; text != "" {
		if details, err = narrowDetails(text, from.details); err != nil {
			return narrowed{}, err
		}
	}

	return narrowed{scopes: scopes, details: details, audience: audience}, nil
}

// target is the one resource that the token is for (RFC 8707; RFC 8693 calls it audience, too).
func (s *Service) target(f form, from ceiling) (string, error) {
	target := f["resource"]
	if audience := f["audience"]; target == "" {
		target = audience
	} else if audience != "" && audience != target {
		return "", refuse(codeInvalidTarget, "resource and audience differ: a token is for one resource")
	}

	if target == "" {
		target = s.cfg.Audience
		if len(from.audiences) == 1 {
			target = from.audiences[0]
		}
	}

	if !slices.Contains(s.cfg.audiences(), target) {
		return "", refuse(codeInvalidTarget, "no such resource here")
	}

	if from.audiences != nil && !slices.Contains(from.audiences, target) {
		return "", refuse(codeInvalidTarget, "the grant is for another resource")
	}

	return target, nil
}

func narrowScopes(asked string, allowed []string) ([]string, error) {
	// Without one the token allows nothing, also if its details do; the wish for a role alone must not hide that.
	if !slices.ContainsFunc(allowed, isReach) {
		return nil, refuse(codeInvalidScope, "the subject's token has no scope of this gate: cosmos.read, cosmos.write, cosmos.execute")
	}

	if strings.TrimSpace(asked) == "" {
		return allowed, nil
	}

	var scopes []string

	for scope := range strings.FieldsSeq(asked) {
		switch {
		case !isScope(scope):
			return nil, refuse(codeInvalidScope, "scopes are cosmos.read, cosmos.write, cosmos.execute and role:NAME")
		// A role is a wish: which one decides is policy's to say, among those that the parties hold.
		case isReach(scope) && !slices.Contains(allowed, scope):
			return nil, refuse(codeInvalidScope, "the subject's token does not reach as far")
		case !slices.Contains(scopes, scope):
			scopes = append(scopes, scope)
		}
	}

	if !slices.ContainsFunc(scopes, isReach) {
		for _, scope := range allowed {
			if isReach(scope) {
				scopes = append(scopes, scope)
			}
		}
	}

	if len(scopes) > maxScopes {
		return nil, refuse(codeInvalidScope, "too many scopes")
	}

	return scopes, nil
}

// isReach tells the scopes that say what a token is for from the wish for a role.
func isReach(scope string) bool { return !strings.HasPrefix(scope, rolePrefix) }

const maxScopes = 8

// narrowDetails reads details and wants each inside one of those that are there already.
func narrowDetails(text string, allowed []identity.CosmosDetail) ([]identity.CosmosDetail, error) {
	details, err := identity.ParseDetails([]byte(text))
	if err != nil {
		e := refuse(codeInvalidDetails,
			`authorization_details is a list of {"type":"cosmos","actions":[…],"resources":["account/database/container"],"partitionKeys":[[…]]}`)
		e.Reason = err.Error()

		return nil, e
	}

	for i := range details {
		if allowed != nil && !slices.ContainsFunc(allowed, func(outer identity.CosmosDetail) bool { return covers(&outer, &details[i]) }) {
			return nil, refuse(codeInvalidDetails, "the subject's token does not reach as far")
		}
	}

	return details, nil
}

// covers reports whether everything that inner allows is allowed by outer. It knows patterns by their form only, so that it may refuse
// what policy would find to be inside, and never the reverse.
func covers(outer, inner *identity.CosmosDetail) bool {
	return every(inner.Actions, outer.Actions, coversPattern) && every(inner.Resources, outer.Resources, coversPattern) &&
		(outer.PartitionKeys == nil || (inner.PartitionKeys != nil && every(inner.PartitionKeys, outer.PartitionKeys, coversKey)))
}

// every reports whether each inner is covered by some outer.
func every[T any](inner, outer []T, covers func(outer, inner T) bool) bool {
	return !slices.ContainsFunc(inner, func(i T) bool {
		return !slices.ContainsFunc(outer, func(o T) bool { return covers(o, i) })
	})
}

// coversPattern compares segment by segment; * stands for a whole segment.
func coversPattern(outer, inner string) bool {
	if outer == inner || outer == "*" {
		return true
	}

	o, i := strings.Split(outer, "/"), strings.Split(inner, "/")

	return len(o) == len(i) && slices.EqualFunc(o, i, func(o, i string) bool { return o == "*" || o == i })
}

// coversKey: a partition key is the prefix of those below it.
func coversKey(outer, inner []string) bool {
	return len(outer) <= len(inner) && slices.Equal(outer, inner[:len(outer)])
}
