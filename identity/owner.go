package identity

import (
	"iter"
	"sync/atomic"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Owners is the part of the directory that says whether a key's owner still answers for it. A [*directory.Directory] is one.
type Owners interface {
	Directory

	// User and Group return a record, Members a group's direct members.
	User(connection string, id directory.ID) (directory.User, bool)
	Group(connection string, id directory.ID) (directory.GroupRecord, bool)
	Members(connection string, group directory.ID) iter.Seq[directory.Member]
}

const (
	// deadGroupMemory is how long a group without an active member is not searched again: its revival may wait, its end never does.
	deadGroupMemory = time.Second
	// maxSearchedGroups bounds the nested groups that one search looks into.
	maxSearchedGroups = 1000
)

// ownership watches one key's owner. A group is vouched for by one of its members: as long as that one is active and in the group,
// nobody else is looked at.
type ownership struct {
	owner   KeyOwner
	witness atomic.Pointer[witness]
	dead    atomic.Int64 // Unix nanoseconds until which a group is known to have nobody
}

// witness is an active member of a group.
type witness struct {
	link directory.LinkKey
	id   directory.ID
}

// alive reports whether somebody answers for the key now. It is asked on every request.
func (o *ownership) alive(d Owners, now time.Time) bool {
	if o.owner.Kind == OwnerUser {
		view, found := d.Lookup(directory.LinkKey{Connection: o.owner.Connection, ExternalID: o.owner.ExternalID})

		return found && view.ID == o.owner.ID && view.Active && view.Lock == nil
	}

	if w := o.witness.Load(); w != nil && o.vouches(d, w) {
		return true
	}

	if now.UnixNano() < o.dead.Load() {
		return false
	}

	found := o.search(d)
	o.witness.Store(found)

	if found == nil {
		o.dead.Store(now.Add(deadGroupMemory).UnixNano())
	}

	return found != nil
}

// vouches reports whether w is an active, unlocked and effective member of the group.
func (o *ownership) vouches(d Owners, w *witness) bool {
	view, found := d.Lookup(w.link)
	if !found || view.ID != w.id || !view.Active || view.Lock != nil {
		return false
	}

	for _, group := range view.Groups {
		if group.ID == o.owner.ID {
			return true
		}
	}

	return false
}

// search looks for a member who vouches, in the group and in those nested in it.
func (o *ownership) search(d Owners) *witness {
	if _, found := d.Group(o.owner.Connection, o.owner.ID); !found {
		return nil
	}

	seen := map[directory.ID]bool{o.owner.ID: true}
	queue := []directory.ID{o.owner.ID}

	for len(queue) > 0 {
		group := queue[0]
		queue = queue[1:]

		for member := range d.Members(o.owner.Connection, group) {
			if member.Group {
				if !seen[member.ID] && len(seen) < maxSearchedGroups {
					seen[member.ID] = true
					queue = append(queue, member.ID)
				}

				continue
			}

			user, found := d.User(o.owner.Connection, member.ID)
			if !found || !user.Active || user.ExternalID == "" {
				continue
			}

			w := &witness{link: directory.LinkKey{Connection: user.Connection, ExternalID: user.ExternalID}, id: user.ID}
			if o.vouches(d, w) {
				return w
			}
		}
	}

	return nil
}
