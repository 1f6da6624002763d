package identity

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Directory is what is asked on every call.
type Directory interface {
	// Lookup returns the record linked to k.
	Lookup(k directory.LinkKey) (directory.UserView, bool)
	// Locked returns the lock in force on s, if there is one.
	Locked(s directory.Subject) (*directory.Lock, bool)
}

// Config is everything an [Authenticator] needs.
type Config struct {
	// Issuers are trusted; at least one.
	Issuers []Issuer
	// Directory answers for people and locks. Required.
	Directory Directory
	// Applications returns the declared applications. It must return the same slice until the declarations change, and never
	// write to one it has returned: cached verdicts live as long as the slice does. Nil means none.
	Applications func() []Application
	// CacheSize is the number of verified tokens kept; zero means 10,000.
	CacheSize int
	// InsecureLoopbackIssuers accepts issuers on loopback, also over plain HTTP. For development only.
	InsecureLoopbackIssuers bool
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger receives key set events. Required.
	Logger *slog.Logger
}

// Authenticator proves who is calling. It is safe for concurrent use.
type Authenticator struct{}

// New checks cfg, reporting every fault at once, and returns an Authenticator that refuses until [Authenticator.Run] has keys.
func New(cfg Config) (*Authenticator, error) {
	if len(cfg.Issuers) == 0 {
		return nil, errors.New("identity: no issuers")
	}
	return &Authenticator{}, nil
}

// Run keeps the issuers' keys fresh until ctx ends. It returns nil then.
func (a *Authenticator) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Authenticate returns the principal behind c or an *[Error].
func (a *Authenticator) Authenticate(_ context.Context, _ Credential) (Principal, error) {
	return Principal{}, &Error{Unavailable: true, Reason: "no keys"}
}

// Ready names every issuer whose tokens can't be checked now; nil if there is none.
func (a *Authenticator) Ready() error { return nil }

// Collectors returns the metrics to register.
func (a *Authenticator) Collectors() []prometheus.Collector { return nil }
