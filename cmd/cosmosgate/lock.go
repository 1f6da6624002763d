package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/internal/control"
)

// The acts of this family.
const (
	actLock   = "lock"
	actUnlock = "unlock"
	actLocks  = "locks"
)

// lockSubject says whom a command means: one person by id, userName or externalId, or something declared by its name.
type lockSubject struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Connection string `json:"connection,omitempty"`
}

// lockOrder asks for a lock.
type lockOrder struct {
	Subject lockSubject   `json:"subject"`
	TTL     time.Duration `json:"ttl,omitempty"`
	Message string        `json:"message,omitempty"`
}

// lockEntry is one lock, as commands print it.
type lockEntry struct {
	Kind     string    `json:"kind"`
	ID       string    `json:"id"`
	UserName string    `json:"user_name,omitempty"`
	Message  string    `json:"message,omitempty"`
	By       string    `json:"by,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	// Was is false if there was no lock to lift.
	Was bool `json:"was_locked"`
}

func (g *gate) lockActs(m *control.Mux) {
	control.Handle(m, actLock, g.lock)
	control.Handle(m, actUnlock, g.unlock)
	control.Handle(m, actLocks, func(context.Context, *control.Call, struct{}) ([]lockEntry, error) {
		entries := []lockEntry{}
		for _, l := range g.directory.Locks() {
			entries = append(entries, g.lockEntry(l))
		}
		return entries, nil
	})
}

func (g *gate) lock(ctx context.Context, c *control.Call, order lockOrder) (lockEntry, error) {
	subject, err := g.lockable(order.Subject)
	if err != nil {
		return lockEntry{}, err
	}
	c.Target("%s %s", subject.Kind, subject.Name)
	if err := messageFits(order.Message); err != nil {
		return lockEntry{}, err
	}
	if order.TTL < 0 {
		return lockEntry{}, control.Invalid("a lock cannot end in the past", "leave --ttl away for a lock that stays until it is lifted")
	}
	_, was := g.directory.Locked(subject)
	l := directory.Lock{Subject: subject, Message: order.Message, By: c.Peer.User()}
	if order.TTL > 0 {
		l.Expires = time.Now().Add(order.TTL)
	}
	if err := g.directory.PutLock(ctx, l); err != nil {
		return lockEntry{}, directoryFault(err)
	}
	set, ok := g.directory.Locked(subject)
	if !ok {
		return lockEntry{}, control.Conflict("the lock ended at once", "give a longer --ttl")
	}
	e := g.lockEntry(set)
	e.Was = was
	return e, nil
}

// messageFits bounds what every list of locks and revocations repeats.
func messageFits(text string) error {
	const most = 1000
	if n := utf8.RuneCountInString(text); n > most {
		return control.Invalid(fmt.Sprintf("the message has %d characters: at most %d are kept", n, most), "say it shorter, or name a ticket")
	}
	return nil
}

func (g *gate) unlock(ctx context.Context, c *control.Call, s lockSubject) (lockEntry, error) {
	subject, err := g.lockedSubject(s)
	if err != nil {
		return lockEntry{}, err
	}
	c.Target("%s %s", subject.Kind, subject.Name)
	l, was := g.directory.Locked(subject)
	if !was {
		l = &directory.Lock{Subject: subject}
	}
	e := g.lockEntry(l)
	e.Was = was
	if err := g.directory.DeleteLock(ctx, subject); err != nil {
		return lockEntry{}, directoryFault(err)
	}
	return e, nil
}

func (g *gate) lockEntry(l *directory.Lock) lockEntry {
	e := lockEntry{
		Kind: l.Subject.Kind.String(), ID: l.Subject.Name, Message: l.Message, By: l.By, Created: l.Created, Expires: l.Expires, Was: true,
	}
	if l.Subject.Kind == directory.SubjectUser {
		if u, ok := g.userByID(l.Subject.Name); ok {
			e.UserName = u.UserName
		}
	}
	return e
}

// lockable finds what a command wants to lock. A name that means nothing is refused: a lock on a typing mistake suspends nobody.
func (g *gate) lockable(s lockSubject) (directory.Subject, error) {
	if s.Kind == directory.SubjectUser.String() {
		u, err := g.findUser(s.Name, s.Connection)
		return directory.Subject{Kind: directory.SubjectUser, Name: string(u.ID)}, err
	}
	subject, err := directory.ParseSubject(s.Kind, s.Name)
	if err != nil {
		return subject, control.Invalid(fmt.Sprintf("cannot lock a %q", s.Kind), "lock a user, an application, an agent or a key")
	}
	names, what := g.lockableNames(subject.Kind)
	if !slices.Contains(names, s.Name) {
		return subject, control.NotFound(fmt.Sprintf("there is no %s %q", subject.Kind, s.Name), what+" "+listed(names))
	}
	return subject, nil
}

// lockableNames are the names of a kind that mean something, and where they come from.
func (g *gate) lockableNames(kind directory.SubjectKind) (names []string, from string) {
	switch kind {
	case directory.SubjectApplication:
		for _, a := range g.policy.declaredApplications() {
			names = append(names, a.Name)
		}
		from = "policy declares"
	case directory.SubjectAgent:
		for _, a := range g.policy.declaredAgents() {
			names = append(names, a.Name)
		}
		from = "policy declares"
	default:
		if g.keys != nil {
			for _, k := range g.keys.List(context.Background()) {
				names = append(names, k.ID)
			}
		}
		from = "cosmosgate key ls lists"
	}
	slices.Sort(names)
	return names, from
}

// lockedSubject finds what a command wants to unlock: also what is locked and no longer declared.
func (g *gate) lockedSubject(s lockSubject) (directory.Subject, error) {
	if subject, err := directory.ParseSubject(s.Kind, s.Name); err == nil {
		if _, locked := g.directory.Locked(subject); locked {
			return subject, nil
		}
	}
	return g.lockable(s)
}

func (g *gate) userByID(id string) (directory.User, bool) {
	for i := range g.cfg.Connections {
		if u, ok := g.directory.User(g.cfg.Connections[i].Name, directory.ID(id)); ok {
			return u, true
		}
	}
	return directory.User{}, false
}

// findUser finds the one person that a name means: an id, a userName or an externalId, in one connection or in all.
func (g *gate) findUser(name, connection string) (directory.User, error) {
	var found []directory.User
	known := connection == ""
	for i := range g.cfg.Connections {
		c := g.cfg.Connections[i].Name
		if connection != "" && connection != c {
			continue
		}
		known = true
		byID, ok1 := g.directory.User(c, directory.ID(name))
		byName, ok2 := g.directory.UserByName(c, name)
		byExternal, ok3 := g.directory.UserByExternalID(c, name)
		for n, u := range []directory.User{byID, byName, byExternal} {
			if []bool{ok1, ok2, ok3}[n] && !slices.ContainsFunc(found, func(f directory.User) bool { return f.ID == u.ID }) {
				found = append(found, u)
			}
		}
	}
	switch {
	case !known:
		return directory.User{}, g.knownConnection(connection)
	case len(found) == 0:
		return directory.User{}, control.NotFound(fmt.Sprintf("nobody has the id, userName or externalId %q", name),
			"userNames are compared whole; cosmosgate directory export lists everybody")
	case len(found) > 1:
		var who []string
		for i := range found {
			who = append(who, fmt.Sprintf("%s (%s, %s)", found[i].ID, found[i].UserName, found[i].Connection))
		}
		return directory.User{}, control.Conflict(fmt.Sprintf("%q means several people", name), "give the id of one: "+strings.Join(who, ", "))
	}
	return found[0], nil
}

// directoryFault tells an operator why the directory did not do what was asked.
func directoryFault(err error) error {
	_, open := errors.AsType[*directory.UnknownOutcomeError](err)
	switch {
	case open:
		return err // told, and recorded, as what nobody knows yet
	case errors.Is(err, directory.ErrUnavailable):
		return control.Unavailable(err.Error(), "nothing was changed: see whether the container of directory.cosmos can be reached, and try again")
	case errors.Is(err, directory.ErrNotFound):
		return control.NotFound(err.Error(), "it was removed meanwhile: look again")
	case errors.Is(err, directory.ErrStopped):
		return control.Unavailable(err.Error(), "to keep somebody out until then, take them out of a binding in the policy: it is read again at once")
	case errors.Is(err, directory.ErrLimit), errors.Is(err, directory.ErrNotEmpty), errors.Is(err, directory.ErrExists):
		return control.Conflict(err.Error(), "")
	default:
		return err
	}
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// subjectFlags are how a command line says whom it means.
type subjectFlags struct{ application, agent, key, connection string }

func (f *subjectFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.application, "application", "", "an application, by the name that policy declares")
	cmd.Flags().StringVar(&f.agent, "agent", "", "an agent, by the name that policy declares")
	cmd.Flags().StringVar(&f.key, "key", "", "a virtual key, by its public id")
	cmd.Flags().StringVar(&f.connection, "connection", "", "look for the person in this SCIM connection only")
	cmd.MarkFlagsMutuallyExclusive("application", "agent", "key", "connection")
}

var errOneSubject = errors.New("name one person, or one of --application, --agent and --key")

func (f *subjectFlags) subject(args []string) (lockSubject, error) {
	all := []lockSubject{
		{Kind: directory.SubjectApplication.String(), Name: f.application}, {Kind: directory.SubjectAgent.String(), Name: f.agent},
		{Kind: directory.SubjectKey.String(), Name: f.key},
	}
	if len(args) == 1 {
		all = append(all, lockSubject{Kind: directory.SubjectUser.String(), Name: args[0], Connection: f.connection})
	}
	all = slices.DeleteFunc(all, func(s lockSubject) bool { return s.Name == "" })
	if len(all) != 1 {
		return lockSubject{}, errOneSubject
	}
	return all[0], nil
}

func newLock() *cobra.Command {
	var o operator
	var f subjectFlags
	var order lockOrder
	cmd := &cobra.Command{
		Use:   "lock [PERSON]",
		Short: "Suspend a person, an application, an agent or a key at once",
		Long: `Suspends somebody in the running gate: their next request is refused, also with a token that is still valid, and also
in the middle of a query's pages. A person is named by id, userName or externalId.

A lock is the operator's. Nothing that an identity provider pushes lifts it; it ends by itself after --ttl, or with
"cosmosgate unlock". Locking again replaces the message and the end.`,
		Example: "  cosmosgate lock ann@corp.example --message 'incident 4711'\n  cosmosgate lock --application checkout --ttl 2h",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if order.Subject, err = f.subject(args); err != nil {
				return err
			}
			e, err := ask[lockEntry](cmd.Context(), &o, actLock, order)
			if err != nil {
				return err
			}
			if err := showLocks(cmd, &o, e, []lockEntry{e}); err != nil || !e.Was {
				return err
			}
			return hint(cmd, "it was locked already; this lock replaced the other")
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	f.flags(cmd)
	cmd.Flags().Var((*span)(&order.TTL), "ttl", "how long, such as 90m or 14d (default: until unlocked)")
	cmd.Flags().StringVarP(&order.Message, "message", "m", "", "why, for whoever finds the lock")
	return cmd
}

func newUnlock() *cobra.Command {
	var o operator
	var f subjectFlags
	cmd := &cobra.Command{
		Use:     "unlock [PERSON]",
		Short:   "Lift a lock",
		Long:    "Lifts a lock in the running gate. Whether the person is active is still the identity provider's word.",
		Example: "  cosmosgate unlock ann@corp.example\n  cosmosgate unlock --agent nightly-report",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.subject(args)
			if err != nil {
				return err
			}
			e, err := ask[lockEntry](cmd.Context(), &o, actUnlock, s)
			if err != nil {
				return err
			}
			if err := showLocks(cmd, &o, e, []lockEntry{e}); err != nil {
				return err
			}
			if e.Was {
				return hint(cmd, "this lock is lifted")
			}
			return hint(cmd, "there was no lock to lift")
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	f.flags(cmd)
	return cmd
}

func newLocks() *cobra.Command {
	return listing(&cobra.Command{
		Use:     "locks",
		Short:   "List the locks in force",
		Long:    "Lists what is locked in the running gate, oldest first.",
		Example: "  cosmosgate locks\n  cosmosgate locks -o json",
	}, actLocks, func(cmd *cobra.Command, o *operator, all []lockEntry) error { return showLocks(cmd, o, all, all) })
}

// showLocks prints locks as a table, or v as JSON.
func showLocks(cmd *cobra.Command, o *operator, v any, entries []lockEntry) error {
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), v)
	}
	t := table{titles: []string{"KIND", "ID", "USER NAME", "SINCE", "UNTIL", "BY", "MESSAGE"}}
	for i := range entries {
		e := &entries[i]
		t.add(e.Kind, e.ID, e.UserName, when(e.Created), when(e.Expires), e.By, e.Message)
	}
	return t.write(cmd.OutOrStdout())
}

// when prints a time for a table; nothing for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// hint tells something beside the data.
func hint(cmd *cobra.Command, text string) error {
	_, err := fmt.Fprintln(cmd.ErrOrStderr(), "hint:", text)
	return wrapOutput(err)
}
