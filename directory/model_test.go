package directory_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

// model is a directory in plain maps.
type model struct {
	users  map[directory.ID]directory.User
	groups map[directory.ID]map[directory.ID]bool
}

// TestTheDirectoryEqualsPlainMaps makes random changes and asks everything that
// can be asked, also after restarts.
func TestTheDirectoryEqualsPlainMaps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 11))
			h := fresh(t)
			m := model{users: map[directory.ID]directory.User{}, groups: map[directory.ID]map[directory.ID]bool{}}
			for turn := range 240 {
				m.change(t, h, random, turn)
				if turn%8 == 0 {
					m.compare(t, h)
				}
				if turn%60 == 59 {
					h = h.reopen(t)
					m.compare(t, h)
				}
			}
		})
	}
}

// randomUser is a user whose names now and then equal another's up to case.
func randomUser(random *rand.Rand, turn int) directory.User {
	u := directory.User{
		UserName: fmt.Sprintf("User%d@Corp.example", turn), Active: random.IntN(3) > 0,
		Attributes: map[string]string{"department": fmt.Sprint(random.IntN(3)), "number": fmt.Sprint(turn)},
		Document:   fmt.Appendf(nil, `{"turn":%d}`, turn),
	}
	switch random.IntN(4) {
	case 0: // not linked
	case 1:
		u.ExternalID = fmt.Sprint("ext-", turn)
	case 2:
		u.ExternalID = fmt.Sprintf("c0ffee00-0000-4000-8000-%012d", turn)
	case 3:
		u.ExternalID = fmt.Sprintf("C0FFEE00-0000-4000-8000-%012d", turn/2) // another's but for the case, now and then
	}
	for range random.IntN(3) {
		u.Emails = append(u.Emails, fmt.Sprintf("shared%d@corp.example", random.IntN(5)))
	}
	if random.IntN(2) == 0 {
		u.Emails = append(u.Emails, strings.ToLower(u.UserName))
	}
	slices.Sort(u.Emails)
	u.Emails = slices.Compact(u.Emails)
	return u
}

func (m model) change(t *testing.T, h *house, random *rand.Rand, turn int) {
	t.Helper()
	users, groups := slices.Sorted(maps.Keys(m.users)), slices.Sorted(maps.Keys(m.groups))
	everybody := slices.Concat(users, groups)
	pick := func(from []directory.ID) directory.ID { return from[random.IntN(len(from))] }
	some := []directory.ID{}
	for range random.IntN(6) {
		if len(everybody) > 0 {
			some = append(some, pick(everybody))
		}
	}
	switch roll := random.IntN(10); {
	case roll < 3 || len(users) < 2:
		u := randomUser(random, turn)
		if m.linked(u.ExternalID) {
			u.ExternalID = ""
		}
		u.ID = h.do(t, directory.CreateUser{User: u})[0]
		m.users[u.ID] = u
	case roll == 3 || len(groups) < 2:
		m.groups[h.group(t, fmt.Sprint("Group ", turn))] = map[directory.ID]bool{}
	case roll == 4:
		id, next := pick(users), randomUser(random, turn)
		if next.ID = id; m.linked(next.ExternalID) {
			next.ExternalID = ""
		}
		h.do(t, edit(id, func(u *directory.User) {
			u.UserName, u.ExternalID, u.Active, u.Emails = next.UserName, next.ExternalID, next.Active, next.Emails
			u.Attributes, u.Document = next.Attributes, next.Document
		}))
		m.users[id] = next
	case roll == 5:
		id := pick(everybody)
		if _, isUser := m.users[id]; isUser {
			h.do(t, directory.DeleteUser{ID: id})
		} else {
			h.do(t, directory.DeleteGroup{ID: id})
		}
		delete(m.users, id)
		delete(m.groups, id)
		for _, members := range m.groups {
			delete(members, id)
		}
	case roll < 8:
		g := pick(groups)
		h.do(t, directory.AddMembers{Group: g, Members: some})
		for _, id := range some {
			m.groups[g][id] = true
		}
	case roll == 8:
		g := pick(groups)
		h.do(t, directory.RemoveMembers{Group: g, Members: some})
		for _, id := range some {
			delete(m.groups[g], id)
		}
	default:
		g := pick(groups)
		h.do(t, directory.SetMembers{Group: g, Members: some})
		clear(m.groups[g])
		for _, id := range some {
			m.groups[g][id] = true
		}
	}
}

// linked reports whether somebody has an external id.
func (m model) linked(externalID string) bool {
	for _, u := range m.users {
		if u.ExternalID == externalID {
			return true
		}
	}
	return false
}

// direct and effective return the groups that somebody is in.
func (m model) direct(id directory.ID) []directory.ID {
	var in []directory.ID
	for g, members := range m.groups {
		if members[id] {
			in = append(in, g)
		}
	}
	slices.Sort(in)
	return in
}

func (m model) effective(id directory.ID) []directory.ID {
	seen := map[directory.ID]bool{}
	for next := m.direct(id); len(next) > 0; next = next[1:] {
		if !seen[next[0]] {
			seen[next[0]] = true
			next = append(next, m.direct(next[0])...)
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func ids(groups []*directory.Group) []directory.ID {
	var list []directory.ID
	for _, g := range groups {
		list = append(list, g.ID)
	}
	slices.Sort(list)
	return list
}

func (m model) compare(t *testing.T, h *house) {
	t.Helper()
	want := directory.Counts{Users: len(m.users), Groups: len(m.groups)}
	byEmail := map[string][]directory.ID{}
	for id, u := range m.users {
		if u.Active {
			want.Active++
		}
		if u.ExternalID != "" {
			want.Linked++
		}
		for _, e := range u.Emails {
			byEmail[e] = append(byEmail[e], id)
		}
		m.compareUser(t, h, u)
	}
	if diff := cmp.Diff(want, h.Counts(corp)); diff != "" {
		t.Fatalf("counts (-want +got)\n%s", diff)
	}
	for address, holders := range byEmail {
		var got []directory.ID
		for _, u := range h.UsersByEmail(corp, strings.ToUpper(address)) {
			got = append(got, u.ID)
		}
		slices.Sort(holders)
		if diff := cmp.Diff(holders, got); diff != "" {
			t.Fatalf("holders of %s (-want +got)\n%s", address, diff)
		}
	}
	var listed []directory.ID
	for u := range h.Users(corp, "") {
		listed = append(listed, u.ID)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(m.users)), listed); diff != "" && len(m.users) > 0 {
		t.Fatalf("users in order (-want +got)\n%s", diff)
	}
	if len(listed) > 3 {
		var rest []directory.ID
		for u := range h.Users(corp, listed[2]) {
			rest = append(rest, u.ID)
		}
		if diff := cmp.Diff(listed[3:], rest); diff != "" {
			t.Fatalf("users after the third (-want +got)\n%s", diff)
		}
	}
	for g, members := range m.groups {
		m.compareGroup(t, h, g, members)
	}
}

func (m model) compareUser(t *testing.T, h *house, u directory.User) {
	t.Helper()
	byName, _ := h.UserByName(corp, strings.ToLower(u.UserName))
	read, err := h.ReadUser(corp, u.ID)
	if err != nil || byName.ID != u.ID {
		t.Fatalf("%s: read %v, by name %s", u.ID, err, byName.ID)
	}
	got := directory.User{
		ID: read.ID, UserName: read.UserName, ExternalID: read.ExternalID, Active: read.Active, Emails: read.Emails,
		Attributes: read.Attributes, Document: read.Document,
	}
	if diff := cmp.Diff(u, got); diff != "" {
		t.Fatalf("user (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(m.direct(u.ID), ids(h.DirectGroups(u.ID))); diff != "" {
		t.Fatalf("direct groups (-want +got)\n%s", diff)
	}
	effective := m.effective(u.ID)
	if diff := cmp.Diff(effective, ids(h.EffectiveGroups(u.ID))); diff != "" && len(effective) > 0 {
		t.Fatalf("effective groups (-want +got)\n%s", diff)
	}
	view, linked := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: u.ExternalID})
	if linked != (u.ExternalID != "") {
		t.Fatalf("%s: linked %v", u.ID, linked)
	}
	if upper := strings.ToUpper(u.ExternalID); upper != u.ExternalID && !m.linked(upper) {
		if _, found := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: upper}); found {
			t.Fatalf("%s is found in another case", u.ExternalID)
		}
	}
	if linked && (view.ID != u.ID || view.Active != u.Active || !maps.Equal(view.Attributes, u.Attributes) || !slices.Equal(ids(view.Groups), effective)) {
		t.Fatalf("view %+v of %+v in %v", view, u, effective)
	}
}

func (m model) compareGroup(t *testing.T, h *house, g directory.ID, members map[directory.ID]bool) {
	t.Helper()
	var got []directory.ID
	for member := range h.Members(corp, g) {
		got = append(got, member.ID)
		if _, isGroup := m.groups[member.ID]; isGroup != member.Group || !h.IsMember(g, member.ID) {
			t.Fatalf("member %+v of %s", member, g)
		}
	}
	slices.Sort(got)
	if want := slices.Sorted(maps.Keys(members)); !slices.Equal(want, got) || h.MemberCount(g) != len(want) {
		t.Fatalf("members %v, want %v, counted %d", got, want, h.MemberCount(g))
	}
}
