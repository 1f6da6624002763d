package scim

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	mediaType       = "application/scim+json"
	pathPrefix      = "/scim/v2/"
	statusForbidden = http.StatusForbidden
	// maxBody bounds a request body in bytes, maxBulk that of a Bulk request.
	maxBody = 4 << 20
	maxBulk = 1 << 20
	// defaultBodyTimeout is how long a body may take to arrive.
	defaultBodyTimeout = 30 * time.Second
	// issuedElsewhere is how long a token may take to be known at every gate.
	issuedElsewhere = time.Second
)

// Server is the SCIM service provider, an [http.Handler] for /scim/v2/.
type Server struct {
	config      Config
	connections map[string]*connection
	metrics     *metrics
	buffers     buffers
	told        *rate.Limiter // requests for no connection in the log
}

// connection is what the server knows about one identity provider.
type connection struct {
	Connection
	normalizer

	directory *directory.Directory
	base      string // URL of the connection, without a trailing slash
	kinds     kinds
	clock     func() time.Time
	account   *account
	contact   contact
	since     time.Time // when the server started
	record    func(Written)

	surveyed atomic.Pointer[survey]
}

// New checks the configuration and returns a server.
func New(config Config) (*Server, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.BodyTimeout <= 0 {
		config.BodyTimeout = defaultBodyTimeout
	}
	const telling, burst = 10 * time.Second, 5
	s := &Server{
		config: config, connections: map[string]*connection{}, metrics: newMetrics(), told: rate.NewLimiter(rate.Every(telling), burst),
	}
	shared := newCommons()
	for _, c := range config.Connections {
		if c.Rate == 0 {
			c.Rate = defaultRate
		}
		if c.Burst == 0 {
			c.Burst = defaultBurst
		}
		s.metrics.begin(c.Name)
		var extensions []Schema
		for _, schema := range c.Extensions {
			extensions = append(extensions, schema.completed())
		}
		s.connections[c.Name] = &connection{
			Connection: c, normalizer: normalizer{strict: c.Strict, firstPrimary: c.Dialect == "ping"},
			since: config.Clock(), record: config.Record, directory: config.Directory, clock: config.Clock, kinds: newKinds(extensions),
			base:    strings.TrimSuffix(config.PublicURL.String(), "/") + pathPrefix + c.Name,
			account: shared.newAccount(&c, len(config.Connections), config.Clock),
		}
	}
	return s, nil
}

// Collectors returns the server's metrics and those of its directory.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.requests, s.metrics.errors, s.metrics.duration, newCensus(s)}
}

// call is a request after everything that is HTTP's.
type call struct {
	method      string
	path        []string // segments below the connection
	query       query
	body        map[string]any
	ifMatch     string
	ifNoneMatch string
}

// answer is what a call leads to.
type answer struct {
	status   int
	location string
	version  uint64
	body     any // nil for none
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, pathPrefix), "/")
	c := s.connections[name]
	if c == nil || !strings.HasPrefix(r.URL.Path, pathPrefix) {
		if strings.HasPrefix(r.URL.Path, "/scim/") && s.told.AllowN(s.config.Clock(), 1) { // a misspelt base URL shows nowhere else
			s.config.Logger.Info("scim request for a connection that there is not", "path", strings.ToValidUTF8(clip(redactPath(r.URL.Path)), "?"))
		}
		noEndpoint().write(w)
		return
	}
	started := s.config.Clock()
	q := request{method: r.Method, path: r.URL.Path[len(pathPrefix)+len(name):]}
	q.spent = c.account.spend(r.Context())
	defer q.spent.end()
	a, err := s.serve(c, w, r, &q)
	q.spent.rest() // a slow reader keeps nobody waiting
	if err != nil {
		e := s.report(c, &q, err)
		if e.Status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", allowed(segments(rest)))
		}
		e.write(w)
		s.metrics.observe(c.Name, r.Method, e.Status, e.Kind, s.config.Clock().Sub(started))
		return
	}
	if q.trusted {
		c.contact.succeeded()
	}
	if q.spent.written && !bulkRequest(segments(rest)) { // a Bulk request's first change does not wait for its last
		c.contact.inForce(s.config.Clock().Sub(started))
	}
	a.write(w, &s.buffers)
	s.metrics.observe(c.Name, r.Method, a.status, "", s.config.Clock().Sub(started))
}

// request is what is known of a request so far, for whoever reports on it.
type request struct {
	method, path string // path below the connection, beginning with a slash
	trusted      bool   // its token opens the connection
	spent        *spending
	query        query
	body         map[string]any
}

// serve is the order of checks: whose token, how often, what, then the work.
func (s *Server) serve(c *connection, w http.ResponseWriter, r *http.Request, q *request) (answer, error) {
	path := segments(strings.TrimPrefix(q.path, "/"))
	closed := s.open(r, c)
	q.trusted = closed == nil
	limiter := c.account.strangers
	if q.trusted {
		limiter = c.account.known
		c.contact.seen(s.config.Clock(), r)
	}
	if wait := delay(limiter, s.config.Clock()); wait > 0 {
		return answer{}, busy(wait, "too many requests")
	}
	if errors.Is(closed, errUnknownToken) && !discovery(path) {
		closed = s.openAgain(r, c)
		if q.trusted = closed == nil; q.trusted {
			c.contact.seen(s.config.Clock(), r)
		}
	}
	if !q.trusted && !discovery(path) {
		return answer{}, s.refuse(w, closed)
	}
	if discovery(path) && r.Method != http.MethodGet {
		return answer{}, pathOrMethod(true) // before anything is read for somebody who may be a stranger
	}
	if q.trusted { // strangers learn what is known beforehand, and take nobody's place
		if err := q.spent.admit(); err != nil {
			return answer{}, err
		}
	}
	return s.work(c, w, r, q)
}

// work reads the request and does what it says.
func (s *Server) work(c *connection, w http.ResponseWriter, r *http.Request, q *request) (answer, error) {
	path := segments(strings.TrimPrefix(q.path, "/"))
	var err error
	q.body, err = s.readBody(w, r, path, q.spent)
	if q.trusted {
		c.contact.recognised(detect(r.UserAgent(), r.URL.RawQuery, q.body))
	}
	if err != nil {
		return answer{}, err
	}
	if q.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return answer{}, err
	}
	if !discovery(path) {
		if err := s.settle(w, r, c, q); err != nil {
			return answer{}, err
		}
	}
	q.query.spent = q.spent
	return c.handle(r.Context(), call{
		method: r.Method, path: path, query: q.query, body: q.body,
		ifMatch: strings.Join(r.Header.Values("If-Match"), ","), ifNoneMatch: strings.Join(r.Header.Values("If-None-Match"), ","),
	})
}

// settle makes the directory current, so that what another gate has acknowledged
// a moment ago is there for this one too: also that the token has been revoked,
// which may have happened here as well while the body came.
func (s *Server) settle(w http.ResponseWriter, r *http.Request, c *connection, q *request) error {
	if err := c.directory.Barrier(r.Context()); err != nil {
		return err //nolint:wrapcheck // explained as the directory's other errors are
	}
	if q.trusted = s.stillOpen(r, c); !q.trusted {
		return s.refuse(w, errUnknownToken)
	}
	return nil
}

// openAgain looks at a token once more that another gate may have just issued.
func (s *Server) openAgain(r *http.Request, c *connection) error {
	ctx, cancel := context.WithTimeout(r.Context(), issuedElsewhere)
	defer cancel()
	if _, token := presented(r); token == "" || !c.directory.Await(ctx) {
		return errUnknownToken
	}
	return s.open(r, c)
}

// report translates an error, notes it for the operator and answers 401, 429
// and the rest alike. What strangers send is counted and not kept: they must not
// push a provider's failures out of sight.
func (s *Server) report(c *connection, q *request, err error) *Error {
	e := explain(err)
	if e.Status == http.StatusServiceUnavailable && !errors.Is(err, context.Canceled) {
		s.config.Logger.Error("scim request failed", "connection", c.Name, "method", q.method, "error", err)
	}
	switch {
	case q.trusted:
		c.refused(*q, e)
	case e.Status == http.StatusUnauthorized:
		c.contact.unknown(s.config.Clock())
	}
	return e
}

// refused notes a refused request.
func (c *connection) refused(q request, e *Error) {
	f := Failure{
		Time: c.clock(), Method: knownMethod(q.method), Path: strings.ToValidUTF8(clip(redactPath(q.path)), "?"),
		Status: e.Status, Kind: e.Kind, Detail: e.Detail, Shape: shapeOf(q), Fix: advice(e),
	}
	c.contact.failed(f, e.unknownMember)
}

// allowed lists the methods of a path, for a 405 (RFC 9110 §15.5.6).
func allowed(path []string) string {
	switch {
	case discovery(path):
		return http.MethodGet
	case path[len(path)-1] == ".search", path[0] == "Bulk":
		return http.MethodPost
	case len(path) == 1:
		return http.MethodGet + ", " + http.MethodPost
	default:
		return strings.Join([]string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete}, ", ")
	}
}

// segments splits a path; a trailing slash means nothing.
func segments(path string) []string {
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// discovery reports whether a path may be read without a token.
func discovery(path []string) bool {
	if len(path) == 0 {
		return false
	}
	switch path[0] {
	case "ServiceProviderConfig", referenceConfig, "ResourceTypes", "Schemas":
		return true
	default:
		return false
	}
}

// acceptable reports whether a content type is SCIM's or plain JSON.
func acceptable(contentType string) bool {
	if contentType == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == mediaType || kind == "application/json")
}

// write sends the answer.
func (a answer) write(w http.ResponseWriter, b *buffers) {
	h := w.Header()
	if a.location != "" {
		if a.status == http.StatusCreated {
			h.Set("Location", a.location)
		}
		h.Set("Content-Location", a.location)
	}
	if a.version != 0 {
		h.Set("ETag", etag(a.version))
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	err := b.encode(a.body, func(body []byte) error {
		h.Set("Content-Type", mediaType)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(a.status)
		_, err := w.Write(body) // a client that went away needs no answer
		return err              //nolint:wrapcheck // it is no more than a sign
	})
	if err != nil {
		(&Error{Status: http.StatusInternalServerError, Detail: "answer can't be encoded"}).write(w)
	}
}
