package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

const (
	maxRIDs = 8192 // known, and as many that nobody has
	// unknownRIDFor is how long a RID that upstream does not know is not asked about again.
	unknownRIDFor = 30 * time.Second
	// ridReadRate and ridReadBurst bound the reads that callers can cause.
	ridReadRate  = 20
	ridReadBurst = 50
)

var errTooManyReads = errors.New("too many RIDs asked for")

// ridCache knows the names behind RIDs, from the gate's own reads only. A RID is
// never given to another resource, so a name stays true until the resource is gone.
type ridCache struct {
	read    func(ctx context.Context, rid cosmos.RID) (string, error)
	now     func() time.Time
	limiter *rate.Limiter

	mu      sync.Mutex
	known   map[cosmos.RID]string
	unknown map[cosmos.RID]time.Time // until then; apart, so that who asks for these does not push out the known
	reading map[cosmos.RID]*ridRead
}

// ridRead is a read under way; name and err are set when done is closed.
type ridRead struct {
	done chan struct{}
	name string
	err  error
}

func newRIDCache(read func(context.Context, cosmos.RID) (string, error), now func() time.Time) *ridCache {
	return &ridCache{
		read: read, now: now, limiter: rate.NewLimiter(ridReadRate, ridReadBurst),
		known: map[cosmos.RID]string{}, unknown: map[cosmos.RID]time.Time{}, reading: map[cosmos.RID]*ridRead{},
	}
}

// name returns what rid stands for, reading it if need be. The error wraps
// errNotFound if upstream says that there is nothing.
func (c *ridCache) name(ctx context.Context, rid cosmos.RID) (string, error) {
	c.mu.Lock()
	if name, ok := c.known[rid]; ok {
		c.mu.Unlock()
		return name, nil
	}
	if until, ok := c.unknown[rid]; ok && c.now().Before(until) {
		c.mu.Unlock()
		return "", errNotFound
	}
	if under := c.reading[rid]; under != nil {
		c.mu.Unlock()
		select {
		case <-under.done:
			return under.name, under.err
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for the name of a RID: %w", context.Cause(ctx))
		}
	}
	if !c.limiter.AllowN(c.now(), 1) {
		c.mu.Unlock()
		return "", errTooManyReads
	}
	begun := &ridRead{done: make(chan struct{})}
	c.reading[rid] = begun
	c.mu.Unlock()

	// Others may be waiting for this read: it goes on when this caller leaves.
	begun.name, begun.err = c.read(context.WithoutCancel(ctx), rid)
	c.finish(rid, begun)
	return begun.name, begun.err
}

func (c *ridCache) finish(rid cosmos.RID, ended *ridRead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.reading, rid)
	close(ended.done)
	switch {
	case ended.err == nil:
		remember(c.known, rid, ended.name)
		delete(c.unknown, rid)
	case errors.Is(ended.err, errNotFound):
		remember(c.unknown, rid, c.now().Add(unknownRIDFor))
	}
}

func remember[T any](in map[cosmos.RID]T, rid cosmos.RID, what T) {
	if len(in) >= maxRIDs {
		clear(in)
	}
	in[rid] = what
}

// forget drops what is known about rid, because upstream said that it is gone.
func (c *ridCache) forget(rid cosmos.RID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, rid)
}

// resolve gives a RID-addressed operation its names.
func (p *Proxy) resolve(c *call) error {
	if !c.op.NeedsResolution() {
		return nil
	}
	database, err := c.nameOf(c.op.DatabaseRID)
	if err != nil {
		return err
	}
	container := ""
	if c.op.ContainerRID != "" {
		if container, err = c.nameOf(c.op.ContainerRID); err != nil {
			return err
		}
	}
	c.op.Resolve(database, container)
	if container == "" {
		return nil
	}
	return c.op.Pin(c.op.ContainerRID)
}

func (c *call) nameOf(text string) (string, error) {
	rid, err := cosmos.ParseRID(text)
	if err != nil {
		return "", cosmos.Unresolvable(c.op)
	}
	name, err := c.account.rids.name(c.r.Context(), rid)
	switch {
	case err == nil:
		return name, nil
	case errors.Is(err, errNotFound):
		refusal := cosmos.Unresolvable(c.op)
		refusal.Reason = err.Error()
		return "", refusal
	case errors.Is(err, errTooManyReads): // others may have asked for them
		busy := cosmos.Busy(busyRetryAfter)
		busy.Reason = err.Error()
		return "", busy
	default:
		return "", cosmos.Unavailable("resolving a RID: " + err.Error())
	}
}
