package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
)

// subjectID stands for a reference that the policy names.
type subjectID int

// index finds the statements that may concern a request without looking at the
// others: first by the scopes that cover the resource, then by the groups that
// the principal is in. What it finds is still decided by Cedar; it must only
// never leave out a statement that Cedar would apply.
type index struct {
	buckets map[scope]*bucket
}

// bucket holds the statements of one scope.
type bucket struct {
	everybody []filed
	bySubject map[subjectID][]filed
}

// filed is a statement with its Cedar id and the id of its subject.
type filed struct {
	*statement

	id  cedar.PolicyID
	who subjectID
}

// subjects holds every reference that statements and conditions name. Only
// these are looked for in a principal.
type subjects struct {
	ids map[reference]subjectID
	// The references to groups that are not confined to a connection, by text,
	// because they are looked up for every group of every request.
	byID, byExternalID, byName map[string]subjectID
	confined                   bool
	uids                       []cedar.EntityUID
	// needed are the groups that conditions name.
	needed map[subjectID]bool
}

func newIndex() *index {
	return &index{buckets: make(map[scope]*bucket)}
}

func newSubjects() *subjects {
	return &subjects{
		ids:          make(map[reference]subjectID),
		byID:         make(map[string]subjectID),
		byExternalID: make(map[string]subjectID),
		byName:       make(map[string]subjectID),
		needed:       make(map[subjectID]bool),
	}
}

// add files a statement.
func (x *index) add(f filed) {
	b, ok := x.buckets[f.scope]
	if !ok {
		b = &bucket{bySubject: make(map[subjectID][]filed)}
		x.buckets[f.scope] = b
	}
	if f.subject.kind == everybody {
		b.everybody = append(b.everybody, f)
		return
	}
	b.bySubject[f.who] = append(b.bySubject[f.who], f)
}

func (s *subjects) intern(r reference) subjectID {
	if id, ok := s.ids[r]; ok {
		return id
	}
	id := subjectID(len(s.uids))
	s.ids[r] = id
	s.uids = append(s.uids, r.uid())
	s.confined = s.confined || r.connection != ""
	if r.connection != "" {
		return id
	}
	switch r.kind {
	case groupIDReference:
		s.byID[r.text] = id
	case groupExternalReference:
		s.byExternalID[r.text] = id
	case groupNameReference:
		s.byName[r.text] = id
	default:
	}
	return id
}

// of returns the references that mean the principal or one of its groups.
func (s *subjects) of(p *Principal) []subjectID {
	if p.Kind != KindPerson {
		kind := applicationReference
		if p.Kind == KindAgent {
			kind = agentReference
		}
		if id, ok := s.ids[reference{kind: kind, text: p.ID}]; ok {
			return []subjectID{id}
		}
		return nil
	}
	found := make([]subjectID, 0, min(len(p.Groups)+1, len(s.uids)))
	if id, ok := s.ids[reference{kind: userReference, text: p.ID}]; ok {
		found = append(found, id)
	}
	for i := range p.Groups {
		found = s.ofGroup(found, &p.Groups[i])
	}
	return found
}

func (s *subjects) ofGroup(found []subjectID, g *Group) []subjectID {
	if id, ok := s.byID[g.ID]; ok {
		found = append(found, id)
	}
	if id, ok := s.byExternalID[g.ExternalID]; ok {
		found = append(found, id)
	}
	if len(s.byName) > 0 {
		if id, ok := s.byName[g.Name]; ok {
			found = append(found, id)
		}
	}
	if !s.confined {
		return found
	}
	if id, ok := s.ids[reference{groupExternalReference, g.Connection, g.ExternalID}]; ok && g.Connection != "" {
		found = append(found, id)
	}
	if id, ok := s.ids[reference{groupNameReference, g.Connection, g.Name}]; ok && g.Connection != "" {
		found = append(found, id)
	}
	return found
}

// find returns the statements that may concern actions on the resource by a
// principal that is all of subjects.
func (x *index) find(r Resource, actions Actions, who []subjectID) []filed {
	var found []filed
	for _, account := range alternatives(r.Account) {
		for _, database := range alternatives(r.Database) {
			for _, container := range alternatives(r.Container) {
				if b, ok := x.buckets[scope{account, database, container}]; ok {
					found = b.find(found, actions, who)
				}
			}
		}
	}
	return found
}

func (b *bucket) find(found []filed, actions Actions, who []subjectID) []filed {
	found = appendActing(found, b.everybody, actions)
	if len(b.bySubject) == 0 {
		return found
	}
	for _, id := range who {
		found = appendActing(found, b.bySubject[id], actions)
	}
	return found
}

func appendActing(found, from []filed, actions Actions) []filed {
	for _, f := range from {
		if f.actions&actions != 0 {
			found = append(found, f)
		}
	}
	return found
}

// alternatives returns what a segment of a scope may be to cover the name. For
// a container that is really called `*` both are the same, and what is found
// twice counts once.
func alternatives(name string) []string {
	if name == "" {
		return []string{name}
	}
	return []string{name, wildcard}
}

// groups returns what Cedar must know of the groups among who: those that the
// statements or any condition ask about. Cedar would copy every other group for
// nothing.
func (s *subjects) groups(who []subjectID, found ...[]filed) []cedar.EntityUID {
	n := len(s.needed)
	for _, part := range found {
		n += len(part)
	}
	asked := make([]subjectID, 0, min(n, len(s.uids)))
	for id := range s.needed {
		asked = append(asked, id)
	}
	for _, part := range found {
		for _, f := range part {
			if !slices.Contains(asked, f.who) {
				asked = append(asked, f.who)
			}
		}
	}
	groups := make([]cedar.EntityUID, 0, len(asked))
	for _, id := range asked {
		uid := s.uids[id]
		if uid.Type != userType && uid.Type != applicationType && uid.Type != agentType && slices.Contains(who, id) {
			groups = append(groups, uid)
		}
	}
	return groups
}
