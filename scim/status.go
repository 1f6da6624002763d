package scim

import (
	"fmt"
	"strings"
	"time"
)

// Status is what an administrator sees of one connection. What was counted was
// counted since the start.
type Status struct {
	Connection string `json:"connection"`
	Dialect    string `json:"dialect,omitempty"`
	// Detected is the provider that requests look like, DetectedForm how Entra
	// writes PATCH: legacy or flag.
	Detected     string `json:"detected,omitempty"`
	DetectedForm string `json:"detected_form,omitempty"`
	// Client is the provider's User-Agent, shortened.
	Client string    `json:"client,omitempty"`
	Since  time.Time `json:"since"`
	// LastContact is the last request with a valid token, LastWrite the last
	// that changed something; zero for never. Those of other gates of the
	// directory, and those from before the start, count too; they are known to
	// within some minutes.
	LastContact time.Time `json:"last_contact,omitzero"`
	LastWrite   time.Time `json:"last_write,omitzero"`
	// Silent is true if nothing came for longer than SilentAfter.
	Silent      bool          `json:"silent"`
	SilentAfter time.Duration `json:"-"`
	// SilentSeconds is SilentAfter for programs.
	SilentSeconds int `json:"silent_after_seconds"`
	// Requests counts those with a valid token.
	Requests int `json:"requests"`
	// Obeyed is how long changes took from their arrival until they were durable
	// and the next request on this gate obeyed them.
	Obeyed Latency `json:"change_to_obeyed"`
	// Parked counts changes of groups that were refused because a member did not
	// exist: memberships that wait at the provider for their people.
	Parked     int       `json:"parked_memberships"`
	LastParked time.Time `json:"last_parked_membership,omitzero"`
	// Refused counts refusals by scimType.
	Refused        map[string]int `json:"refused,omitempty"`
	RateLimited    int            `json:"rate_limited"`
	WrongTokens    int            `json:"wrong_tokens"`
	LastWrongToken time.Time      `json:"last_wrong_token,omitzero"`
	Risk           Risk           `json:"quarantine_risk"`
	// Failures are the most recent refusals that differ, oldest first.
	Failures []Failure `json:"failures,omitempty"`
	Counts   Census    `json:"counts"`
	// Warnings say what to change, in the provider or here.
	Warnings []Warning `json:"warnings,omitempty"`
}

// Census counts the records of a connection.
type Census struct {
	Users    int `json:"users"`
	Active   int `json:"active"`
	Inactive int `json:"inactive"`
	Linked   int `json:"linked"`
	Unlinked int `json:"unlinked"`
	Groups   int `json:"groups"`
}

// Failure is a refused request, without what it says about people. Requests that
// were refused alike are one.
type Failure struct {
	// Time is that of the last, Times how many there were.
	Time   time.Time `json:"time"`
	Times  int       `json:"times"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Status int       `json:"status"`
	Kind   Kind      `json:"scim_type,omitempty"`
	Detail string    `json:"detail"`
	// Shape is the request with the type of each value in its place.
	Shape string `json:"shape,omitempty"`
	// Fix says what to do about it.
	Fix string `json:"fix"`
}

// Risk says how near a provider is to giving up on the connection.
type Risk struct {
	// Level is none, elevated or high.
	Level string `json:"level"`
	// Refused is how many of the last Of requests were refused.
	Refused int `json:"refused"`
	Of      int `json:"of"`
	// Run is how many were refused in a row.
	Run int `json:"run"`
}

// The levels of risk.
const (
	riskNone     = "none"
	riskElevated = "elevated"
	riskHigh     = "high"
)

// Warning is something that works and should be changed.
type Warning struct {
	// Kind is for programs: one of the constants below.
	Kind string `json:"kind"`
	// Count is how many records it is about, if it is about records.
	Count int `json:"count,omitempty"`
	// Text says what is wrong and what to do.
	Text string `json:"text"`
}

// The kinds of warning.
const (
	WarnExternalID = "external_id_not_object_id"
	WarnUnlinked   = "users_without_external_id"
	WarnGroupIDs   = "groups_without_external_id"
	WarnSilent     = "silent"
	WarnQuarantine = "quarantine_risk"
	WarnDialect    = "other_dialect"
	WarnParked     = "parked_memberships"
)

// Status reports on every connection, in the order of the configuration.
func (s *Server) Status() []Status {
	all := make([]Status, 0, len(s.config.Connections))
	for _, configured := range s.config.Connections {
		all = append(all, s.connections[configured.Name].status(s.config.Clock()))
	}
	return all
}

func (c *connection) status(now time.Time) Status {
	c.lookOver()
	counts := c.directory.Counts(c.Name)
	s := Status{
		Connection: c.Name, Dialect: c.Dialect, Since: c.since,
		SilentAfter: c.silentAfter(), SilentSeconds: int(c.silentAfter().Seconds()),
		Counts: Census{
			Users: counts.Users, Active: counts.Active, Inactive: counts.Users - counts.Active,
			Linked: counts.Linked, Unlinked: counts.Users - counts.Linked, Groups: counts.Groups,
		},
	}
	c.contact.fill(&s)
	s.LastContact, s.LastWrite = c.times()
	heard := s.LastContact
	if heard.IsZero() {
		heard = c.since
	}
	s.Silent = now.Sub(heard) > s.SilentAfter
	s.Warnings = append(c.mappingWarnings(), s.warnings(now)...)
	return s
}

// warnings are those that follow from the rest of the status.
func (s *Status) warnings(now time.Time) []Warning {
	var all []Warning
	if s.Parked > 0 && now.Sub(s.LastParked) <= s.SilentAfter {
		all = append(all, Warning{Kind: WarnParked, Count: s.Parked, Text: fmt.Sprintf(
			"the provider puts people into groups that it has not pushed (%s, last %s): assign them to the application, or take them out of its scope with their groups",
			counted(s.Parked, "time", "times"), s.LastParked.UTC().Format(time.RFC3339))})
	}
	if s.Silent {
		text := "never"
		if !s.LastContact.IsZero() {
			text = "last " + s.LastContact.UTC().Format(time.RFC3339)
		}
		all = append(all, Warning{Kind: WarnSilent, Text: fmt.Sprintf(
			"the provider has not been heard of for more than %s (%s): see whether provisioning is running, and whether it reaches this address", s.SilentAfter, text)})
	}
	if s.Risk.Level != riskNone {
		all = append(all, Warning{Kind: WarnQuarantine, Count: s.Risk.Refused, Text: fmt.Sprintf(
			"%d of the last %d requests were refused, %d in a row: providers stop pushing when this goes on; see the failures", s.Risk.Refused, s.Risk.Of, s.Risk.Run)})
	}
	if s.Dialect != "" && s.Detected != "" && s.Dialect != s.Detected {
		all = append(all, Warning{Kind: WarnDialect, Text: fmt.Sprintf(
			"requests look like %s and the connection is configured as %s: correct dialect in the configuration file, or find out who else has the token",
			s.Detected, s.Dialect)})
	}
	return all
}

// warned returns how many records a kind of warning is about, 1 if it is not
// about records, 0 without such a warning.
func (s *Status) warned(kind string) int {
	for _, w := range s.Warnings {
		if w.Kind == kind {
			return max(w.Count, 1)
		}
	}
	return 0
}

// survey counts what is wrong with a connection's records. It goes through all
// of them, so it is made now and then, not for every look.
type survey struct {
	foreign int // users whose externalId is no GUID
	groups  int // groups without externalId

	at   time.Time
	told time.Time // the last write of any gate that was known then
	took time.Duration
}

func (c *connection) survey() survey {
	var s survey
	for u := range c.directory.Users(c.Name, "") {
		if u.ExternalID != "" && !guid(u.ExternalID) {
			s.foreign++
		}
	}
	for g := range c.directory.Groups(c.Name, "") {
		if g.ExternalID == "" {
			s.groups++
		}
	}
	return s
}

// mappingWarnings say what the provider maps wrongly, as the last survey found it.
func (c *connection) mappingWarnings() []Warning {
	found := c.surveyed.Load()
	if found == nil {
		return nil
	}
	var all []Warning
	if found.foreign > 0 && c.isEntra() {
		all = append(all, Warning{Kind: WarnExternalID, Count: found.foreign, Text: fmt.Sprintf(
			"%s an externalId that is no objectId: Entra ID maps mailNickname to it by default, which can change and be used again, and which no token carries. "+
				"In the provisioning's attribute mapping, remap externalId to objectId and restart provisioning", counted(found.foreign, "person has", "people have"))})
	}
	counts := c.directory.Counts(c.Name)
	if unlinked := counts.Users - counts.Linked; unlinked > 0 {
		all = append(all, Warning{Kind: WarnUnlinked, Count: unlinked, Text: fmt.Sprintf(
			"%s no externalId, so no sign-in can be theirs: map the immutable id of the provider to externalId", counted(unlinked, "person has", "people have"))})
	}
	if found.groups > 0 && c.isEntra() {
		all = append(all, Warning{Kind: WarnGroupIDs, Count: found.groups, Text: fmt.Sprintf(
			"%s no externalId: map objectId to externalId of groups too, so that a renamed group is found again", counted(found.groups, "group has", "groups have"))})
	}
	return all
}

// counted says how many there are of something.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// isEntra reports whether the provider is, or looks like, Entra ID.
func (c *connection) isEntra() bool {
	c.contact.mu.Lock()
	defer c.contact.mu.Unlock()
	return c.Dialect == dialectEntra || c.Dialect == "" && c.contact.seenAs.dialect == dialectEntra
}

// silentAfter is how long a provider may be silent before that is an alarm:
// twice the interval between its runs.
func (c *connection) silentAfter() time.Duration {
	const (
		entra  = 80 * time.Minute // a cycle takes about 40
		google = 24 * time.Hour   // hours between runs
		others = 48 * time.Hour   // push when something changes
	)
	switch {
	case c.SilentAfter > 0:
		return c.SilentAfter
	case c.Dialect == dialectEntra:
		return entra
	case c.Dialect == dialectGoogle:
		return google
	default:
		return others
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// guid reports whether s has the shape of an Entra objectId.
func guid(s string) bool {
	const length = 36
	if len(s) != length {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(s[i])) {
				return false
			}
		}
	}
	return true
}
