package policy

// obliging is a guardrail that adds something to an allowed action.
type obliging struct {
	*statement

	action Actions
}

// oblige allows the request under the role, with what guardrails add.
func (j *judgement) oblige(chosen *tally, found []filed) Decision {
	d := Decision{
		Allow: true, Role: chosen.role.name, Identity: chosen.role.identity, Width: chosen.role.width,
		Obligations: chosen.role.obligations, Reason: ReasonAllowed,
	}
	for _, s := range j.granting {
		if s.role == chosen.role {
			d.Policies = append(d.Policies, s.origin)
		}
	}
	for _, o := range chosen.offers {
		if sameKey(o.key, chosen.injected) {
			d.Policies = append(d.Policies, o.origin)
		}
	}
	d.Obligations.PartitionKey = chosen.injected
	matched := j.guardrails(found)
	for _, g := range matched {
		d.Obligations = d.Obligations.strictest(&g.guardrail.obligations)
		d.Policies = append(d.Policies, g.origin)
	}
	d.Policies = sortedOnce(d.Policies)
	if j.failure != "" {
		return j.denied()
	}
	return j.confine(d, matched)
}

// guardrails returns the guardrails that oblige, once for every action.
func (j *judgement) guardrails(found []filed) []obliging {
	var matched []obliging
	for rest := j.guarded; rest != 0 && len(found) > 0; rest &= rest - 1 {
		action := rest & -rest
		_, diagnostic := j.ask(found, action)
		for _, reason := range diagnostic.Reasons {
			matched = append(matched, obliging{j.set.statements[reason.PolicyID], action})
		}
	}
	return matched
}

// confine holds an allowed request to the partition keys that guardrails demand.
// What they set must fit the key that the role sets, and one another.
func (j *judgement) confine(d Decision, matched []obliging) Decision {
	q := *j.request
	set := d.Obligations.PartitionKey
	fit := true
	var setting Actions
	for _, g := range matched {
		if outcome, _ := q.fits(g.key, g.action); outcome == keyInjected {
			setting |= g.action
			key, _ := g.key.resolve(q.owner())
			longer, ok := narrower(set, key)
			set, fit = longer, fit && ok
		}
	}
	if !fit {
		return Decision{Policies: d.Policies, Reason: ReasonPartitionKey, Missing: setting, Detail: "guardrails set partition keys that do not agree"}
	}
	if set != nil {
		q.PartitionKeys, q.Injectable = [][]string{set}, false
	}
	first := obstacle{outcome: keyAttributeMissing + 1}
	var against Actions
	for _, g := range matched {
		outcome, detail := q.fits(g.key, g.action)
		if outcome == keyFits {
			continue
		}
		against |= g.action
		if o := (obstacle{outcome: outcome, detail: "guardrail " + g.guardrail.name + " " + detail}); o.compare(first) < 0 {
			first = o
		}
	}
	if exposed := j.guarded & unredactable; exposed != 0 && len(d.Obligations.Redact) > 0 {
		return Decision{
			Policies: d.Policies, Reason: ReasonRedaction, Missing: exposed,
			Detail: "a guardrail redacts, and " + exposed.String() + " would show what it redacts or write over it",
		}
	}
	if against != 0 {
		return Decision{Policies: d.Policies, Reason: first.reason(), Missing: against, Detail: first.detail}
	}
	d.Obligations.PartitionKey = set
	return d
}
