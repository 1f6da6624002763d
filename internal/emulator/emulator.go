package emulator

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/query"
)

// CosmosAudience is the audience every Entra token for the data plane carries.
const CosmosAudience = "https://cosmos.azure.com"

// WellKnownKey is the account key every Cosmos emulator has always used; it protects nothing.
const WellKnownKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="

// Location is one region of the account, as published in the account document.
type Location struct {
	// Name is the region's name, such as "South Central US".
	Name string
	// Endpoint is the region's URL. Empty publishes the host name the request arrived on.
	Endpoint string
}

// Config says what the account is and whom it believes. The zero value is refused by New.
type Config struct {
	// Account is the account's name, published as the id of the account document and used in
	// the text of native authorization errors. Required.
	Account string
	// Locations are the published regions; the first is the write region. Required.
	Locations []Location
	// Consistency is the account's default consistency level; empty means "Session".
	Consistency string
	// MasterKey is the account key in base64; empty refuses every type=master signature.
	MasterKey string
	// Issuer is the only token issuer accepted; empty refuses every signed type=aad token.
	Issuer string
	// Audience is the only token audience accepted; empty means CosmosAudience.
	Audience string
	// Keys finds the issuer's signing keys. Required when Issuer is set.
	Keys KeySource
	// AllowUnsignedTokens accepts any well-formed type=aad token without looking at its
	// signature, issuer or audience, and lets it do whatever a data contributor may. It exists
	// for SDK test suites, which forge their tokens.
	AllowUnsignedTokens bool
	// RoutingGateway adds the service's habit of refusing key signatures over some item ids, with
	// 401 for / \ # % and a blank at the end and 400 for control characters.
	RoutingGateway bool
	// Clock tells the time for _ts, token expiry and the master-key date window. Required.
	Clock func() time.Time
	// Random feeds activity ids, ETags and resource ids. A seeded reader makes them repeatable. Required.
	Random io.Reader
}

// Emulator is one in-process Cosmos account. It is an http.Handler; the caller puts TLS on it.
// All methods may be called at any time from any goroutine.
type Emulator struct {
	config   Config
	key      []byte
	random   lockedReader
	store    *store
	language *query.Language
	access   accessControl
	faults   faultQueue
	recorder recorder
	jump     atomic.Int64 // what the clock was moved by
}

// New returns an empty account, or an error that names every fault of the configuration.
func New(config Config) (*Emulator, error) {
	var faults []error
	if config.Account == "" {
		faults = append(faults, errors.New("account: missing"))
	}
	if len(config.Locations) == 0 {
		faults = append(faults, errors.New("locations: at least one is needed"))
	}
	for i, location := range config.Locations {
		if location.Name == "" {
			faults = append(faults, fmt.Errorf("locations[%d].name: missing", i))
		}
		if _, err := url.Parse(location.Endpoint); err != nil {
			faults = append(faults, fmt.Errorf("locations[%d].endpoint: %w", i, err))
		}
	}
	key, err := decodeKey(config.MasterKey)
	if err != nil {
		faults = append(faults, fmt.Errorf("master key: %w", err))
	}
	if config.Issuer != "" && config.Keys == nil {
		faults = append(faults, errors.New("keys: missing, an issuer needs them"))
	}
	if config.Clock == nil {
		faults = append(faults, errors.New("clock: missing"))
	}
	if config.Random == nil {
		faults = append(faults, errors.New("random: missing"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("configuring the stand-in: %w", err)
	}
	if config.Consistency == "" {
		config.Consistency = "Session"
	}
	if config.Audience == "" {
		config.Audience = CosmosAudience
	}
	e := &Emulator{config: config, key: key, random: lockedReader{source: config.Random}}
	e.store = newStore(e.clock, &e.random)
	e.access.roles = builtInRoles()
	e.language = query.New(e.clock)
	return e, nil
}

// lockedReader makes one source of randomness safe for concurrent requests.
type lockedReader struct {
	mu     sync.Mutex
	source io.Reader
}

// Read fills p from the source, one caller at a time.
func (r *lockedReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := io.ReadFull(r.source, p)
	if err != nil {
		return n, fmt.Errorf("reading randomness: %w", err)
	}
	return n, nil
}
