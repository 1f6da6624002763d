package journal

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Config says where a journal is and what it may use.
type Config struct {
	// Endpoint is the account's URL. Required, as are Database and Container.
	Endpoint, Database, Container string
	// Credential is the gate's own identity. Required.
	Credential azcore.TokenCredential
	// Audience is what tokens are asked for; empty means the public cloud's.
	Audience string
	// Transport carries the requests. Required; it must bound a whole exchange.
	Transport policy.Transporter
	// Name tells operators which gate holds the lease. Required.
	Name string
	// Spool is a folder for snapshots on their way out. Required.
	Spool string
	// Retention is how long what a snapshot replaces can still be read; zero
	// means a day. A gate that was away for longer loads the snapshot.
	Retention time.Duration
	// SnapshotBytes is how much log there must be for a first snapshot; zero means
	// 4 MiB. Later ones wait until the log has grown by the size of the state.
	SnapshotBytes int64
	// SnapshotCommits is the number of commits at which a snapshot is due, however
	// small they are; zero means 5,000.
	SnapshotCommits int64
	// Clock tells the time, Random makes names. Required.
	Clock  func() time.Time
	Random io.Reader
	// Logger receives what an operator should know. Required.
	Logger *slog.Logger
}

const (
	// DefaultAudience is the public cloud's data plane.
	DefaultAudience = "https://cosmos.azure.com"

	defaultRetention       = 24 * time.Hour
	defaultSnapshotBytes   = 4 << 20
	defaultSnapshotCommits = 5000
	// questionTimeout bounds one request of the log itself, chunkTimeout one of
	// a snapshot.
	questionTimeout = 3 * time.Second
	chunkTimeout    = 60 * time.Second
)

var errConfig = errors.New("invalid journal configuration")

// Journal is a [directory.Shared] in a Cosmos DB container.
type Journal struct {
	config    Config
	client    *azcosmos.Client
	container *azcosmos.ContainerClient
	account   *accountWatch
	meter     *meter
	metrics   *metrics
	origin    string

	mu sync.Mutex
	// pending is the commit that Append is about.
	pending *pending
	// ahead are commits that were read before they were asked for, by the version
	// before them; streak is how many questions in a row found something.
	ahead  map[uint64]*commit
	streak int
	// begun is what was read of the commit that comes next, if it has parts.
	begun begun
	// checked is when it was last proven that the head is what the ids say;
	// backward counts observations of the contrary.
	checked  time.Time
	backward int
}

var _ directory.Shared = (*Journal)(nil)

func (c *Config) validate() error {
	var faults []error
	for name, given := range map[string]bool{
		"Endpoint": c.Endpoint != "", "Database": c.Database != "", "Container": c.Container != "",
		"Credential": c.Credential != nil, "Transport": c.Transport != nil, "Name": c.Name != "", "Spool": c.Spool != "",
		"Clock": c.Clock != nil, "Random": c.Random != nil, "Logger": c.Logger != nil,
	} {
		if !given {
			faults = append(faults, fmt.Errorf("%w: %s is required", errConfig, name))
		}
	}
	return errors.Join(faults...)
}

func (c *Config) setDefaults() {
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	if c.Retention <= 0 {
		c.Retention = defaultRetention
	}
	if c.SnapshotBytes <= 0 {
		c.SnapshotBytes = defaultSnapshotBytes
	}
	if c.SnapshotCommits <= 0 {
		c.SnapshotCommits = defaultSnapshotCommits
	}
}

// Open finds the journal in its container, or begins one in an empty container.
// It refuses an account with several write regions, where two gates could win
// one place, and a container that would let documents expire by itself.
func Open(ctx context.Context, config Config) (*Journal, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	config.setDefaults()
	j := &Journal{config: config, account: newAccountWatch(config.Logger), metrics: newMetrics(), ahead: map[uint64]*commit{}}
	j.meter = &meter{metrics: j.metrics, clock: config.Clock, logger: config.Logger}
	options := &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{
		Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			azcosmos.ServiceName: {Audience: config.Audience},
		}},
		Transport:       config.Transport,
		Retry:           policy.RetryOptions{MaxRetries: -1}, // what is retried, and when, is decided here
		PerCallPolicies: []policy.Policy{j.account}, PerRetryPolicies: []policy.Policy{blunt{}, j.meter},
	}}
	var err error
	if j.client, err = azcosmos.NewClient(config.Endpoint, config.Credential, options); err != nil {
		return nil, fmt.Errorf("preparing the journal's client: %w", err)
	}
	if j.container, err = j.client.NewContainer(config.Database, config.Container); err != nil {
		return nil, fmt.Errorf("preparing the journal's client: %w", err)
	}
	if err := j.begin(ctx); err != nil {
		j.client.Close()
		return nil, fmt.Errorf("opening the journal in %s/%s: %w", config.Database, config.Container, err)
	}
	return j, nil
}

// begin checks account and container and finds or makes the head.
func (j *Journal) begin(ctx context.Context) error {
	if err := j.patiently(ctx, func() error { return j.checkContainer(ctx) }); err != nil {
		return err
	}
	if err := j.account.fault(); err != nil {
		return err
	}
	origin, err := j.random()
	if err != nil {
		return err
	}
	first := head{ID: idHead, Partition: partition, Format: formatVersion, Origin: origin}
	if err := j.patiently(ctx, func() error { return j.create(ctx, partition, first) }); err != nil {
		return fmt.Errorf("beginning the log: %w", err)
	}
	return j.patiently(ctx, func() error {
		h, err := j.readHead(ctx)
		j.origin = h.Origin
		return err
	})
}

func (j *Journal) checkContainer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	found, err := j.container.Read(ctx, nil)
	if err != nil {
		return fmt.Errorf("reading the container: %w", err)
	}
	p := found.ContainerProperties
	var faults []error
	if paths := p.PartitionKeyDefinition.Paths; len(paths) != 1 || paths[0] != "/pk" {
		faults = append(faults, fmt.Errorf("%w: the container's partition key is %v, not /pk", errConfig, paths))
	}
	if p.DefaultTimeToLive == nil || *p.DefaultTimeToLive != -1 {
		faults = append(faults, fmt.Errorf("%w: the container's default time to live must be -1 (on, no default)", errConfig))
	}
	if p.UniqueKeyPolicy != nil && len(p.UniqueKeyPolicy.UniqueKeys) > 0 {
		faults = append(faults, fmt.Errorf("%w: the container has unique keys", errConfig))
	}
	return errors.Join(faults...)
}

// Origin implements [directory.Shared].
func (j *Journal) Origin() string { return j.origin }

// Close implements [directory.Shared].
func (j *Journal) Close() error {
	j.client.Close()
	return nil
}

// Collectors returns the journal's metrics.
func (j *Journal) Collectors() []prometheus.Collector { return j.metrics.collectors() }

// random makes a name that nobody else makes.
func (j *Journal) random() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(j.config.Random, b[:]); err != nil {
		return "", fmt.Errorf("drawing a name: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// readHead reads where the log ends.
func (j *Journal) readHead(ctx context.Context) (head, error) {
	var h head
	if _, err := j.read(ctx, partition, idHead, &h); err != nil {
		return h, fmt.Errorf("reading the head of the log: %w", err)
	}
	if h.Format != formatVersion {
		return h, fmt.Errorf("%w: the log has format %d, this gate knows %d", errConfig, h.Format, formatVersion)
	}
	return h, nil
}

// read reads one document and returns its ETag.
func (j *Journal) read(ctx context.Context, pk, id string, into any) (azcore.ETag, error) {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	answer, err := j.container.ReadItem(ctx, azcosmos.NewPartitionKeyString(pk), id, nil)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", id, err)
	}
	if err := json.Unmarshal(answer.Value, into); err != nil {
		return "", fmt.Errorf("%w: document %s: %w", directory.ErrCorrupt, id, err)
	}
	return answer.ETag, nil
}

// create writes one document that must not be there.
func (j *Journal) create(ctx context.Context, pk string, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encoding a document: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	if _, err := j.container.CreateItem(ctx, azcosmos.NewPartitionKeyString(pk), body, nil); err != nil {
		return fmt.Errorf("creating a document: %w", err)
	}
	return nil
}

// refusedError is the status of an operation that failed within a batch.
type refusedError int

// Error implements error.
func (e refusedError) Error() string { return "operation failed with status " + strconv.Itoa(int(e)) }

// blunt hides what kind of fault a request ended with where the client would
// repeat it by itself, after a pause of a second: whether and when to ask again
// is for the one who asked, who may have learned the answer in another way
// meanwhile.
type blunt struct{}

// Do implements policy.Policy.
func (blunt) Do(request *policy.Request) (*http.Response, error) {
	answer, err := request.Next()
	switch {
	case err != nil && request.Raw().Context().Err() == nil:
		return answer, errors.New(err.Error())
	case err == nil && answer.StatusCode == http.StatusRequestTimeout:
		runtime.Drain(answer)
		return nil, refusedError(answer.StatusCode)
	default:
		return answer, err //nolint:wrapcheck // the pipeline's own
	}
}

// status is the HTTP status of a failed request, zero if there was no answer.
func status(err error) int {
	if refused, ok := errors.AsType[refusedError](err); ok {
		return int(refused)
	}
	if refusal, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return refusal.StatusCode
	}
	return 0
}

// absent reports whether a document is not there. A container that is not
// there, or a replica that knows too little, answers 404 as well, and says so
// in the substatus.
func absent(err error) bool {
	refusal, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok || refusal.StatusCode != http.StatusNotFound || refusal.RawResponse == nil {
		return false
	}
	substatus := refusal.RawResponse.Header.Get("x-ms-substatus")
	return substatus == "" || substatus == "0"
}
