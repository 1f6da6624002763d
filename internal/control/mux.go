package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	prefix      = "/v1/"
	maxBody     = 1 << 20
	maxName     = 64
	errorHeader = "Control-Error" // a trailer: a stream has begun before it can fail
)

// Act is what is recorded about one request.
type Act struct {
	ID       string
	Time     time.Time
	Duration time.Duration
	Name     string // what was asked for, as "scim.token.create"
	Target   string // on what, as the handler said
	Peer     Peer
	Err      *Error // nil if it was done
	Settles  string // ID of an act whose outcome was open, and is told by this one
	In, Out  int64  // bytes of the bodies
}

// Config is what a Mux needs. Every field is required.
type Config struct {
	// Reserve promises room for the record of one act, and returns what writes it.
	Reserve func() (commit func(Act), err error)
	// Now tells the time.
	Now func() time.Time
	// NewID names acts.
	NewID func() string
}

var errIncomplete = errors.New("control: reserve, clock and ids are required")

// Mux holds the acts that operators can ask for. Register them with [Handle] and [HandleStream] before serving.
type Mux struct {
	config Config
	acts   map[string]actFunc
}

// actFunc does one act; answer says how to write what came of it.
type actFunc func(ctx context.Context, c *Call, body io.Reader, w http.ResponseWriter) error

// NewMux returns a mux without acts.
func NewMux(c Config) (*Mux, error) {
	if c.Reserve == nil || c.Now == nil || c.NewID == nil {
		return nil, errIncomplete
	}
	return &Mux{config: c, acts: map[string]actFunc{}}, nil
}

// Call is one request in progress.
type Call struct {
	// Peer is who asks.
	Peer Peer
	// Params are what a stream is told beside its body.
	Params url.Values
	target string
}

// Target says for the record what the act is done on, such as the id of a person. Call it as soon as it is known.
func (c *Call) Target(format string, args ...any) { c.target = fmt.Sprintf(format, args...) }

// Handle registers an act that takes and gives JSON. A member of the request that In does not have is an error.
func Handle[In, Out any](m *Mux, name string, act func(ctx context.Context, c *Call, in In) (Out, error)) {
	m.acts[name] = func(ctx context.Context, c *Call, body io.Reader, w http.ResponseWriter) error {
		var in In
		if err := decode(body, &in); err != nil {
			return err
		}
		out, err := act(ctx, c, in)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(out); err != nil {
			return fmt.Errorf("encoding the answer: %w", err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = text.WriteTo(w) // the act is done, whether or not the operator still listens
		return nil
	}
}

// HandleStream registers an act that reads and writes as much as it likes. What it has written stays written if it fails.
func HandleStream(m *Mux, name string, act func(ctx context.Context, c *Call, r io.Reader, w io.Writer) error) {
	m.acts[name] = func(ctx context.Context, c *Call, body io.Reader, w http.ResponseWriter) error {
		return act(ctx, c, body, w)
	}
}

func decode(body io.Reader, in any) error {
	text, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return Invalid("reading the request: "+err.Error(), "")
	}
	if len(text) > maxBody {
		return Invalid("the request is larger than 1 MiB", "")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		return Invalid("reading the request: "+err.Error(), "use the same version of cosmosgate as the gate")
	}
	return nil
}

// ServeHTTP does one act and records it. The record is reserved first: what cannot be recorded is not done.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _ := strings.CutPrefix(r.URL.Path, prefix)
	act := Act{ID: m.config.NewID(), Time: m.config.Now(), Name: name[:min(len(name), maxName)], Peer: parsePeer(r.RemoteAddr)}
	commit, err := m.config.Reserve()
	if err != nil {
		refuse(w, asError(Unavailable("the act cannot be recorded, so it is not done: "+err.Error(), "make room for the audit log; see the gate's log")))
		return
	}
	in, out := &countingReader{r: r.Body}, &countingWriter{ResponseWriter: w}
	c := &Call{Peer: act.Peer, Params: r.URL.Query()}
	failed := asError(errUnfinished)
	var open Undecided
	defer func() { // also when a handler panics
		act.Err, act.Target, act.In, act.Out = failed, c.target, in.n, out.n
		act.Duration = m.config.Now().Sub(act.Time)
		commit(act)
		if open != nil {
			left := Act{Name: act.Name, Target: act.Target, Peer: act.Peer, Settles: act.ID}
			open.OnSettled(func(done bool) { m.settled(left, done) })
		}
	}()
	err = m.serve(r, c, in, out)
	if err == nil {
		failed = nil
		return
	}
	failed = asError(err)
	open, _ = errors.AsType[Undecided](err)
	refuse(out, failed)
}

// settled records what came of an act whose outcome was open. If that cannot be recorded, its first record still says that it is not known.
func (m *Mux) settled(act Act, done bool) {
	commit, err := m.config.Reserve()
	if err != nil {
		return
	}
	act.ID, act.Time = m.config.NewID(), m.config.Now()
	if !done {
		act.Err = &Error{Status: http.StatusServiceUnavailable, Reason: ReasonNoEffect, Message: "it was not done"}
	}
	commit(act)
}

var errUnfinished = errors.New("the act did not end")

func (m *Mux) serve(r *http.Request, c *Call, body io.Reader, w http.ResponseWriter) error {
	act, ok := m.acts[strings.TrimPrefix(r.URL.Path, prefix)]
	switch {
	case !c.Peer.permitted():
		return &Error{Status: http.StatusForbidden, Reason: "not_permitted", Message: "only the gate's own user and root may do this"}
	case !ok || !strings.HasPrefix(r.URL.Path, prefix):
		return NotFound("this gate does not know "+r.URL.Path, "use the same version of cosmosgate as the gate; some acts exist only if the configuration asks for them")
	case r.Method != http.MethodPost:
		return Invalid("acts are asked for with POST", "")
	}
	// An operator who goes away ends the act only by what is not sent any more: one that has begun is done whole, and recorded as done.
	return act(context.WithoutCancel(r.Context()), c, body, w)
}

// refuse tells why an act was not done: as the answer, or behind what has been answered already.
func refuse(w http.ResponseWriter, e *Error) {
	text, err := json.Marshal(e)
	if err != nil {
		text = []byte(`{"status":500,"reason":"internal","message":"the error cannot be told"}`)
	}
	if c, ok := w.(*countingWriter); ok && c.n > 0 {
		w.Header().Set(http.TrailerPrefix+errorHeader, string(text))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(text) // the operator may have gone
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // a reader passes errors through
}

type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // a writer passes errors through
}
