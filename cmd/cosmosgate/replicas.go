package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/journal"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// openDirectory opens the directory: this gate's own, or the one that it shares with others.
func (g *gate) openDirectory() error {
	c := directory.Config{Path: g.cfg.Directory.Path, Clock: time.Now, Random: rand.Reader, Logger: g.log}
	if g.cfg.Directory.Cosmos != nil {
		if err := g.openJournal(); err != nil {
			return fmt.Errorf("directory.cosmos: %w", err)
		}
		c.Shared, c.Poll = g.journal, g.cfg.Directory.Cosmos.WithDefaults().Poll
	}
	var err error
	g.directory, err = directory.Open(c) // closes the journal if it fails
	return err                           //nolint:wrapcheck // names the directory itself
}

// openJournal opens the log that the gates of one directory share.
func (g *gate) openJournal() error {
	shared := g.cfg.Directory.Cosmos
	credential, err := g.credential("directory.cosmos", shared.Identity)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	bundle, err := g.bundle("upstream", g.cfg.Trust.Upstream)
	if err != nil {
		return err
	}
	trusting := bundle.Transport()
	trusting.ForceAttemptHTTP2 = false // a connection that hangs holds up one question, not all
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("naming this gate: %w", err)
	}
	folder := filepath.Dir(g.cfg.Directory.Path)
	const ownerOnly, exchange, patience = 0o700, time.Minute, 2 * time.Minute
	if err := os.MkdirAll(folder, ownerOnly); err != nil {
		return fmt.Errorf("making the directory's folder: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.journal, err = journal.Open(ctx, journal.Config{
		Endpoint: shared.Endpoint, Database: shared.Database, Container: shared.Container, Credential: credential,
		Transport: &http.Client{Transport: trusting, Timeout: exchange},
		Name:      fmt.Sprintf("%s/%d", name, os.Getpid()), Spool: folder, Clock: time.Now, Random: rand.Reader, Logger: g.log,
	})
	return shortenedFrom("the account of "+shared.Database+"/"+shared.Container, err)
}

// keepJournal writes snapshots of a shared directory when they are due.
func (g *gate) keepJournal(ctx context.Context) error {
	if g.journal == nil {
		<-ctx.Done()
		return nil
	}
	return g.journal.Run(ctx, g.directory.Replay) //nolint:wrapcheck // names the journal itself
}

// freshness is what the data path must know about a directory that is shared.
func (g *gate) freshness() proxy.Freshness {
	if g.cfg.Directory.Cosmos == nil {
		return proxy.Freshness{}
	}
	shared := g.cfg.Directory.Cosmos.WithDefaults()
	return proxy.Freshness{Age: g.directory.Age, StaleAfter: shared.StaleAfter, ServeAtMost: shared.ServeAtMost}
}

var errStale = errors.New("the shared directory is stale")

// directoryCurrent returns why a shared directory is stale. It is advice only: when the container cannot be reached, no gate is
// better than this one, and roles with best_effort are still served.
func (g *gate) directoryCurrent() error {
	f := g.freshness()
	if f.Age == nil {
		return nil
	}
	if age := f.Age(time.Now()); age > f.StaleAfter {
		return fmt.Errorf("%w: it was last known to be current %s ago", errStale, min(age, maxShown).Round(time.Millisecond))
	}
	return nil
}

// maxShown is the longest age that is told exactly.
const maxShown = 365 * 24 * time.Hour
