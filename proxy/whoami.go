package proxy

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
)

// WhoAmI is what a caller is told about themselves: never the text of a policy, who else may do what, or which identity
// goes upstream.
type WhoAmI struct {
	// Known says whether the caller is let in; if not, Refused says why.
	Known   bool     `json:"known"`
	Refused *Refused `json:"refused,omitempty"`
	// Kind is person, application or agent; Name the user name or the declared name.
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Record  string `json:"record,omitempty"`
	// Actors act for the caller, outermost first. Each has narrowed the access below to what it may do itself, as has the token.
	Actors []string `json:"actors,omitempty"`
	Groups []Group  `json:"groups,omitempty"`
	// Roles are those through which there is any access below.
	Roles  []string `json:"roles,omitempty"`
	Access []Reach  `json:"access,omitempty"`
	// Truncated says that there is more access than was listed.
	Truncated bool       `json:"truncated,omitempty"`
	Token     TokenState `json:"token"`
}

// Refused says why a genuine credential is not let in.
type Refused struct {
	// Code is no_record, inactive, locked or revoked.
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Group is a group that the caller effectively belongs to.
type Group struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Reach is one way to act on a container. A * stands for every name that the policy does not mention.
type Reach struct {
	Account   string   `json:"account"`
	Database  string   `json:"database"`
	Container string   `json:"container"`
	Actions   []string `json:"actions"`
	// PartitionKey is what keys must begin with; none means any.
	PartitionKey []json.RawMessage `json:"partition_key,omitempty"`
	Role         string            `json:"role"`
	// Conditional says that it also depends on the request: its time, network or sign-in.
	Conditional bool      `json:"conditional,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
}

// TokenState is how long the presented token lives.
type TokenState struct {
	ID               string    `json:"id,omitempty"`
	Client           string    `json:"client,omitempty"`
	IssuedAt         time.Time `json:"issued_at,omitzero"`
	Expires          time.Time `json:"expires,omitzero"`
	RemainingSeconds int64     `json:"remaining_seconds"`
}

// Surveyor tells what a principal may do at a time, and whether there was more than it lists. It may refuse for being busy
// with others.
type Surveyor func(who policy.Principal, at time.Time) (reach []Reach, truncated bool, err error)

// whoAmI authenticates the caller like any other request and tells what that means. Somebody with a genuine credential who
// is not let in learns why; anybody else gets the native refusal.
func (p *Proxy) whoAmI(c *call) {
	c.w.Header().Set("Cache-Control", "no-store")
	err := p.authenticate(c)
	if err != nil && c.refused == nil {
		p.refuse(c, err)
		return
	}
	if busy := p.enter(c); busy != nil {
		p.refuse(c, busy)
		return
	}
	answer := WhoAmI{Known: err == nil}
	status := http.StatusOK
	if err != nil {
		if native, ok := errors.AsType[*cosmos.Error](err); ok {
			c.reason, c.detail, c.substatus = native.Code, native.Reason, native.Substatus
		}
		c.verdict, status = audit.Deny, http.StatusForbidden
		answer.describe(c.refused, c.start)
		answer.Refused = whyRefused(c.refused, c.detail)
	} else {
		c.verdict = audit.Allow
		answer.describe(&c.principal, c.start)
		if answer.Access, answer.Truncated, err = p.cfg.Survey(asked(&c.principal), c.start); err != nil {
			p.refuse(c, cosmos.Busy(busyRetryAfter))
			return
		}
		for _, actor := range c.principal.Actors {
			answer.Actors = append(answer.Actors, actor.Agent)
		}
		answer.Access = p.within(answer.Access, c)
		answer.Roles = rolesOf(answer.Access)
	}
	document, err := json.Marshal(answer)
	if err != nil {
		p.refuse(c, cosmos.Internal("encoding who-am-I: "+err.Error()))
		return
	}
	p.answerGuide(c, status, document)
}

func (w *WhoAmI) describe(who *identity.Principal, now time.Time) {
	w.Kind, w.Issuer, w.Subject, w.Record = who.Kind.String(), who.Issuer, who.Subject, string(who.Record)
	w.Name = who.Application
	if who.Kind == identity.KindPerson {
		w.Name = who.User.UserName
	}
	for _, g := range who.User.Groups {
		w.Groups = append(w.Groups, Group{ID: string(g.ID), Name: g.DisplayName})
	}
	slices.SortFunc(w.Groups, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	w.Token = TokenState{ID: who.TokenID, Client: who.Client, IssuedAt: who.IssuedAt, Expires: who.Expiry}
	if !who.Expiry.IsZero() {
		w.Token.RemainingSeconds = max(0, int64(who.Expiry.Sub(now)/time.Second))
	}
}

// whyRefused tells a caller about their own record; an administrator's message stays with the administrator.
func whyRefused(who *identity.Principal, reason string) *Refused {
	switch {
	case strings.Contains(reason, identity.ReasonNoRecord):
		return &Refused{
			Code: "no_record", Message: "you signed in, but the directory has no record of you",
			Hint: "ask for the gate's application to be assigned to you at the identity provider; it pushes your record by SCIM",
		}
	case who.Record != "" && who.User.Lock == nil && !who.User.Active:
		return &Refused{
			Code: "inactive", Message: "your directory record is deactivated",
			Hint: "ask whoever manages your account at the identity provider",
		}
	case who.User.Lock != nil || strings.Contains(reason, "locked: "):
		return &Refused{Code: "locked", Message: "an administrator of the gate has locked you out", Hint: "ask an administrator of the gate"}
	default:
		return &Refused{Code: "revoked", Message: "this sign-in was revoked or has ended", Hint: "sign in again"}
	}
}

func rolesOf(reach []Reach) []string {
	var roles []string
	for i := range reach {
		roles = append(roles, reach[i].Role)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
