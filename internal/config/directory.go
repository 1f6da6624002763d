package config

import "time"

// Directory is where people, groups and locks are kept: in a file of this gate alone, or in a container that several gates share.
type Directory struct {
	// Path is the file. With cosmos it is this gate's own copy; a part of the shared directory's name is added to its name.
	Path string `yaml:"path"`
	// Cosmos makes this gate one of several that share a directory. Without it, the file is the directory.
	Cosmos *SharedDirectory `yaml:"cosmos"`
}

// SharedDirectory is a container of Azure Cosmos DB that several gates keep one directory in. docs/operations.md says how it is made.
type SharedDirectory struct {
	// Endpoint is the account's URL, https://ACCOUNT.documents.azure.com/. It need not be an account behind the gate.
	Endpoint string `yaml:"endpoint"`
	// Database is the database's name.
	Database string `yaml:"database"`
	// Container is the container's name. Its partition key is /pk and its default time to live is -1.
	Container string `yaml:"container"`
	// Identity is the gate's own identity for the container. Give it to no role.
	Identity Identity `yaml:"identity"`
	// Poll is how often the gate asks what other gates wrote. Default 100ms.
	Poll time.Duration `yaml:"poll"`
	// StaleAfter is how long no answer may come before the directory counts as stale: from then on requests under roles with
	// staleness strict, the default, get 503. Default 2s.
	StaleAfter time.Duration `yaml:"stale_after"`
	// ServeAtMost is how long after the last answer requests under roles with staleness best_effort are still served. Default 5m.
	ServeAtMost time.Duration `yaml:"serve_at_most"`
}

// WithDefaults returns the shared directory with what its zero fields mean.
func (s SharedDirectory) WithDefaults() SharedDirectory {
	const (
		poll        = 100 * time.Millisecond
		staleAfter  = 2 * time.Second
		serveAtMost = 5 * time.Minute
	)
	if s.Poll == 0 {
		s.Poll = poll
	}
	if s.StaleAfter == 0 {
		s.StaleAfter = staleAfter
	}
	if s.ServeAtMost == 0 {
		s.ServeAtMost = max(serveAtMost, s.StaleAfter)
	}
	return s
}

func (d *Directory) check(ps *problems) {
	ps.require("directory.path", d.Path, "name the file that people and groups are kept in")
	if d.Cosmos == nil {
		return
	}
	const path = "directory.cosmos"
	httpsBase(ps, path+".endpoint", d.Cosmos.Endpoint)
	ps.require(path+".database", d.Cosmos.Database, "name the database of the shared directory")
	ps.require(path+".container", d.Cosmos.Container, "name the container of the shared directory")
	d.Cosmos.Identity.check(ps, path+".identity")
	const quickest, slowest, polls, longest = 10 * time.Millisecond, 10 * time.Second, 3, 24 * time.Hour
	s := d.Cosmos.WithDefaults()
	if s.Poll < quickest || s.Poll > slowest {
		ps.add(path+".poll", "is %s: use 10ms to 10s", s.Poll)
	}
	if s.StaleAfter < polls*s.Poll {
		ps.add(path+".stale_after", "is %s: use at least three times poll (%s), or one slow answer is an outage", s.StaleAfter, s.Poll)
	}
	if s.ServeAtMost < s.StaleAfter || s.ServeAtMost > longest {
		ps.add(path+".serve_at_most", "is %s: use stale_after (%s) to 24h", s.ServeAtMost, s.StaleAfter)
	}
}
