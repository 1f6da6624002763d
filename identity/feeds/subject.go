package feeds

import (
	"slices"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

const (
	// maxIdentifiers bounds the aliases of one subject.
	maxIdentifiers = 16
	// maxNameBytes bounds one identifier.
	maxNameBytes = 1024
)

// targets translates a subject identifier (RFC 9493, and the complex subjects of SSF) into what to withdraw: everything issued until
// before. False means that it can't be understood; true with no targets, that it means nobody here.
func (x *exchange) targets(subject any, before time.Time) ([]identity.Revocation, bool) {
	id, ok := subject.(map[string]any)
	if !ok {
		return nil, false
	}

	switch format := text(id["format"]); format {
	case "iss_sub":
		return x.ofSubject(id, before)
	case "email":
		return x.ofEmail(text(id["email"]), before)
	case "opaque":
		name := text(id["id"])

		return x.marks(identity.RevokeSubject, name, before), name != ""
	case "jwt_id":
		return x.ofToken(id, before)
	case "aliases":
		return x.ofAliases(id["identifiers"], before)
	case "complex", "":
		return x.ofComplex(id, before)
	default: // account, phone_number, did, uri: nobody here is known by these
		return nil, true
	}
}

func (x *exchange) ofSubject(id map[string]any, before time.Time) ([]identity.Revocation, bool) {
	issuer, name := text(id["iss"]), text(id["sub"])
	if issuer == "" || name == "" {
		return nil, false
	}

	if !x.means(issuer) {
		return nil, true
	}

	return x.marks(identity.RevokeSubject, name, before), true
}

func (x *exchange) ofToken(id map[string]any, before time.Time) ([]identity.Revocation, bool) {
	issuer, name := text(id["iss"]), text(id["jti"])
	if issuer == "" || name == "" {
		return nil, false
	}

	if !x.means(issuer) {
		return nil, true
	}

	return x.marks(identity.RevokeToken, name, before), true
}

// ofEmail withdraws what everybody with the address was issued, in each issuer's own connection.
func (x *exchange) ofEmail(address string, before time.Time) ([]identity.Revocation, bool) {
	if address == "" {
		return nil, false
	}

	var all []identity.Revocation

	for _, issuer := range x.feed.Issuers {
		if issuer.Connection == "" {
			continue
		}

		for _, user := range x.intake.cfg.ByEmail(issuer.Connection, address) {
			if user.ExternalID != "" {
				all = append(all, x.mark(identity.RevokeSubject, issuer.URL, user.ExternalID, before))
			}
		}
	}

	return all, true
}

// ofAliases are several names of one subject: each counts.
func (x *exchange) ofAliases(identifiers any, before time.Time) ([]identity.Revocation, bool) {
	list, ok := identifiers.([]any)
	if !ok || len(list) == 0 || len(list) > maxIdentifiers {
		return nil, false
	}

	var all []identity.Revocation

	for _, one := range list {
		id, ok := one.(map[string]any)
		if !ok || text(id["format"]) == "aliases" || text(id["format"]) == "complex" || text(id["format"]) == "" {
			return nil, false // no nesting (RFC 9493 section 3.2.8)
		}

		targets, ok := x.targets(id, before)
		if !ok {
			return nil, false
		}

		all = append(all, targets...)
	}

	return all, true
}

// ofComplex is a subject of several parts. A session alone is withdrawn; with a user, see [Feed.SessionOnly]. Other parts (device,
// tenant, application) only narrow the user, which tokens don't tell: the user is withdrawn.
func (x *exchange) ofComplex(id map[string]any, before time.Time) ([]identity.Revocation, bool) {
	user, hasUser := id["user"].(map[string]any)
	session, hasSession := id["session"].(map[string]any)

	if !hasUser && !hasSession {
		return nil, false
	}

	var all []identity.Revocation

	if hasSession {
		name := text(session["id"])
		if name == "" {
			name = text(session["sub"])
		}

		if name == "" {
			return nil, false
		}

		all = append(all, x.marks(identity.RevokeSession, name, before)...)
	}

	if hasUser && (!hasSession || !x.feed.SessionOnly) {
		if format := text(user["format"]); format == "complex" || format == "" {
			return nil, false
		}

		targets, ok := x.targets(user, before)
		if !ok {
			return nil, false
		}

		all = append(all, targets...)
	}

	return all, true
}

// means reports whether iss in a subject is one of the feed's issuers.
func (x *exchange) means(issuer string) bool {
	return issuer == x.feed.Transmitter || slices.Contains(x.feed.SubjectIssuers, issuer) ||
		slices.ContainsFunc(x.feed.Issuers, func(i Issuer) bool { return i.URL == issuer })
}

// marks withdraws a name at each of the feed's issuers.
func (x *exchange) marks(kind identity.RevocationKind, name string, before time.Time) []identity.Revocation {
	if name == "" {
		return nil
	}

	all := make([]identity.Revocation, 0, len(x.feed.Issuers))
	for _, issuer := range x.feed.Issuers {
		all = append(all, x.mark(kind, issuer.URL, name, before))
	}

	return all
}

func (x *exchange) mark(kind identity.RevocationKind, issuer, name string, before time.Time) identity.Revocation {
	return identity.Revocation{
		Kind: kind, Issuer: issuer, Name: name, Before: before, Reason: string(x.feed.Kind), By: "feed " + x.feed.Name,
	}
}

// text returns a claim that is a string of acceptable length, else "".
func text(value any) string {
	s, ok := value.(string)
	if !ok || len(s) > maxNameBytes {
		return ""
	}

	return s
}
