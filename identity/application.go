package identity

// Application is an application as policy declares it.
type Application struct {
	// Name is unique.
	Name string
	// Issuer is the [Issuer.Name] whose tokens may be this application.
	Issuer string
	// Claims must all be present with exactly these values.
	Claims map[string]string
	// Attributes are handed to policy.
	Attributes map[string]string
}
