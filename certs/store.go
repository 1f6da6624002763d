package certs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const defaultPoll = 10 * time.Second

// Config configures a Store.
type Config struct {
	Poll   time.Duration    // how often files are looked at; 0 means 10 s
	Clock  func() time.Time // required
	Logger *slog.Logger     // required
}

// Store loads key pairs and bundles and loads them again when their files change. It is safe for concurrent use.
type Store struct {
	config  Config
	metrics *metrics

	mu      sync.Mutex // serialises loading
	watched []*watched
}

// kind is what a piece of material is, as a label.
type kind string

const (
	kindKeyPair  kind = "key_pair"
	kindBundle   kind = "bundle"
	kindIdentity kind = "identity"
)

// watched is one piece of material and the files that it is made of.
type watched struct {
	kind  kind
	name  string
	files []string
	// build makes the material of the files' contents and puts it to use, all or nothing. It returns when the first part of it expires.
	build func(contents [][]byte) (time.Time, error)
	// seen identifies the contents of the last attempt, successful or not, so that a bad file is reported once and not at each look.
	seen [sha256.Size]byte
}

// New returns an empty store.
func New(config Config) (*Store, error) {
	if config.Clock == nil || config.Logger == nil || config.Poll < 0 {
		return nil, errors.New("configuring certificate store: a clock, a logger and a poll interval that is not negative are required")
	}
	if config.Poll == 0 {
		config.Poll = defaultPoll
	}
	return &Store{config: config, metrics: newMetrics()}, nil
}

// KeyPair loads a certificate chain and its key from two PEM files, and watches them. An expired certificate is refused.
// The name labels metrics and log lines.
func (s *Store) KeyPair(name, certFile, keyFile string) (*KeyPair, error) {
	pair := &KeyPair{}
	w := &watched{kind: kindKeyPair, name: name, files: []string{certFile, keyFile}}
	w.build = func(contents [][]byte) (time.Time, error) {
		return pair.set(contents[0], contents[1], s.config.Clock())
	}
	if err := s.add(w); err != nil {
		return nil, err
	}
	return pair, nil
}

// Bundle loads trusted authorities from PEM files, and watches them. Without files it is the system's trust store as it is now.
func (s *Store) Bundle(name string, files ...string) (*Bundle, error) {
	bundle := &Bundle{}
	if len(files) == 0 {
		if err := bundle.setSystem(); err != nil {
			return nil, err
		}
		return bundle, nil
	}
	if err := s.add(&watched{kind: kindBundle, name: name, files: files, build: bundle.set}); err != nil {
		return nil, err
	}
	return bundle, nil
}

// Identity loads a file with a certificate and its key that somebody else signs with, and watches it. Use puts its content to use, all
// or nothing, and returns when the certificate expires.
func (s *Store) Identity(name, file string, use func(content []byte) (time.Time, error)) error {
	return s.add(&watched{kind: kindIdentity, name: name, files: []string{file}, build: func(contents [][]byte) (time.Time, error) {
		return use(contents[0])
	}})
}

func (s *Store) add(w *watched) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(w, true); err != nil {
		return err
	}
	s.watched = append(s.watched, w)
	return nil
}

// Reload loads everything again at once, as on SIGHUP. What fails keeps its old material; the error joins all failures.
func (s *Store) Reload() error { return s.loadAll(true) }

// Run looks at the files until ctx is done, and loads what has changed.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.config.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			_ = s.loadAll(false) // load has told the operator
		}
	}
}

// Collectors returns the store's metrics.
func (s *Store) Collectors() []prometheus.Collector { return s.metrics.collectors() }

func (s *Store) loadAll(always bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, w := range s.watched {
		errs = append(errs, s.load(w, always))
	}
	return errors.Join(errs...)
}

// load reads the files once, so that what is compared is what is used, and builds the material if they changed or always is set.
// Contents are compared, not times: they are small, and a volume that swaps symbolic links (Kubernetes) keeps no promise about times.
func (s *Store) load(w *watched, always bool) error {
	contents, err := readAll(w.files)
	sum := fingerprint(contents, err)
	if !always && sum == w.seen {
		return nil
	}
	w.seen = sum
	var expiry time.Time
	if err == nil {
		expiry, err = w.build(contents)
	}
	s.metrics.loaded(w, expiry, err)
	if err != nil {
		s.config.Logger.Error("TLS material not loaded: any older one stays in use",
			"kind", string(w.kind), "name", w.name, "files", w.files, "error", err)
		return fmt.Errorf("loading %s %q: %w", w.kind, w.name, err)
	}
	s.config.Logger.Info("TLS material loaded", "kind", string(w.kind), "name", w.name, "files", w.files, "not_after", expiry)
	if key := w.files[len(w.files)-1]; w.kind != kindBundle && readableByOthers(key) {
		s.config.Logger.Warn("a private key can be read by every user of this machine: make its mode 0600 or 0640", "file", key)
	}
	return nil
}

// readableByOthers says whether a file's mode lets everybody read it. On Windows modes say nothing.
func readableByOthers(path string) bool {
	const others = 0o004
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&others != 0
}

func readAll(files []string) ([][]byte, error) {
	var contents [][]byte
	var errs []error
	for _, file := range files {
		content, err := os.ReadFile(file)
		contents, errs = append(contents, content), append(errs, err)
	}
	return contents, errors.Join(errs...)
}

// fingerprint tells contents, and failures to read them, apart.
func fingerprint(contents [][]byte, err error) [sha256.Size]byte {
	h := sha256.New()
	for _, content := range contents {
		part := sha256.Sum256(content)
		h.Write(part[:])
	}
	if err != nil {
		h.Write([]byte(err.Error()))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
