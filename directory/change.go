package directory

// Change is one wanted modification, given to [Directory.Apply]. The writer
// validates it on the state it meets; adding what exists and removing what is
// absent succeed and change nothing.
//
// It is one of [CreateUser], [EditUser], [DeleteUser], [CreateGroup],
// [EditGroup], [DeleteGroup], [AddMembers], [RemoveMembers], [SetMembers],
// [AdoptUser] and [AdoptGroup].
type Change interface{ isChange() }

// CreateUser adds a user. ID, Connection, Revision and times are set by the
// directory.
type CreateUser struct{ User User }

// EditUser replaces a user's record by what Edit makes of the current one.
type EditUser struct {
	ID ID
	// IfRevision refuses with [ErrRevision] unless it is zero or the current
	// revision.
	IfRevision uint64
	// Edit runs in the writer and must be quick and pure. It returns its
	// argument's altered copy; ID, Connection, Revision and times are not its
	// to change. A record equal to the old one is no change.
	Edit func(User) (User, error)
}

// DeleteUser removes a user with its memberships and frees its names at once.
type DeleteUser struct {
	ID         ID
	IfRevision uint64
}

// CreateGroup adds a group without members; follow it with [AddMembers] under
// the zero ID, which names the group created last in the same call.
type CreateGroup struct{ Group GroupRecord }

// EditGroup replaces a group's record by what Edit makes of the current one,
// under the rules of [EditUser].
type EditGroup struct {
	ID         ID
	IfRevision uint64
	Edit       func(GroupRecord) (GroupRecord, error)
}

// DeleteGroup removes a group; its members keep existing.
type DeleteGroup struct {
	ID         ID
	IfRevision uint64
}

// AddMembers adds users or groups of the same connection to a group.
type AddMembers struct {
	Group   ID
	Members []ID
}

// RemoveMembers removes members from a group.
type RemoveMembers struct {
	Group   ID
	Members []ID
}

// SetMembers makes a group's members exactly the given ones.
type SetMembers struct {
	Group   ID
	Members []ID
}

// AdoptUser takes a user over from another connection, with its id, names,
// memberships and locks. One that the other connection does not have any more
// is no change.
type AdoptUser struct {
	ID   ID
	From string
}

// AdoptGroup takes a group over as [AdoptUser] does a user.
type AdoptGroup struct {
	ID   ID
	From string
}

func (AdoptUser) isChange()     {}
func (AdoptGroup) isChange()    {}
func (CreateUser) isChange()    {}
func (EditUser) isChange()      {}
func (DeleteUser) isChange()    {}
func (CreateGroup) isChange()   {}
func (EditGroup) isChange()     {}
func (DeleteGroup) isChange()   {}
func (AddMembers) isChange()    {}
func (RemoveMembers) isChange() {}
func (SetMembers) isChange()    {}

// Result says what became of one [Change].
type Result struct {
	ID       ID
	Revision uint64
	// Changed is false if the change found everything as it wanted it.
	Changed bool
	// Regrouped is how many groups got other groups above them, or may have.
	Regrouped int
	// User is the whole user that a [CreateUser] or [EditUser] left behind.
	User *User
}
