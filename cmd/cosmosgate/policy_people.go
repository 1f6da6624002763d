package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

// people are the persons of a directory export who can sign in, and the applications of a policy.
type people struct {
	principals []policy.Principal
	names      []string // what to call each of them
	byID       map[string]int
	barred     int // inactive or locked
}

// exportLine is what policy commands need of a line of what cosmosgate directory export writes.
type exportLine struct {
	Kind        string            `json:"kind"`
	ID          string            `json:"id"`
	Connection  string            `json:"connection"`
	ExternalID  string            `json:"externalId"`
	UserName    string            `json:"userName"`
	DisplayName string            `json:"displayName"`
	Active      bool              `json:"active"`
	Attributes  map[string]string `json:"attributes"`
	Members     []string          `json:"members"`
	Expires     time.Time         `json:"expires"`
	Subject     string            `json:"subject"`
}

// peopleReader gathers an export.
type peopleReader struct {
	users   []exportLine
	groups  map[string]policy.Group
	parents map[string][]string // member id to the groups that name it
	locked  map[string]bool
	at      time.Time
}

// readPeople reads a directory export; an empty name means that there are no persons.
func readPeople(name string, at time.Time) (*people, error) {
	r := &peopleReader{groups: map[string]policy.Group{}, parents: map[string][]string{}, locked: map[string]bool{}, at: at}
	if name != "" {
		if err := r.readFile(name); err != nil {
			return nil, failed(err, "--people takes a directory export: JSON lines with users, groups and members")
		}
	}
	p := &people{byID: make(map[string]int, len(r.users))}
	closures := map[string][]policy.Group{}
	for i := range r.users {
		u := &r.users[i]
		if !u.Active || r.locked[u.ID] {
			p.barred++
			continue
		}
		p.add(policy.Principal{ID: u.ID, Kind: policy.KindPerson, Groups: r.groupsOf(u.ID, closures), Attributes: u.Attributes}, u.UserName)
	}
	return p, nil
}

// addApplications adds what the policies declare, each once; the first set's attributes count.
func (p *people) addApplications(sets ...*policy.Set) {
	for _, set := range sets {
		for _, a := range set.Applications() {
			key := applicationKey(a.Name)
			if _, ok := p.byID[key]; !ok {
				p.byID[key] = len(p.principals)
				p.principals = append(p.principals, policy.Principal{ID: a.Name, Kind: policy.KindApplication, Attributes: a.Attributes})
				p.names = append(p.names, a.Name)
			}
		}
	}
}

// addAgents adds the agents that the policies declare, each once.
func (p *people) addAgents(sets ...*policy.Set) {
	for _, set := range sets {
		for _, a := range set.Agents() {
			key := agentEntry(a.Name)
			if _, ok := p.byID[key]; !ok {
				p.byID[key] = len(p.principals)
				p.principals = append(p.principals, policy.Principal{ID: a.Name, Kind: policy.KindAgent})
				p.names = append(p.names, a.Name)
			}
		}
	}
}

// agentEntry keeps names of agents apart from ids of persons and names of applications.
func agentEntry(name string) string { return "agent " + name }

// applicationKey keeps names of applications apart from ids of persons.
func applicationKey(name string) string { return "application " + name }

func (p *people) add(principal policy.Principal, name string) {
	if name == "" {
		name = principal.ID
	}
	n := uint64(len(p.principals))
	principal.Generation = [2]uint64{1, n + 1} // an export does not change while a command runs
	p.byID[principal.ID] = len(p.principals)
	p.principals = append(p.principals, principal)
	p.names = append(p.names, name)
}

// find returns a person by directory id or, if it is nobody else's, by user name.
func (p *people) find(who string) (policy.Principal, bool) {
	if i, ok := p.byID[who]; ok {
		return p.principals[i], true
	}
	i := slices.Index(p.names, who)
	if i < 0 || slices.Contains(p.names[i+1:], who) {
		return policy.Principal{}, false
	}
	return p.principals[i], true
}

var errExport = errors.New("not a directory export")

func (r *peopleReader) readFile(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading people: %w", err)
	}
	const block = 1 << 20
	decoder := json.NewDecoder(bufio.NewReaderSize(file, block))
	for n := 1; ; n++ {
		var line exportLine
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.take(&line)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w: line %d: %w", name, errExport, n, err), file.Close())
		}
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("reading people: %w", err)
	}
	return nil
}

var errExportKind = errors.New("unknown kind")

func (r *peopleReader) take(line *exportLine) error {
	switch line.Kind {
	case "user":
		r.users = append(r.users, *line)
	case "group":
		r.groups[line.ID] = policy.Group{ID: line.ID, Connection: line.Connection, ExternalID: line.ExternalID, Name: line.DisplayName}
	case "members":
		for _, m := range line.Members {
			r.parents[m] = append(r.parents[m], line.ID)
		}
	case "lock":
		if line.Subject == "user" && (line.Expires.IsZero() || r.at.Before(line.Expires)) {
			r.locked[line.ID] = true
		}
	case "token", "entry": // of the gate, not about people
	default:
		return fmt.Errorf("%w %q", errExportKind, line.Kind)
	}
	return nil
}

// groupsOf returns every group above a member. The groups above one group are found once.
func (r *peopleReader) groupsOf(member string, known map[string][]policy.Group) []policy.Group {
	var all []policy.Group
	seen := map[string]bool{}
	for _, parent := range r.parents[member] {
		for _, g := range r.above(parent, known) {
			if !seen[g.ID] {
				seen[g.ID] = true
				all = append(all, g)
			}
		}
	}
	return all
}

// above returns a group and every group above it; cycles are walked once.
func (r *peopleReader) above(group string, known map[string][]policy.Group) []policy.Group {
	if found, ok := known[group]; ok {
		return found
	}
	seen := map[string]bool{group: true}
	queue := []string{group}
	var found []policy.Group
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if g, ok := r.groups[next]; ok {
			found = append(found, g)
		}
		for _, parent := range r.parents[next] {
			if !seen[parent] {
				seen[parent] = true
				queue = append(queue, parent)
			}
		}
	}
	known[group] = found
	return found
}
