package audit

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrUnavailable is returned while records cannot be written: the queue is full, or the file refuses writes. Nothing may be
	// forwarded then; the caller is told to come again later.
	ErrUnavailable = errors.New("audit log unavailable")
	// ErrClosed is returned by a Log that is being closed, wrapped in ErrUnavailable.
	ErrClosed = errors.New("audit log closed")
)

// File is what a Log writes to; *os.File is one.
type File interface {
	io.WriteCloser
	Sync() error
	Stat() (fs.FileInfo, error)
}

// Config configures a Log.
type Config struct {
	Path      string        // the current file; rotated files stand beside it. Required.
	MaxBytes  int64         // size at which the file is rotated, exceeded by at most one batch; 0 never rotates
	Keep      int           // rotated files that are kept, oldest deleted first; 0 keeps all
	Queue     int           // records that may be reserved or waiting to be written; 0 means 8192
	SyncEvery time.Duration // 0: each batch is on disk (fsync) before its slots are free again; else at most this much is at stake in a power failure
	HashKey   []byte        // key of the hashes of partition keys and ids (HMAC-SHA-256); none: plain SHA-256

	Clock  func() time.Time // required
	Logger *slog.Logger     // required

	// OpenFile opens a file for appending; nil means os.OpenFile.
	OpenFile func(name string, flag int, mode fs.FileMode) (File, error)
}

// Log is the audit log: a file of JSON lines. It is safe for concurrent use.
type Log struct{}

// Open opens the log's file, creating it and its folder if need be. It writes nothing until Run is called.
func Open(Config) (*Log, error) { return nil, ErrUnavailable }

// Reserve promises room for one record. Nothing is to be forwarded upstream without it. Each reservation must be committed once.
// The error is ErrUnavailable, wrapped.
func (*Log) Reserve() (*Reservation, error) { return nil, ErrUnavailable }

// Healthy returns why the log refuses reservations, or nil.
func (*Log) Healthy() error { return ErrUnavailable }

// Run writes records until ctx is done, then writes what is left, and closes the file.
func (*Log) Run(context.Context) error { return ErrUnavailable }

// Close stops the log and waits until Run has written what was committed. It is safe to call more than once.
func (*Log) Close() error { return nil }

// Collectors returns the log's metrics.
func (*Log) Collectors() []prometheus.Collector { return nil }

// Reservation is a promise of room for one record.
type Reservation struct{}

// Commit hands over the record of the reserved slot. It never blocks and never fails; a second call does nothing.
// The record is encoded before Commit returns, so the caller may reuse its slices.
func (*Reservation) Commit(Record) {}

// Abandon writes a record with the outcome "abandoned" unless the reservation has been committed. It is meant for defer.
func (*Reservation) Abandon() {}
