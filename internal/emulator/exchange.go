package emulator

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
	"github.com/cosmosgate/cosmosgate/internal/emulator/query"
)

// exchange is one request on its way through the stand-in.
type exchange struct {
	emulator *Emulator
	request  *http.Request
	address  address
	body     []byte
	activity string
	// principal is the oid of a token or masterPrincipal; master and forged say how it signed in.
	principal      string
	master, forged bool
	// names of what the request addresses, also when it does so by resource id.
	database, container string
}

// bodyMargin is what a body may have beyond maxItem before reading stops: the wrapping of a batch
// or a patch.
const bodyMargin = 256 << 10

// ServeHTTP answers one data-plane request as the service would, unless a fault is due.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{emulator: e, request: r, activity: r.Header.Get(headerActivity)}
	if x.activity == "" {
		x.activity = e.newActivity()
	}
	started := e.clock()
	due, faulty := e.faults.take(r)
	if due.Hang {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices that a client gives up once it has read the body
	}
	if faulty && !due.wait(r.Context()) {
		e.recorder.add(x.recorded(started, &response{}))
		panic(http.ErrAbortHandler)
	}
	answer := x.answer(due)
	e.recorder.add(x.recorded(started, answer))
	w.Header().Set("Date", started.UTC().Format(http.TimeFormat)) // by this clock, not by the server's
	answer.compress(r.Header.Get("Accept-Encoding"))
	answer.send(w, x.activity, due.ResetAfter)
	if due.ResetAfter > 0 {
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

// newActivity makes a random id in the form of a UUID.
func (e *Emulator) newActivity() string {
	var raw [16]byte
	if _, err := e.random.Read(raw[:]); err != nil {
		raw = [16]byte{}
	}
	const version, variant = 0x40, 0x80
	raw[6] = raw[6]&0x0F | version
	raw[8] = raw[8]&0x3F | variant
	text := hex.EncodeToString(raw[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// read takes the body; it reports whether it was of a tolerable size and arrived whole.
func (x *exchange) read() error {
	body, err := io.ReadAll(io.LimitReader(x.request.Body, maxItem+bodyMargin+1))
	x.body = body
	if err != nil {
		return badRequest("The request body could not be read.")
	}
	if len(body) > maxItem+bodyMargin {
		return tooLarge()
	}
	return nil
}

// answer runs the stages in the order of the service: read, address, authenticate, do.
func (x *exchange) answer(due Fault) *response {
	answer, err := x.stages(due)
	if err == nil {
		return answer
	}
	var native *failure
	if !errors.As(err, &native) {
		native = refuse(http.StatusInternalServerError, "%s", err)
	}
	return native.response(x.activity)
}

func (x *exchange) stages(due Fault) (*response, error) {
	if err := x.read(); err != nil {
		return nil, err
	}
	if due.Status != 0 {
		return nil, due.failure()
	}
	parsed, err := parseAddress(x.request.URL)
	if err != nil {
		return nil, err
	}
	x.address = parsed
	x.name()
	if err := x.authenticate(); err != nil {
		return nil, err
	}
	if err := x.intended(); err != nil {
		return nil, err
	}
	return x.dispatch()
}

// name finds the names of what a path of resource ids addresses.
func (x *exchange) name() {
	x.database, x.container = x.address.database, x.address.container
	if !x.address.rids {
		return
	}
	x.database, x.container = "", ""
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	if found, ok := s.container(&x.address); ok {
		x.database, x.container = found.database.name, found.name
	} else if found, ok := s.database(&x.address); ok {
		x.database = found.name
	}
}

// scopePath is the role-assignment scope of what the request addresses.
func (x *exchange) scopePath() string {
	path := ""
	if x.database != "" {
		path += "/dbs/" + x.database
	}
	if x.container != "" {
		path += "/colls/" + x.container
	}
	return path
}

// intended refuses a request meant for a container that has been created anew since.
func (x *exchange) intended() error {
	wanted := x.request.Header.Get(headerIntendedContainer)
	if wanted == "" || x.address.container == "" {
		return nil
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	const substatusStaleContainer = 1024
	if found, ok := s.container(&x.address); ok && encodeRID(found.rid) != wanted {
		return badRequest("The container was recreated: the resource id in the request is not its own.").with(substatusStaleContainer)
	}
	return nil
}

// dispatch finds the operation. What is not here does not exist.
func (x *exchange) dispatch() (*response, error) {
	switch x.address.kind {
	case resourceAccount:
		return x.account()
	case resourceDatabase:
		return x.databases()
	case resourceContainer:
		return x.containers()
	case resourceItem:
		return x.items()
	case resourceRange:
		return x.ranges()
	case resourceOffer:
		return x.offers()
	case resourceConflict:
		return x.conflicts()
	case resourceSproc, resourceTrigger, resourceUDF, resourceUser, resourcePermission, resourceKey:
		return x.children()
	case resourceAddresses:
		return nil, refuse(http.StatusForbidden, "This stand-in speaks through its gateway only: direct mode is not supported.")
	default:
		return nil, notFound()
	}
}

// valueResponse makes an answer of a value.
func valueResponse(status int, value document.Value) *response {
	return newResponse(status, value.Append(nil))
}

// object builds an object.
func object(members ...document.Member) document.Value { return document.ObjectValue(members) }

func member(name string, value document.Value) document.Member {
	return document.Member{Name: name, Value: value}
}

func text(s string) document.Value { return document.StringValue(s) }

func number[N int | int64 | uint64 | float64](n N) document.Value {
	return document.NumberValue(float64(n))
}

// feed makes the answer that lists resources under their collective name.
func feed(rid, name string, elements []document.Value) *response {
	answer := valueResponse(http.StatusOK, object(
		member("_rid", text(rid)),
		member(name, document.ArrayValue(elements)),
		member("_count", number(len(elements))),
	))
	answer.header.Set(headerItemCount, strconv.Itoa(len(elements)))
	return answer
}

// parseBody reads the request's JSON, text or CosmosBinary.
func (x *exchange) parseBody() (document.Value, error) {
	parse := document.Parse
	if len(x.body) > 0 && x.body[0] == document.BinaryMark {
		parse = document.ParseBinary
	}
	value, err := parse(x.body)
	if err != nil {
		return document.Value{}, badRequest(`Message: {"Errors":["The input content is invalid: %s"]}`, err)
	}
	return value, nil
}

// asNative turns a fault of query text or of running it into the service's answer.
func asNative(err error) error {
	var fault *sql.Error
	switch {
	case errors.As(err, &fault):
		return badRequest(`Message: {"errors":[{"severity":"Error","location":{"start":%d,"end":%d},"code":"%s","message":%q}]}`,
			fault.Span.Start, fault.Span.End, fault.Code, fault.Message)
	case errors.Is(err, query.ErrTooMuch):
		return badRequest("The query exceeded the maximum of work the stand-in does for one query.")
	default:
		return err
	}
}

// now is the account's time.
func (x *exchange) now() time.Time { return x.emulator.clock() }
