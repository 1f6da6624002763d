package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultQueue = 8192
	defaultDrain = 5 * time.Second

	// linger lets records of the same moment share a write: a system call and a wake-up cost more than encoding a record.
	linger = 2 * time.Millisecond
	// retryEvery is the pause between attempts to write while writing fails.
	retryEvery = 250 * time.Millisecond
	// maxPending bounds the bytes waiting to be written; Reserve refuses beyond it.
	maxPending = 64 << 20
	// maxSpare is the largest buffer that is kept for the next batch.
	maxSpare = 8 << 20
)

var (
	// ErrUnavailable is returned while records cannot be written: the queue is full, or the file refuses writes. Nothing may be
	// forwarded then; the caller is told to come again later.
	ErrUnavailable = errors.New("audit log unavailable")
	// ErrClosed is returned, wrapped in ErrUnavailable, by a Log that is being closed.
	ErrClosed = errors.New("audit log closed")

	errFull    = errors.New("too many records are waiting to be written")
	errRunning = errors.New("audit log is already running or closed")
)

// Config configures a Log.
type Config struct {
	Path      string        // the current file, created with mode 0600; rotated files stand beside it. Required, absolute.
	MaxBytes  int64         // size at which the file is rotated, exceeded by at most one batch; 0 never rotates
	Keep      int           // rotated files that are kept, oldest deleted first; 0 keeps all
	Queue     int           // records that may be reserved or waiting to be written; 0 means 8192
	SyncEvery time.Duration // 0: fsync after each batch, before its slots are free again; else at most this much is at stake in a power failure
	HashKey   []byte        // key of the hashes of partition keys and ids (HMAC-SHA-256); none: plain SHA-256
	Drain     time.Duration // how long the end of Run waits for open reservations and a failing disk; 0 means 5 s

	Clock  func() time.Time // required
	Logger *slog.Logger     // required
	// OpenFile opens the files that are written; nil means the operating system's.
	OpenFile OpenFile
}

func (c Config) validate() error {
	var errs []error
	if !filepath.IsAbs(c.Path) {
		errs = append(errs, fmt.Errorf("path %q is not absolute", c.Path))
	}
	if c.MaxBytes < 0 || c.Keep < 0 || c.Queue < 0 || c.SyncEvery < 0 || c.Drain < 0 {
		errs = append(errs, errors.New("limits must not be negative"))
	}
	if c.Clock == nil || c.Logger == nil {
		errs = append(errs, errors.New("a clock and a logger are required"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("configuring audit log: %w", errors.Join(errs...))
	}
	return nil
}

// Log is the audit log: a file of JSON lines. It is safe for concurrent use.
type Log struct {
	encoder *Encoder
	buffers chan []byte
	config  Config
	metrics *metrics

	// These belong to the goroutine that writes.
	file  *file
	batch []byte // what of the buffer has not been written
	spare []byte // the buffer as a whole, to be used again

	wake    chan struct{} // holds a token while pending is not empty
	stop    chan struct{} // closed by Close
	stopped sync.Once
	done    chan struct{} // closed when everything has been written
	result  error         // of the writing; to be read after done

	mu      sync.Mutex
	started bool
	closing bool
	fault   error  // why writing fails at present
	pending []byte // whole lines for the next batch
	waiting int    // lines in pending and in the batch being written
	open    reservations
}

// Open opens the log's file, creating it and its folder if need be, and isolates a line that an earlier process left unfinished.
// Records are written only while Run runs.
func Open(config Config) (*Log, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Queue == 0 {
		config.Queue = defaultQueue
	}
	if config.Drain == 0 {
		config.Drain = defaultDrain
	}
	if config.OpenFile == nil {
		config.OpenFile = openFile
	}
	l := &Log{
		encoder: NewEncoder(config.HashKey),
		buffers: make(chan []byte, maxIdle),
		config:  config,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	l.metrics = newMetrics(l)
	l.file = &file{
		path: config.Path, maxBytes: config.MaxBytes, keep: config.Keep,
		open: config.OpenFile, clock: config.Clock, report: l.reportFailure,
	}
	if err := l.file.ready(); err != nil {
		return nil, fmt.Errorf("opening audit log: %w", err)
	}
	return l, nil
}

// Reserve promises room for one record. Nothing is to be forwarded upstream without it. Each reservation must be committed once.
// The error wraps ErrUnavailable.
func (l *Log) Reserve() (*Reservation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		l.metrics.refused.Inc()
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	r := &Reservation{log: l, since: l.config.Clock()}
	l.open.add(r)
	return r, nil
}

// refusal says why no reservation can be given now.
func (l *Log) refusal() error {
	switch {
	case l.closing:
		return ErrClosed
	case l.fault != nil:
		return l.fault
	case l.open.count+l.waiting >= l.config.Queue || len(l.pending) >= maxPending:
		return errFull
	default:
		return nil
	}
}

// Healthy returns why the log refuses reservations, or nil.
func (l *Log) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// Collectors returns the log's metrics.
func (l *Log) Collectors() []prometheus.Collector { return l.metrics.collectors() }

// Run writes records until ctx is done or Close is called. It then gives open reservations time to be committed, writes those that
// were not as abandoned, writes what is left, and closes the file. The error says what could not be written.
func (l *Log) Run(ctx context.Context) error {
	if !l.start() {
		return errRunning
	}
	l.write(ctx)
	return l.finish(context.WithoutCancel(ctx))
}

// Close stops the log, waits until everything committed has been written, and returns what Run returns.
// It is safe to call more than once, and without Run.
func (l *Log) Close() error {
	l.stopped.Do(func() { close(l.stop) })
	if l.start() {
		return l.finish(context.Background())
	}
	<-l.done
	return l.result
}

func (l *Log) start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.started
	l.started = true
	return first
}

// commit takes over the line of a reservation, unless it is no longer open.
func (l *Log) commit(r *Reservation, record *Record) bool {
	line := l.encoder.Append(l.takeBuffer(), record)
	defer l.giveBuffer(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open.remove(r) {
		return false
	}
	l.pending = append(l.pending, line...)
	l.waiting++
	l.signal()
	return true
}

// isOpen says whether r awaits its commit.
func (l *Log) isOpen(r *Reservation) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.open
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) takeBuffer() []byte {
	select {
	case buf := <-l.buffers:
		return buf[:0]
	default:
		return make([]byte, 0, maxScratch)
	}
}

func (l *Log) giveBuffer(buf []byte) {
	if cap(buf) > maxScratch {
		return
	}
	select {
	case l.buffers <- buf:
	default:
	}
}

// take moves the pending lines into the writer's hands, and leaves the writer's used buffer in their place.
func (l *Log) take() {
	used := l.spare[:0]
	if cap(used) > maxSpare {
		used = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batch, l.pending = l.pending, used
	l.spare = l.batch
}

// written frees the slots of whole lines that are in the file, and says that writing works.
func (l *Log) written(lines []byte) {
	n := bytes.Count(lines, []byte{'\n'})
	l.mu.Lock()
	l.waiting -= n
	l.mu.Unlock()
	l.metrics.written.Add(float64(n))
}

// setFault makes Reserve refuse, or stop refusing if err is nil, and says so once.
func (l *Log) setFault(err error) {
	l.mu.Lock()
	changed := (err == nil) != (l.fault == nil)
	l.fault = err
	l.mu.Unlock()
	switch {
	case err != nil && changed:
		l.config.Logger.Error("audit log cannot be written: requests are refused until it can", "error", err)
	case changed:
		l.config.Logger.Info("audit log is written again")
	}
}

func (l *Log) reportFailure(f failure, err error) {
	l.metrics.failures.WithLabelValues(string(f)).Inc()
	l.config.Logger.Warn("audit log", "failure", string(f), "error", err)
}
