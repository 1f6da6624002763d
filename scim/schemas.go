package scim

import "slices"

// Builders of the static tables. An attribute is readWrite, returned by
// default and compared without case unless its row says otherwise.

func attribute(name string, t Type, description string) *Attribute {
	return &Attribute{
		Name: name, Type: t, Description: description,
		Mutability: readWrite, Returned: returnedDefault, Uniqueness: uniqueNone,
	}
}

func text(name, description string) *Attribute { return attribute(name, TypeString, description) }

func complexOf(name, description string, sub ...*Attribute) *Attribute {
	a := attribute(name, TypeComplex, description)
	a.SubAttributes = sub
	return a
}

// plural builds a multi-valued attribute with the sub-attributes of RFC 7643 §2.4.
func plural(name, description string, value *Attribute, types ...string) *Attribute {
	kind := text("type", "A label of the value's function.")
	kind.Canonical = types
	a := complexOf(name, description, value,
		text("display", "A name for display."), kind,
		attribute("primary", TypeBoolean, "Whether this is the preferred value."))
	a.MultiValued = true
	return a
}

func reference(name, description string, types ...string) *Attribute {
	a := attribute(name, TypeReference, description)
	a.References, a.CaseExact = types, true
	return a
}

func (a *Attribute) exact() *Attribute    { a.CaseExact = true; return a }
func (a *Attribute) required() *Attribute { a.Required = true; return a }
func (a *Attribute) unique() *Attribute   { a.Uniqueness = uniqueServer; return a }
func (a *Attribute) fixed() *Attribute    { a.Mutability = readOnly; return a }

// always marks an attribute as part of every answer.
func (a *Attribute) always() *Attribute { a.Returned = returnedAlways; return a }

// commonAttributes belong to every resource (RFC 7643 §3.1).
var commonAttributes = []*Attribute{
	text("id", "The server's identifier.").exact().fixed().unique().always(),
	text("externalId", "The identity provider's identifier.").exact(),
	{
		Name: "schemas", Type: TypeReference, MultiValued: true, CaseExact: true, Required: true,
		Mutability: readWrite, Returned: returnedAlways, Uniqueness: uniqueNone,
		Description: "The URNs of the schemas with data.",
	},
	complexOf("meta", "Facts about the resource.",
		text("resourceType", "The kind of resource.").exact().fixed(),
		attribute("created", TypeDateTime, "When it was created.").fixed(),
		attribute("lastModified", TypeDateTime, "When it last changed.").fixed(),
		reference("location", "Its address.", "uri").fixed(),
		text("version", "Its entity tag.").exact().fixed(),
	).fixed(),
}

var userSchema = &Schema{
	ID: urnUser, Name: "User", Description: "User Account",
	Attributes: []*Attribute{
		text("userName", "The name that identifies the user to the identity provider.").required().unique(),
		complexOf("name", "The parts of the user's name.",
			text("formatted", "The full name."), text("familyName", "The family name."),
			text("givenName", "The given name."), text("middleName", "The middle names."),
			text("honorificPrefix", "The title before the name."), text("honorificSuffix", "The suffix of the name.")),
		text("displayName", "The name for display."),
		text("nickName", "The casual name."),
		reference("profileUrl", "The user's page.", "external"),
		text("title", "The user's title."),
		text("userType", "The relation between organisation and user."),
		text("preferredLanguage", "The preferred languages."),
		text("locale", "The default location for formats."),
		text("timezone", "The time zone."),
		attribute("active", TypeBoolean, "Whether the user may do anything."),
		{
			Name: "password", Type: TypeString, CaseExact: true, Mutability: writeOnly, Returned: returnedNever,
			Uniqueness: uniqueNone, Description: "Accepted and dropped: never stored.",
		},
		plural("emails", "E-mail addresses.", text("value", "The address."), "work", "home", "other"),
		plural("phoneNumbers", "Telephone numbers.", text("value", "The number."),
			"work", "home", "mobile", "fax", "pager", "other"),
		plural("ims", "Instant messaging addresses.", text("value", "The address."),
			"aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
		plural("photos", "Pictures.", reference("value", "The picture's address.", "external"), "photo", "thumbnail"),
		addresses(),
		groupsOfUser(),
		plural("entitlements", "Entitlements: mere attributes here.", text("value", "The entitlement.")),
		plural("roles", "Roles: mere attributes here.", text("value", "The role.")),
		plural("x509Certificates", "Certificates.", attribute("value", TypeBinary, "DER in base64.").exact()),
	},
}

func addresses() *Attribute {
	a := plural("addresses", "Postal addresses.", text("formatted", "The whole address."), "work", "home", "other")
	a.SubAttributes = append(a.SubAttributes,
		text("streetAddress", "Street and number."), text("locality", "The town."), text("region", "The region."),
		text("postalCode", "The postal code."), text("country", "The country."))
	return a
}

func groupsOfUser() *Attribute {
	kind := text("type", "direct or indirect.").fixed()
	kind.Canonical = []string{"direct", "indirect"}
	a := complexOf("groups", "The groups that the user belongs to, computed by the server.",
		text("value", "The group's id.").exact().fixed(),
		reference("$ref", "The group's address.", "User", "Group").fixed(),
		text("display", "The group's name.").fixed(), kind).fixed()
	a.MultiValued = true
	return a
}

var enterpriseSchema = &Schema{
	ID: urnEnterprise, Name: "EnterpriseUser", Description: "Enterprise User",
	Attributes: []*Attribute{
		text("employeeNumber", "The employee's number."), text("costCenter", "The cost centre."),
		text("organization", "The organisation."), text("division", "The division."),
		text("department", "The department."),
		complexOf("manager", "The user's manager.", text("value", "The manager's id.").exact(),
			reference("$ref", "The manager's address.", "User"), text("displayName", "The manager's name.").fixed()),
	},
}

var groupSchema = &Schema{
	ID: urnGroup, Name: "Group", Description: "Group",
	Attributes: []*Attribute{
		text("displayName", "The group's name.").required().unique(),
		members(),
	},
}

func members() *Attribute {
	value := text("value", "The member's id.").exact()
	ref := reference("$ref", "The member's address.", "User", "Group")
	kind := text("type", "User or Group.")
	kind.Canonical = []string{"User", "Group"}
	value.Mutability, ref.Mutability, kind.Mutability = immutable, immutable, immutable
	display := text("display", "The member's name.").fixed()
	display.Returned = returnedRequest
	a := complexOf("members", "The group's direct members.", value, ref, kind, display)
	a.MultiValued = true
	return a
}

// kinds are the resource types of one connection.
type kinds struct{ user, group *resourceType }

// newKinds returns the resource types with a connection's own schemas.
func newKinds(extensions []Schema) kinds {
	k := kinds{
		user: &resourceType{
			name: "User", endpoint: "/Users", description: "User Account", core: userSchema,
			extensions: []*Schema{enterpriseSchema},
		},
		group: &resourceType{name: "Group", endpoint: "/Groups", description: "Group", core: groupSchema},
	}
	for i := range extensions {
		k.user.extensions = append(k.user.extensions, &extensions[i])
	}
	return k
}

// schemas returns every schema of the connection once.
func (k kinds) schemas() []*Schema {
	return slices.Concat([]*Schema{k.user.core, k.group.core}, k.user.extensions)
}
