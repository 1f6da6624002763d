package identity

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4/json"
)

const (
	// wildcard stands for one whole segment, where it may stand at all.
	wildcard = "*"
	// minimum begins what a claim must at least be, where order means something.
	minimum = ">="
	// serviceAccount begins the subject of every Kubernetes service account.
	serviceAccount = "system:serviceaccount:"
	// githubHost is the issuer of GitHub Actions; GitHub Enterprise Server has githubPath on its own host.
	githubHost = "token.actions.githubusercontent.com"
	githubPath = "/_services/token"
)

// holds reports whether a claim has the wanted value. A name that begins with a slash is a JSON pointer (RFC 6901) into nested
// objects, as in /kubernetes.io/serviceaccount/uid.
func (c claims) holds(name, want string) bool {
	value := c.at(name)

	if level, ok := strings.CutPrefix(want, minimum); ok {
		return allowsMinimum(name, level) && slices.ContainsFunc(clientAuthentications(level), func(at string) bool { return equalClaim(value, at) })
	}

	if !strings.Contains(want, wildcard) {
		return equalClaim(value, want)
	}

	text, ok := value.(string)

	return ok && allowsWildcard(name, want) && covers(want, text)
}

// at returns a claim, or what a pointer points to.
func (c claims) at(name string) any {
	if !strings.HasPrefix(name, "/") {
		return c[name]
	}

	var value any = map[string]any(c)

	for step := range strings.SplitSeq(name[1:], "/") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}

		value = object[strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")]
	}

	return value
}

// equalClaim compares a string, number or boolean as it was written. An empty value equals nothing: it would make a missing
// answer of the issuer a match.
func equalClaim(claim any, want string) bool {
	if want == "" {
		return false
	}

	switch value := claim.(type) {
	case string:
		return value == want
	case json.Number:
		return value.String() == want
	case bool:
		return (value && want == "true") || (!value && want == "false")
	default:
		return false
	}
}

// allowsMinimum reports whether a claim is one whose values are ordered: how the client proved itself to Entra ID, in tokens of version 2
// and 1. From 0, which is no minimum, everybody would pass.
func allowsMinimum(name, level string) bool {
	return (name == "azpacr" || name == "appidacr") && (level == "1" || level == "2")
}

// clientAuthentications are Entra's levels from one up: 1 is a secret, 2 a certificate or federation. A level that is not known here is none.
func clientAuthentications(from string) []string {
	return slices.DeleteFunc([]string{"1", "2"}, func(level string) bool { return level < from })
}

// allowsWildcard reports whether a * may stand where it does: as a whole segment of GitHub's ref or environment, or as the last
// segment of a SPIFFE id's path. Never in what names an owner, a repository, a namespace, a tenant or a trust domain.
func allowsWildcard(name, pattern string) bool {
	segments := strings.Split(pattern, "/")

	switch {
	case name == "ref" || name == "environment":
	case name == "sub" && strings.HasPrefix(pattern, spiffeScheme):
		const domain = 3 // "spiffe:", "", trust domain
		if len(segments) <= domain || slices.Contains(segments[:len(segments)-1], wildcard) {
			return false
		}
	default:
		return false
	}

	return !slices.ContainsFunc(segments, func(s string) bool { return s != wildcard && strings.Contains(s, wildcard) })
}

// covers reports whether a pattern matches a text, or whatever another pattern matches. Segments are compared whole.
func covers(pattern, text string) bool {
	wanted, found := strings.Split(pattern, "/"), strings.Split(text, "/")

	if len(wanted) != len(found) {
		return false
	}

	for i, segment := range wanted {
		if segment != found[i] && (segment != wildcard || found[i] == "") {
			return false
		}
	}

	return true
}

// isGitHub reports whether tokens of the issuer are GitHub Actions'.
func (i Issuer) isGitHub() bool {
	u, err := url.Parse(i.URL)

	return err == nil && (u.Host == githubHost || strings.HasSuffix(u.Path, githubPath))
}

// pinsRepository reports whether a declaration names one repository by the ids that survive a renaming, and which of its runs.
func pinsRepository(declared map[string]string) bool {
	for _, name := range []string{"repository_owner_id", "repository_id"} {
		if declared[name] == "" {
			return false
		}
	}

	return declared["environment"] != "" || declared["ref"] != "" || declared["job_workflow_ref"] != ""
}

var (
	errWildcard = errors.New("* stands for one whole segment of ref or environment, or for the last of a SPIFFE id's path, and for nothing else")
	errMinimum  = errors.New(">= stands for a minimum in azpacr and appidacr, as >=1 or >=2, and for nothing else")
	errGitHub   = errors.New("a workflow is known by repository_owner_id, repository_id, and environment, ref or job_workflow_ref")
	errSubject  = errors.New("a workload of this issuer is known by its exact sub")
	errCovered  = errors.New("matches every token of another")
)

// CheckApplications reports what is wrong with declarations beyond what policy can know, all at once: claims that pin too little for their
// kind of issuer, wildcards where none may stand, and one that covers another through a wildcard.
func CheckApplications(issuers []Issuer, declared []Application) error {
	byName := make(map[string]Issuer, len(issuers))
	for _, is := range issuers {
		byName[is.Name] = is
	}

	var faults []error

	for i := range declared {
		a := &declared[i]
		if err := a.check(byName[a.Issuer]); err != nil {
			faults = append(faults, fmt.Errorf("application %s: %w", a.Name, err))
		}

		for j := range declared {
			if i != j && a.covers(&declared[j]) {
				faults = append(faults, fmt.Errorf("application %s: %w: %s", a.Name, errCovered, declared[j].Name))
			}
		}
	}

	return errors.Join(faults...)
}

func (a *Application) check(is Issuer) error {
	var faults []error

	for _, name := range slices.Sorted(maps.Keys(a.Claims)) {
		if level, ok := strings.CutPrefix(a.Claims[name], minimum); ok && !allowsMinimum(name, level) {
			faults = append(faults, fmt.Errorf("claim %s: %q: %w", name, a.Claims[name], errMinimum))
		}

		if want := a.Claims[name]; strings.Contains(want, wildcard) && !allowsWildcard(name, want) {
			faults = append(faults, fmt.Errorf("claim %s: %q: %w", name, want, errWildcard))
		}
	}

	if err := is.pinned(a.Claims); err != nil && len(a.Claims) > 0 {
		faults = append(faults, err)
	}

	return errors.Join(faults...)
}

// pinned reports whether a declaration's claims leave no room for other workloads of the issuer.
func (i Issuer) pinned(declared map[string]string) error {
	switch {
	case i.isGitHub() && !pinsRepository(declared):
		return errGitHub
	case i.TokenType == TokenTypeSPIFFE && declared["sub"] == "":
		return errSubject
	default:
		return nil
	}
}

// covers reports whether a matches whatever b matches, by a wildcard or a minimum. Without one, policy says so itself.
func (a *Application) covers(b *Application) bool {
	if a.Issuer != b.Issuer || len(a.Claims) == 0 {
		return false
	}

	wild := false

	for name, want := range a.Claims {
		have, there := b.Claims[name]
		level, least := strings.CutPrefix(want, minimum)
		reaches := least && allowsMinimum(name, level) && slices.Contains(clientAuthentications(level), strings.TrimPrefix(have, minimum))

		if same := have == want || reaches || allowsWildcard(name, want) && covers(want, have); !there || !same {
			return false
		}

		wild = wild || least || strings.Contains(want, wildcard)
	}

	return wild
}
