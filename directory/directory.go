package directory

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// Config says where a directory keeps its log and what it may use.
type Config struct {
	// Path is the file of the embedded log; it is made if absent. Required
	// unless Log is given.
	Path string
	// Log replaces the embedded log. The directory closes it.
	Log Log
	// Shared makes the directory one of several that obey one log; Path then names
	// this one's own copy. The directory closes it.
	Shared Shared
	// Poll is how often the shared log is asked for more; zero means 100 ms.
	Poll time.Duration
	// Clock tells the time. Required.
	Clock func() time.Time
	// Random feeds record ids and token secrets. Required.
	Random io.Reader
	// Logger receives what an operator should know. Required.
	Logger *slog.Logger
}

// Directory is the set of people and groups. Its methods are safe for any
// number of goroutines.
type Directory struct {
	config  Config
	log     Log
	state   *state
	queue   chan *call
	running atomic.Bool
	// ending is closed when Run takes no more calls, ended when it has
	// answered all that it took.
	ending, ended chan struct{}
	failure       atomic.Pointer[error]
	ids           idSource
	tidy          *tidy // while Run runs and the log is a Folder, for the writer only

	// Of a shared log only: what others wrote, the last version obeyed, when it
	// was last proven that there was no later one, and for the writer what may be
	// next in the log.
	shared   Shared
	foreign  chan foreign
	seen     atomic.Uint64
	proof    atomic.Pointer[time.Time]
	attempts []*attempt
	turn     turn
	metrics  *metrics
}

// queueLength bounds the calls that wait for the writer; more wait in Apply.
const queueLength = 1024

// Open reads the log and returns a directory that answers reads. Writes are
// served while [Directory.Run] runs.
func Open(config Config) (*Directory, error) {
	if config.Clock == nil || config.Random == nil || config.Logger == nil {
		return nil, fmt.Errorf("opening the directory: %w: Clock, Random and Logger are required", errPlan)
	}
	if config.Log == nil && config.Path == "" {
		return nil, fmt.Errorf("opening the directory: %w: Path or Log is required", errPlan)
	}
	if config.Poll <= 0 {
		config.Poll = defaultPoll
	}
	d := &Directory{
		config: config, log: config.Log, queue: make(chan *call, queueLength),
		ending: make(chan struct{}), ended: make(chan struct{}), shared: config.Shared, metrics: newMetrics(),
	}
	d.proof.Store(new(time.Time))
	if err := d.read(); err != nil {
		if log, ok := d.log.(*BoltLog); ok {
			log.leave(err)
		}
		return nil, errors.Join(err, d.release())
	}
	d.ids = idSource{random: config.Random, last: d.state.lastKey.id()}
	return d, nil
}

// read opens what the configuration names and builds the state.
func (d *Directory) read() error {
	if d.shared != nil {
		d.foreign = make(chan foreign)
		return d.readCopy()
	}
	if d.log == nil {
		embedded, err := OpenBolt(d.config.Path)
		if err != nil {
			return err
		}
		d.log = embedded
	}
	d.state = newState()
	return load(d.state, d.log, d.config.Clock())
}

// Close releases the log. Call it after Run has returned.
func (d *Directory) Close() error {
	if err := d.release(); err != nil {
		return fmt.Errorf("closing the directory: %w", err)
	}
	return nil
}

// release closes the logs that are open.
func (d *Directory) release() error {
	var faults []error
	if d.log != nil {
		faults = append(faults, d.log.Close())
	}
	if d.shared != nil {
		faults = append(faults, d.shared.Close())
	}
	return errors.Join(faults...)
}

// Healthy returns nil, or why no write is possible any more.
func (d *Directory) Healthy() error {
	if err := d.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Lookup returns one consistent view of the user linked to k. It takes no lock
// and doesn't allocate, unless the user or a group's nesting changed since the
// last look.
func (d *Directory) Lookup(k LinkKey) (UserView, bool) {
	return d.state.lookup(k, d.config.Clock)
}
