package deploy

import (
	"regexp"
	"slices"
	"strings"
)

// Realm is the part of a Keycloak realm file that the gate depends on.
type Realm struct {
	Name        string `json:"realm"`
	Enabled     bool   `json:"enabled"`
	SSLRequired string `json:"sslRequired"`
	Groups      []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"groups"`
	Users   []RealmUser   `json:"users"`
	Clients []RealmClient `json:"clients"`
}

// RealmUser is a person; its ID is the claim sub of its tokens.
type RealmUser struct {
	ID          string   `json:"id"`
	Username    string   `json:"username"`
	Enabled     bool     `json:"enabled"`
	Email       string   `json:"email"`
	FirstName   string   `json:"firstName"`
	LastName    string   `json:"lastName"`
	Groups      []string `json:"groups"`
	Credentials []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"credentials"`
}

// RealmClient is a program that people sign in with.
type RealmClient struct {
	ClientID       string            `json:"clientId"`
	Secret         string            `json:"secret"`
	Enabled        bool              `json:"enabled"`
	Public         bool              `json:"publicClient"`
	StandardFlow   bool              `json:"standardFlowEnabled"`
	ImplicitFlow   bool              `json:"implicitFlowEnabled"`
	PasswordGrant  bool              `json:"directAccessGrantsEnabled"`
	RedirectURIs   []string          `json:"redirectUris"`
	Attributes     map[string]string `json:"attributes"`
	ProtocolMapper []struct {
		Kind   string            `json:"protocolMapper"`
		Config map[string]string `json:"config"`
	} `json:"protocolMappers"`
}

// Mapped returns what the client's mappers of one kind put into access tokens, by one setting.
func (c *RealmClient) Mapped(kind, setting string) []string {
	var values []string
	for _, m := range c.ProtocolMapper {
		if m.Kind == kind && m.Config["access.token.claim"] == "true" {
			values = append(values, m.Config[setting])
		}
	}
	return values
}

var (
	placeholderForm = regexp.MustCompile(`^\$\{([A-Z][A-Z0-9_]*)\}$`)
	uuidForm        = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

func (r *Realm) placeholders() []string {
	var names []string
	for i := range r.Users {
		for _, c := range r.Users[i].Credentials {
			if m := placeholderForm.FindStringSubmatch(c.Value); m != nil {
				names = append(names, m[1])
			}
		}
	}
	return names
}

// CheckRealm judges the realm by what the gate's issuer, the seed and the policy expect of it.
func (d *Deployment) CheckRealm() Faults {
	var f Faults
	issuer := &d.Config.Issuers[0]
	keycloak := d.Compose.Services["keycloak"]
	f.unless(d.Realm.Enabled && d.Realm.SSLRequired == "all", "realm: is off, or allows plain HTTP")
	f.unless(issuer.URL == value(&keycloak, "KC_HOSTNAME")+"/realms/"+d.Realm.Name,
		"realm: tokens name %s/realms/%s, the gate expects %s", value(&keycloak, "KC_HOSTNAME"), d.Realm.Name, issuer.URL)
	f.unless(issuer.TokenType == "keycloak", "realm: token_type is %q", issuer.TokenType)
	v := mount(keycloak, "/opt/keycloak/data/import/cosmosgate-realm.json")
	f.unless(v != nil && v.Source == d.path("deploy", "compose", "realm.json") && slices.Contains(keycloak.Command, "--import-realm"),
		"keycloak: does not import realm.json")
	for _, name := range issuer.FrontEndClients {
		i := slices.IndexFunc(d.Realm.Clients, func(c RealmClient) bool { return c.ClientID == name })
		if i < 0 {
			f.add("realm: has no client %s", name)
			continue
		}
		d.checkClient(&f, &d.Realm.Clients[i])
	}
	d.checkPeople(&f)
	return f
}

func (d *Deployment) checkClient(f *Faults, c *RealmClient) {
	f.unless(c.Enabled && c.Public && c.Secret == "", "client %s: is not a public client", c.ClientID)
	f.unless(c.StandardFlow && !c.ImplicitFlow && !c.PasswordGrant, "client %s: allows flows that hand over passwords or bare tokens", c.ClientID)
	f.unless(c.Attributes["pkce.code.challenge.method"] == "S256", "client %s: does not demand PKCE", c.ClientID)
	for _, u := range c.RedirectURIs {
		f.unless(strings.HasPrefix(u, "http://127.0.0.1/"), "client %s: redirects to %s, which is not loopback", c.ClientID, u)
	}
	audience := c.Mapped("oidc-audience-mapper", "included.custom.audience")
	f.unless(slices.Equal(audience, d.Config.Issuers[0].Audiences),
		"client %s: audience is %v, the gate wants %v", c.ClientID, audience, d.Config.Issuers[0].Audiences)
	f.unless(d.Config.Issuers[0].Claim != "sub" || len(c.Mapped("oidc-sub-mapper", "")) == 1, "client %s: tokens lack the claim sub", c.ClientID)
}

// checkPeople wants the ids of people and groups to be the ones that are pushed over SCIM, and no password in the file.
func (d *Deployment) checkPeople(f *Faults) {
	seed := d.Scripts["seed.sh"]
	groups := map[string]bool{}
	for _, g := range d.Realm.Groups {
		groups["/"+g.Name] = true
		f.unless(uuidForm.MatchString(g.ID) && strings.Contains(seed, "group "+g.Name+" "+g.ID),
			"realm: group %s is not the one that seed.sh pushes", g.Name)
	}
	for i := range d.Realm.Users {
		u := &d.Realm.Users[i]
		f.unless(uuidForm.MatchString(u.ID) && strings.Contains(seed, "person "+u.Username+" "+u.ID),
			"realm: user %s is not the one that seed.sh pushes", u.Username)
		f.unless(u.Enabled && u.Email != "" && u.FirstName != "" && u.LastName != "", "realm: user %s would have to complete a profile first", u.Username)
		for _, g := range u.Groups {
			f.unless(groups[g], "realm: user %s is in %s, which does not exist", u.Username, g)
		}
		for _, c := range u.Credentials {
			f.unless(placeholderForm.MatchString(c.Value), "realm: the password of %s is in the file", u.Username)
		}
	}
}
