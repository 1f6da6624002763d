package identity

import (
	"strings"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Application is an application as policy declares it.
type Application struct {
	// Name is unique.
	Name string
	// Issuer is the [Issuer.Name] whose tokens may be this application.
	Issuer string
	// Claims must all be present with exactly these values; a declaration without claims matches nothing. A name that begins with a slash
	// is a JSON pointer. A * stands for one whole segment of ref, of environment, or at the end of a SPIFFE id; >=1 or >=2
	// is a minimum of azpacr or appidacr. See [CheckApplications].
	Claims map[string]string
	// VirtualKeys allows keys of the gate to be made for the application; see [Keys].
	VirtualKeys bool
	// Attributes are handed to policy.
	Attributes map[string]string
}

// matches reports whether every declared claim is in c with the declared value.
func (a *Application) matches(issuer string, c claims) bool {
	if a.Issuer != issuer || len(a.Claims) == 0 {
		return false
	}

	// A pull request runs the code of whoever opened it, so that GitHub's tokens of one match only where the event is declared.
	event := c.text("event_name")
	if _, named := a.Claims["event_name"]; strings.HasPrefix(event, "pull_request") && !named {
		return false
	}

	for name, want := range a.Claims {
		if !c.holds(name, want) {
			return false
		}
	}

	return true
}

// matchApplication returns the one declaration that c matches.
func matchApplication(declared []Application, issuer string, c claims) (*Application, error) {
	var match *Application

	for i := range declared {
		if !declared[i].matches(issuer, c) {
			continue
		}

		if match != nil {
			return nil, refuseForNow(SubstatusScope, "matches the applications "+match.Name+" and "+declared[i].Name)
		}

		match = &declared[i]
	}

	if match == nil {
		return nil, refuseForNow(SubstatusScope, "client is neither a front-end client nor a declared application")
	}

	return match, nil
}

// identify says who a proven token stands for. Clients are declared as carrying people, as applications or as agents; other clients
// are refused.
func (is *issuer) identify(c claims, known declarations) (*verdict, error) {
	client, err := c.client()
	if err != nil {
		return nil, refuseBecause(SubstatusScope, "client", err)
	}

	personless := is.isPersonless(c, client)

	agent, err := known.matchAgent(is.Name, c, personless)
	if err != nil {
		return nil, err
	}

	// Agents come first: a person's token in an agent's hands is a delegation, whatever else its client is declared to be.
	if agent != nil {
		return is.identifyAgent(c, agent, personless, client, known)
	}

	if c.has("xms_par_app_azp") {
		return nil, refuseForNow(SubstatusScope, "issued to an Entra agent that is not declared")
	}

	for _, frontEnd := range is.FrontEndClients {
		if client == frontEnd && !personless {
			return is.identifyPerson(c, client)
		}
	}

	application, err := matchApplication(known.applications, is.Name, c)
	if err != nil {
		return nil, err
	}

	if is.pinned(application.Claims) != nil || (strings.HasPrefix(c.text("sub"), serviceAccount) && application.Claims["sub"] == "") {
		return nil, refuseForNow(SubstatusScope, "application "+application.Name+" is declared too widely for its issuer")
	}

	// A person's token also names its client. Unless the form of the token or the declaration rules people out, matching the
	// client would turn everybody who signs in there into the application.
	if _, pinned := application.Claims["sub"]; !personless && (!pinned || is.TokenType == TokenTypeEntra) {
		return nil, refuseForNow(SubstatusScope, "may stand for a person, so that "+application.Name+" would have to match its sub")
	}

	return &verdict{
		principal: Principal{
			Kind:        KindApplication,
			Subject:     c.text("sub"),
			Application: application.Name,
			Attributes:  application.Attributes,
			Client:      client,
			Method:      MethodWorkload,
		},
	}, nil
}

// identifyPerson reads the immutable claim that links a person to the directory.
func (is *issuer) identifyPerson(c claims, client string) (*verdict, error) {
	if is.Connection == "" {
		return nil, refuseForNow(SubstatusScope, "the issuer has no people")
	}

	subject := c.text(is.Claim)
	if subject == "" {
		return nil, refuseForNow(SubstatusScope, "claim "+is.Claim+" is missing or not a string")
	}

	return &verdict{
		link: directory.LinkKey{Connection: is.Connection, ExternalID: subject},
		principal: Principal{
			Kind:    KindPerson,
			Subject: subject,
			Client:  client,
			Method:  MethodOIDC,
		},
	}, nil
}

// isPersonless reports whether the form of a token rules out that a person stands behind it.
func (is *issuer) isPersonless(c claims, client string) bool {
	switch is.TokenType {
	case TokenTypeEntra:
		return isAppOnly(c)
	case TokenTypeWorkload, TokenTypeSPIFFE:
		return true
	case TokenTypeRFC9068, TokenTypeOkta, TokenTypeKeycloak, TokenTypeJWT:
		// The client is the subject of its own tokens (RFC 9068 section 2.2).
		return client != "" && c.text("sub") == client
	default:
		return false
	}
}
