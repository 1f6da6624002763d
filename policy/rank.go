package policy

import (
	"cmp"
	"slices"
	"strings"
)

// width is how much an identity may do, over all roles that use it.
type width struct {
	actions         Actions
	breadth, scopes int
	seen            map[scope]bool
}

func (w *width) compare(v *width) int {
	return cmp.Or(
		cmp.Compare(len(w.actions.Names()), len(v.actions.Names())),
		cmp.Compare(w.breadth, v.breadth),
		cmp.Compare(w.scopes, v.scopes),
	)
}

// rank orders the roles by preference for requests that several allow: fewest
// obligations, narrowest identity (fewest data actions, then narrowest
// resources), name. What an agent is granted is ordered among them, with the
// obligations of its grant.
func rank(docs *documents) {
	widths := identityWidths(docs.roles)
	type entry struct {
		*role

		grant string
	}
	all := make([]entry, 0, len(docs.roles)+len(docs.grants))
	for _, r := range docs.roles {
		all = append(all, entry{role: r})
	}
	for _, g := range docs.grants {
		for _, r := range docs.roles {
			if r.name == g.role {
				as := *r
				as.obligations = r.obligations.strictest(&g.obligations)
				g.as = &as
				all = append(all, entry{role: g.as, grant: g.name})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(
			cmp.Compare(a.obligations.count(), b.obligations.count()),
			widths[a.identity].compare(widths[b.identity]),
			strings.Compare(a.name, b.name),
			strings.Compare(a.grant, b.grant),
		)
	})
	for i, e := range all {
		e.rank = i
	}
	orderIdentities(docs.roles, widths)
	for _, g := range docs.grants {
		for _, r := range docs.roles {
			if r.name == g.role {
				g.as.width = r.width
			}
		}
	}
}

func identityWidths(roles []*role) map[string]*width {
	widths := make(map[string]*width)
	for _, r := range roles {
		w := widths[r.identity]
		if w == nil {
			w = &width{seen: make(map[scope]bool)}
			widths[r.identity] = w
		}
		for _, rule := range r.rules {
			w.actions |= rule.actions | ReadMetadata
			for _, s := range rule.scopes {
				w.breadth = max(w.breadth, s.breadth())
				w.seen[s] = true
			}
		}
		w.scopes = len(w.seen)
	}
	return widths
}

// orderIdentities gives every role the place of its identity, the narrowest
// first.
func orderIdentities(roles []*role, widths map[string]*width) {
	names := make([]string, 0, len(widths))
	for name := range widths {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(widths[a].compare(widths[b]), strings.Compare(a, b))
	})
	for _, r := range roles {
		r.width = slices.Index(names, r.identity)
	}
}
