package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/internal/control"
	"github.com/cosmosgate/cosmosgate/scim"
)

const actSCIMStatus = "scim.status"

// connectionStatus is one connection as "scim status" prints it.
type connectionStatus struct {
	scim.Status

	Issuer string `json:"issuer"`
	Claim  string `json:"claim"`
	// DirectoryAge is how long ago this gate was last proven to know all that any gate acknowledged, if several share the directory.
	DirectoryAge float64 `json:"directory_age_seconds,omitempty"`
	// Elsewhere is how soon this gate has obeyed what other gates were told.
	Elsewhere *obeyed      `json:"other_gates_obeyed,omitempty"`
	Tokens    []tokenEntry `json:"tokens"`
	// Unproven is what the token endpoint refused of clients that said they were this provider.
	Unproven *scim.Unproven `json:"token_endpoint_refused,omitempty"`
}

// obeyed is how long it took from a change at another gate until this one obeyed it, by the clocks of both: the PATCH to the denial.
type obeyed struct {
	Median float64 `json:"p50_seconds"`
	P99    float64 `json:"p99_seconds"`
	Of     int     `json:"of"`
}

func (g *gate) obeyed() *obeyed {
	a := g.directory.Adoption()
	if a.Of == 0 {
		return nil
	}
	return &obeyed{Median: a.Median.Seconds(), P99: a.P99.Seconds(), Of: a.Of}
}

func (g *gate) scimActs(m *control.Mux) {
	control.Handle(m, actSCIMStatus, func(context.Context, *control.Call, struct{}) ([]connectionStatus, error) {
		all := []connectionStatus{}
		if g.scim == nil {
			return all, nil
		}
		for i, s := range g.scim.Status() { // in the order of the configuration
			one := connectionStatus{
				Status: s, Issuer: g.cfg.Connections[i].Issuer, Tokens: append([]tokenEntry{}, g.tokens.list(s.Connection)...),
				DirectoryAge: g.directory.Age(time.Now()).Seconds(), Elsewhere: g.obeyed(),
			}
			if g.tokens.oauth != nil {
				if refused := g.tokens.oauth.Unproven(s.Connection); refused.Count > 0 {
					one.Unproven = &refused
				}
			}
			for n := range g.cfg.Issuers {
				if g.cfg.Issuers[n].Name == one.Issuer {
					one.Claim = g.cfg.Issuers[n].Claim
				}
			}
			if err := g.directory.Healthy(); err != nil {
				one.Warnings = append(one.Warnings, scim.Warning{Kind: "directory_stopped", Text: "every change is refused with 503: " + err.Error()})
			}
			one.Warnings = append(one.Warnings, crowdWarnings(one.Tokens)...)
			if o := &g.cfg.Connections[i].OAuth; o.Keys == "" && o.Federated == nil {
				one.Warnings = append(one.Warnings, tokenWarnings(s.Connection, one.Tokens, time.Now())...)
			}
			all = append(all, one)
		}
		return all, nil
	})
}

// crowdWarnings says of which kind a connection has more tokens than one can keep an eye on.
func crowdWarnings(tokens []tokenEntry) []scim.Warning {
	var all []scim.Warning
	live := map[string]int{}
	for i := range tokens {
		if t := &tokens[i]; t.Live {
			live[t.Kind]++
		}
	}
	for _, kind := range []string{kindBearer, kindSecret} {
		if n := live[kind]; n > mostTokens {
			all = append(all, scim.Warning{Kind: "many_tokens", Count: n, Text: fmt.Sprintf(
				"%d %ss are live, and %d are the most: take one out of the configuration file, or end one with cosmosgate scim token revoke ID", n, spoken(kind), mostTokens)})
		}
	}
	return all
}

// tokenWarnings says when a connection is about to lose its last token.
func tokenWarnings(connection string, tokens []tokenEntry, now time.Time) []scim.Warning {
	const soon = 14 * 24 * time.Hour
	var last time.Time
	for i := range tokens {
		if tokens[i].Live && tokens[i].Kind != kindAccess && tokens[i].Expires.After(last) {
			last = tokens[i].Expires
		}
	}
	switch {
	case last.IsZero():
		return []scim.Warning{{Kind: "no_live_token", Text: "no token is live, so the provider cannot push: cosmosgate scim token create " + connection}}
	case last.Sub(now) < soon:
		return []scim.Warning{{Kind: "token_expires", Text: "the last token ends " + when(last) + ": cosmosgate scim token rotate " + connection}}
	default:
		return nil
	}
}

func newSCIMStatus() *cobra.Command {
	var o operator
	cmd := &cobra.Command{
		Use:   "status [CONNECTION]",
		Short: "How identity providers are doing, and what to change",
		Long: `Shows for each connection of the running gate when its provider was last heard of, what it holds, what was refused and
why, with the shape of the last refused request (names and types, never values) and what to do about it. Warnings say what works today and will not
stay so: an externalId that is not the immutable id, a provider that is silent or about to give up, a token near its end.

Refusals are counted since this gate started; contacts with other gates of the directory, and from before the start, are known to within minutes.`,
		Example: "  cosmosgate scim status\n  cosmosgate scim status corp-entra -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := ask[[]connectionStatus](cmd.Context(), &o, actSCIMStatus, struct{}{})
			if err != nil {
				return err
			}
			if len(args) == 1 {
				var names []string
				for i := range all {
					names = append(names, all[i].Connection)
				}
				all = slices.DeleteFunc(all, func(s connectionStatus) bool { return s.Connection != args[0] })
				if len(all) == 0 {
					return failed(fmt.Errorf("there is no connection %q", args[0]), "the configuration names "+listed(names))
				}
			}
			if o.output == outputJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printStatus(cmd.OutOrStdout(), all, time.Now())
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.ValidArgsFunction = o.completeConnections
	return cmd
}

func printStatus(w io.Writer, all []connectionStatus, now time.Time) error {
	out := &printer{w: w}
	for i := range all {
		if i > 0 {
			out.line("")
		}
		printConnection(out, &all[i], now)
	}
	return out.done()
}

func printConnection(out *printer, s *connectionStatus, now time.Time) {
	row := func(name, format string, args ...any) {
		out.line("  %-16s %s", name, plainCell(fmt.Sprintf(format, args...)))
	}
	state := "ok"
	if len(s.Warnings) > 0 {
		state = "needs attention"
	}
	out.line("%s: %s", s.Connection, state)
	row("people of", "issuer %s, found by %s = externalId", s.Issuer, s.Claim)
	row("provider", "%s", providerText(s))
	silence := lifetime(s.SilentSeconds) * lifetime(time.Second)
	row("last contact", "%s, alarm after %s of silence", ago(s.LastContact, now), silence.String())
	row("last write", "%s", ago(s.LastWrite, now))
	row("people", "%d: %d active, %d inactive; %d linked, %d unlinked", s.Counts.Users, s.Counts.Active, s.Counts.Inactive, s.Counts.Linked, s.Counts.Unlinked)
	row("groups", "%d", s.Counts.Groups)
	row("obeyed", "%s", obeyedText("changes from here", s.Obeyed))
	if s.DirectoryAge > 0 {
		row("directory", "shared; all that any gate acknowledged was known here %.1f s ago", s.DirectoryAge)
	}
	if o := s.Elsewhere; o != nil {
		const thousand = 1000
		row("other gates", "what they were told was obeyed here after %.0f ms (p50), %.0f ms (p99) of the last %d changes", thousand*o.Median, thousand*o.P99, o.Of)
	}
	row("parked", "%s", parkedText(s))
	row("requests", "%d since %s", s.Requests, when(s.Since))
	row("refused", "%s", refusedText(s))
	row("quarantine risk", "%s: %d of the last %d refused, %d in a row", s.Risk.Level, s.Risk.Refused, s.Risk.Of, s.Risk.Run)
	printTokens(row, s.Tokens, now)
	printFailures(row, s.Failures, now)
	for _, warning := range s.Warnings {
		row("warning", "%s", warning.Text)
	}
}

// printTokens prints what is live. Of access tokens, of which there may be hundreds for an hour each, it prints how many.
func printTokens(row func(name, format string, args ...any), tokens []tokenEntry, now time.Time) {
	issued, last := 0, time.Time{}
	for i := range tokens {
		t := &tokens[i]
		switch {
		case !t.Live:
		case t.Kind == kindAccess:
			issued++
			if t.Expires.After(last) {
				last = t.Expires
			}
		default:
			row("token", "%s, of the %s, %sends %s, used %s",
				strings.TrimSpace(strings.ReplaceAll(t.Kind, "_", " ")+" "+t.ID), t.Source, ageText(t.Created, now), when(t.Expires), ago(t.LastUsed, now))
		}
	}
	if issued > 0 {
		row("access tokens", "%d of the token endpoint, the last ends %s", issued, when(last))
	}
}

// printFailures prints the last refusals, the newest first.
func printFailures(row func(name, format string, args ...any), failures []scim.Failure, now time.Time) {
	const most = 5
	name := "last refusal"
	failures = failures[max(0, len(failures)-most):]
	for i := range slices.Backward(failures) {
		f := &failures[i]
		often := ""
		if f.Times > 1 {
			often = fmt.Sprintf(", %d times", f.Times)
		}
		status := strings.TrimSpace(fmt.Sprintf("%d %s", f.Status, f.Kind))
		row(name, "%s%s: %s %s → %s: %s", ago(f.Time, now), often, f.Method, cmp.Or(f.Path, "/"), status, f.Detail)
		if f.Shape != "" {
			row("  shape", "%s", f.Shape)
		}
		row("  fix", "%s", f.Fix)
		name = "refusal before"
	}
}

// obeyedText says how soon changes are obeyed by the next request.
func obeyedText(what string, l scim.Latency) string {
	if l.Of == 0 {
		return what + ": none yet"
	}
	const milli = 1000
	return fmt.Sprintf("%s by the next request after %.1f ms (p50), %.1f ms (p99), of the last %d", what, l.P50*milli, l.P99*milli, l.Of)
}

// parkedText says which memberships are not there for want of their people. Gates never wait for one another's: they share one order of changes.
func parkedText(s *connectionStatus) string {
	if s.Parked == 0 {
		return "no membership waits for its person"
	}
	return fmt.Sprintf("refused for members that do not exist: %d, last %s", s.Parked, when(s.LastParked))
}

func providerText(s *connectionStatus) string {
	text := cmp.Or(s.Detected, "not recognized")
	if s.LastContact.IsZero() {
		text = "not heard of yet"
	}
	if s.DetectedForm != "" {
		text += ", " + s.DetectedForm + " form of PATCH"
	}
	if s.Dialect != "" {
		text += " (configured: " + s.Dialect + ")"
	}
	if s.Client != "" {
		text += ", calls itself " + s.Client
	}
	return text
}

func refusedText(s *connectionStatus) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(s.Refused)) {
		parts = append(parts, fmt.Sprintf("%d %s", s.Refused[kind], kind))
	}
	if s.RateLimited > 0 {
		parts = append(parts, fmt.Sprintf("%d too fast", s.RateLimited))
	}
	if s.WrongTokens > 0 {
		parts = append(parts, fmt.Sprintf("%d with a wrong token, last %s", s.WrongTokens, when(s.LastWrongToken)))
	}
	if s.Unproven != nil {
		parts = append(parts, fmt.Sprintf("%d at the token endpoint, last %s: %s", s.Unproven.Count, when(s.Unproven.Last), s.Unproven.Reason))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// ago prints a time with its distance.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", when(t), now.Sub(t).Round(time.Second))
}

func ageText(created, now time.Time) string {
	if created.IsZero() {
		return ""
	}
	const day = 24 * time.Hour
	return fmt.Sprintf("%d days old, ", int(now.Sub(created)/day))
}
