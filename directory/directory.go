package directory

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
)

// Config says where a directory keeps its log and what it may use.
type Config struct {
	// Path is the file of the embedded log; it is made if absent. Required
	// unless Log is given.
	Path string
	// Log replaces the embedded log.
	Log Log
	// Clock tells the time. Required.
	Clock func() time.Time
	// Random feeds record ids and token secrets. Required.
	Random io.Reader
	// Logger receives what an operator should know. Required.
	Logger *slog.Logger
}

// Directory is the set of people and groups. Its read methods are safe for any
// number of goroutines.
type Directory struct{ config Config }

var errNotYet = errors.New("directory is being built")

// Open reads the log and returns a directory that answers reads. Writes are
// served while [Directory.Run] runs.
func Open(config Config) (*Directory, error) { return nil, errNotYet }

// Run serves writes until the context ends; what was accepted by then is
// still committed and answered.
func (d *Directory) Run(ctx context.Context) error { return errNotYet }

// Close releases the log. Call it after Run has returned.
func (d *Directory) Close() error { return errNotYet }

// Healthy returns nil, or why no write is possible any more.
func (d *Directory) Healthy() error { return errNotYet }

// Lookup returns one consistent view of the user linked to k. It takes no lock
// and doesn't allocate, unless the user's groups changed since the last look.
func (d *Directory) Lookup(k LinkKey) (UserView, bool) { return UserView{}, false }

// Locked returns the lock in force on a subject.
func (d *Directory) Locked(s Subject) (*Lock, bool) { return nil, false }

// Apply makes all changes, in order, or none of them. When it returns without
// an error they are durable and every later read sees them.
func (d *Directory) Apply(ctx context.Context, connection string, changes ...Change) ([]Result, error) {
	return nil, errNotYet
}
