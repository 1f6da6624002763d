package feeds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

// Kind is a protocol.
type Kind string

// The kinds of feed.
const (
	// GlobalRevocation is Global Token Revocation: a request with a signed JWT as its credential.
	GlobalRevocation Kind = "global_revocation"
	// Events is a Shared Signals stream that pushes security event tokens (RFC 8935).
	Events Kind = "events"
	// BackchannelLogout is OpenID Connect Back-Channel Logout 1.0.
	BackchannelLogout Kind = "backchannel_logout"
)

// The paths of the intake.
const (
	GlobalRevocationPath  = "/oauth2/global-revoke"
	EventsPath            = "/oauth2/events"
	BackchannelLogoutPath = "/oauth2/backchannel-logout"
)

// Issuer is an issuer whose people and sessions a feed is about.
type Issuer struct {
	// URL is its iss, Connection the SCIM connection of its people; empty if it has none.
	URL, Connection string
}

// Feed is one provider that may revoke.
type Feed struct {
	// Name is what records and metrics call it.
	Name string
	// Kind is the protocol.
	Kind Kind
	// Transmitter is the iss of its messages: one of the authenticator's transmitters.
	Transmitter string
	// Audiences are the values of aud that mean this gate: the endpoint's URL, or for back-channel logout the client ids.
	Audiences []string
	// Issuers are those whose people it is about: one, or Entra's v1 and v2 of one tenant.
	Issuers []Issuer
	// SubjectIssuers are further values of iss in subjects that mean Issuers.
	SubjectIssuers []string
	// SessionOnly says that the issuer's access tokens carry sid, so that revoking a session needs no more than that.
	SessionOnly bool
}

// Record is what happened to one message.
type Record struct {
	Time     time.Time
	Feed     string // empty if nobody known sent it
	Kind     Kind
	Issuer   string // of the message, as it says
	ID       string // its jti, once it is proven
	Source   string
	Method   string
	Revoked  []string // what was withdrawn
	Status   int
	Reason   string // machine-readable, empty if all went well
	Detail   string
	BytesIn  int64
	Duration time.Duration
}

// Config is everything that an [Intake] needs. All is required but Feeds.
type Config struct {
	Feeds []Feed
	// Messages proves messages; an [*identity.Authenticator] does.
	Messages interface {
		Message(ctx context.Context, raw string, want identity.Expected) (identity.Message, error)
	}
	// Revoke withdraws, Spend uses up ids, ByEmail finds people.
	Revoke  func(ctx context.Context, v identity.Revocation) error
	Spend   func(ctx context.Context, use identity.Use, issuer, id string, until time.Time) error
	ByEmail func(connection, address string) []directory.User
	// Reserve makes room for a record before anything is done.
	Reserve func() (commit func(Record), err error)
	Clock   func() time.Time
	Logger  *slog.Logger
}

var (
	errConfig   = errors.New("feeds: messages, revoke, spend, by email, reserve, clock and logger are required")
	errFeed     = errors.New("name, transmitter, audiences and issuers are required")
	errFeedKind = errors.New("kind is not one of global_revocation, events, backchannel_logout")
	errTwice    = errors.New("another feed of this kind has the same transmitter")
)

// Intake is the HTTP handler of all feeds.
type Intake struct {
	cfg      Config
	messages *prometheus.CounterVec
}

// New checks cfg, reporting every fault at once.
func New(cfg Config) (*Intake, error) {
	if cfg.Messages == nil || cfg.Revoke == nil || cfg.Spend == nil || cfg.ByEmail == nil || cfg.Reserve == nil || cfg.Clock == nil ||
		cfg.Logger == nil {
		return nil, errConfig
	}

	var faults []error

	for i, feed := range cfg.Feeds {
		if err := feed.validate(cfg.Feeds[:i]); err != nil {
			faults = append(faults, fmt.Errorf("feed %q: %w", feed.Name, err))
		}
	}

	if err := errors.Join(faults...); err != nil {
		return nil, err
	}

	in := &Intake{cfg: cfg, messages: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cosmosgate_feed_messages_total",
		Help: "Messages of revocation feeds, by feed (empty: nobody known) and result: revoked, ignored, refused or failed.",
	}, []string{"feed", "result"})}

	// A counter that appears with its first message has nothing to increase from.
	for _, feed := range cfg.Feeds {
		for _, result := range []string{resultRevoked, resultIgnored, resultRefused, resultFailed} {
			in.messages.WithLabelValues(feed.Name, result)
		}
	}

	return in, nil
}

// The results of a message, as its metric names them.
const (
	resultRevoked = "revoked"
	resultIgnored = "ignored"
	resultRefused = "refused"
	resultFailed  = "failed"
)

func (f *Feed) validate(earlier []Feed) error {
	var faults []error

	if f.Name == "" || f.Transmitter == "" || len(f.Audiences) == 0 || len(f.Issuers) == 0 {
		faults = append(faults, errFeed)
	}

	if f.Kind != GlobalRevocation && f.Kind != Events && f.Kind != BackchannelLogout {
		faults = append(faults, errFeedKind)
	}

	if slices.ContainsFunc(earlier, func(o Feed) bool { return o.Kind == f.Kind && o.Transmitter == f.Transmitter }) {
		faults = append(faults, errTwice)
	}

	return errors.Join(faults...)
}

// Collectors returns the metrics to register.
func (in *Intake) Collectors() []prometheus.Collector { return []prometheus.Collector{in.messages} }

// maxBody bounds a message.
const maxBody = 64 << 10

// exchange is one request on its way.
type exchange struct {
	intake *Intake
	w      http.ResponseWriter
	r      *http.Request
	body   []byte
	feed   *Feed
	record Record
}

// reply is what the provider is told.
type reply struct {
	status int
	// body is sent as JSON; nil for none.
	body map[string]string
	// reason and detail are for the record.
	reason, detail string
	// ignored says that the message was good and there was nothing to do.
	ignored bool
}

// protocol is how one kind is spoken.
type protocol struct {
	kind   Kind
	media  string
	handle func(*exchange, context.Context) reply
	refuse func(status int, code, description string) reply
}

func protocolOf(path string) (protocol, bool) {
	switch path {
	case GlobalRevocationPath:
		return protocol{GlobalRevocation, "application/json", (*exchange).globalRevocation, plainRefusal}, true
	case EventsPath:
		return protocol{Events, "application/secevent+jwt", (*exchange).event, eventRefusal}, true
	case BackchannelLogoutPath:
		return protocol{BackchannelLogout, "application/x-www-form-urlencoded", (*exchange).logout, plainRefusal}, true
	default:
		return protocol{}, false
	}
}

// Serves reports whether a path is one of the intake's.
func Serves(path string) bool {
	_, ok := protocolOf(path)

	return ok
}

// ServeHTTP takes one message. Nothing is done that can't be recorded.
func (in *Intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, known := protocolOf(r.URL.Path)
	if !known {
		http.NotFound(w, r)

		return
	}

	begun := in.cfg.Clock()
	x := &exchange{intake: in, w: w, r: r, record: Record{Time: begun, Kind: p.kind, Method: r.Method}}

	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		x.record.Source = host
	}

	commit, err := in.cfg.Reserve()
	if err != nil {
		in.cfg.Logger.ErrorContext(r.Context(), "message of a feed not taken: it can't be recorded", "error", err)
		x.send(p.refuse(http.StatusServiceUnavailable, "unavailable", "try again later"))

		return
	}

	answer := x.take(p)
	x.record.Status, x.record.Reason, x.record.Detail = answer.status, answer.reason, answer.detail
	x.record.BytesIn, x.record.Duration = int64(len(x.body)), in.cfg.Clock().Sub(begun)
	commit(x.record) // before the provider is told, so that what it was told is recorded
	in.count(x, answer)
	x.send(answer)
}

// take reads the request and hands it to its protocol.
func (x *exchange) take(p protocol) reply {
	if x.r.Method != http.MethodPost {
		x.w.Header().Set("Allow", http.MethodPost)

		return p.refuse(http.StatusMethodNotAllowed, "invalid_request", "use POST")
	}

	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || media != p.media {
		return p.refuse(http.StatusUnsupportedMediaType, "invalid_request", "send "+p.media)
	}

	x.body, err = io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		return p.refuse(http.StatusBadRequest, "invalid_request", "the body can't be read, or is larger than 64 KB")
	}

	return p.handle(x, x.r.Context())
}

// choose finds the feed that may have sent a message.
func (x *exchange) choose(raw string) bool {
	x.record.Issuer = identity.MessageIssuer(raw)

	for i := range x.intake.cfg.Feeds {
		feed := &x.intake.cfg.Feeds[i]
		if feed.Kind == x.record.Kind && feed.Transmitter == x.record.Issuer {
			x.feed, x.record.Feed = feed, feed.Name

			return true
		}
	}

	x.record.Issuer = "" // nobody's word is worth a line

	return false
}

// revoke withdraws all targets. What was withdrawn is noted even if the next one fails.
func (x *exchange) revoke(ctx context.Context, targets []identity.Revocation) error {
	for _, target := range targets {
		if err := x.intake.cfg.Revoke(ctx, target); err != nil {
			return fmt.Errorf("revoking %s %s: %w", target.Kind, target.Name, err)
		}

		x.record.Revoked = append(x.record.Revoked, target.Kind.String()+" "+target.Name)
	}

	return nil
}

func (in *Intake) count(x *exchange, answer reply) {
	result := resultRefused

	switch {
	case answer.status >= http.StatusInternalServerError:
		result = resultFailed
	case answer.ignored:
		result = resultIgnored
	case answer.status < http.StatusBadRequest:
		result = resultRevoked
	}

	in.messages.WithLabelValues(x.record.Feed, result).Inc()
}
