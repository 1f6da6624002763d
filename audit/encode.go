package audit

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	maxText = 1024 // bytes of one text that are written
	maxList = 32   // entries of one list that are written

	timeLayout = "2006-01-02T15:04:05.000000Z07:00"
)

// Encoder turns records into lines. It is safe for concurrent use.
type Encoder struct {
	hashes *hashes
}

// NewEncoder returns an encoder whose hashes are keyed (HMAC-SHA-256), or plain SHA-256 if the key is empty. A plain hash of a value
// that can be guessed, such as a department's name, can be found out by trying; a key prevents that.
func NewEncoder(key []byte) *Encoder { return &Encoder{hashes: newHashes(key)} }

// Append appends the record as one line of JSON, with its line feed, and returns the extended slice.
func (e *Encoder) Append(dst []byte, r *Record) []byte {
	l := line{buf: append(dst, '{')}
	l.count("v", SchemaVersion)
	l.text("event", string(r.Event))
	l.time("ts", r.Time)
	l.text("decision_id", r.DecisionID)
	l.text("settles", r.Settles)
	l.text("activity_id", r.ActivityID)
	l.who(r)
	l.what(r)
	e.keys(&l, r)
	l.text("target", r.Target)
	l.token(&r.Token)
	l.decision(r)
	l.exchange(r)
	if l.cut {
		l.key("truncated")
		l.buf = append(l.buf, "true"...)
	}
	return append(l.buf, '}', '\n')
}

// keys writes the hashes of what the request addressed.
func (e *Encoder) keys(l *line, r *Record) {
	if len(r.PartitionKeys) > 0 {
		l.begin("partition_keys", '[')
		for _, components := range r.PartitionKeys[:min(len(r.PartitionKeys), maxList)] {
			l.comma()
			l.buf = e.hashes.appendKey(l.buf, components)
		}
		l.buf = append(l.buf, ']')
		l.cut = l.cut || len(r.PartitionKeys) > maxList
	}
	if r.Item != "" {
		l.key("item")
		l.buf = e.hashes.appendItem(l.buf, r.Item)
	}
}

// line is a record in the making.
type line struct {
	buf []byte
	cut bool
}

func (l *line) who(r *Record) {
	if p := r.Principal; p != (Principal{}) {
		l.begin("principal", '{')
		l.text("kind", p.Kind)
		l.text("issuer", p.Issuer)
		l.text("subject", p.Subject)
		l.text("record", p.Record)
		l.text("user_name", p.UserName)
		l.text("application", p.Application)
		l.buf = append(l.buf, '}')
	}
	if len(r.Actors) > 0 {
		l.begin("actors", '[')
		for _, a := range r.Actors[:min(len(r.Actors), maxList)] {
			l.comma()
			l.buf = append(l.buf, '{')
			l.text("issuer", a.Issuer)
			l.text("subject", a.Subject)
			l.text("name", a.Name)
			l.buf = append(l.buf, '}')
		}
		l.buf = append(l.buf, ']')
		l.cut = l.cut || len(r.Actors) > maxList
	}
	if c := r.Credential; c != (Credential{}) {
		l.begin("credential", '{')
		l.text("method", c.Method)
		l.text("token_id", c.TokenID)
		l.buf = append(l.buf, '}')
	}
	l.text("client", r.Client)
	l.text("source", r.Source)
	l.text("user_agent", r.UserAgent)
}

func (l *line) what(r *Record) {
	l.text("method", r.Method)
	l.text("operation", r.Operation)
	l.list("actions", r.Actions)
	l.text("account", r.Account)
	l.text("database", r.Database)
	l.text("container", r.Container)
}

func (l *line) token(t *Token) {
	if *t == (Token{}) {
		return
	}
	l.begin("token", '{')
	l.text("grant", t.Grant)
	l.text("client_method", t.ClientMethod)
	l.text("id", t.TokenID)
	l.text("key_id", t.KeyID)
	l.text("audience", t.Audience)
	l.text("scope", t.Scope)
	l.text("bound", t.Bound)
	if !t.Expires.IsZero() {
		l.time("expires", t.Expires)
	}
	l.buf = append(l.buf, '}')
}

func (l *line) decision(r *Record) {
	l.text("decision", string(orElse(r.Decision, Error)))
	l.text("reason", r.Reason)
	l.text("detail", r.Detail)
	l.text("role", r.Role)
	l.text("identity", r.Identity)
	l.text("policy_hash", r.PolicyHash)
	l.list("policies", r.Policies)
	l.legs(r.Legs)
}

func (l *line) legs(legs []Leg) {
	if len(legs) == 0 {
		return
	}
	l.begin("legs", '[')
	for i := range legs[:min(len(legs), maxList)] {
		leg := &legs[i]
		l.comma()
		l.buf = append(l.buf, '{')
		l.text("kind", leg.Kind)
		l.text("name", leg.Name)
		l.text("effect", string(orElse(leg.Effect, Error)))
		l.text("reason", leg.Reason)
		l.text("role", leg.Role)
		l.list("policies", leg.Policies)
		l.buf = append(l.buf, '}')
	}
	l.buf = append(l.buf, ']')
	l.cut = l.cut || len(legs) > maxList
}

func (l *line) exchange(r *Record) {
	l.count("status", int64(r.Status))
	l.number("substatus", int64(r.Substatus))
	l.number("upstream_status", int64(r.UpstreamStatus))
	l.charge("request_charge", r.RequestCharge)
	l.number("redactions", int64(r.Redactions))
	l.count("bytes_in", r.BytesIn)
	l.count("bytes_out", r.BytesOut)
	l.text("outcome", string(orElse(r.Outcome, Abandoned)))
	l.count("duration_us", r.Duration.Microseconds())
	l.count("gate_us", r.GateDuration.Microseconds())
	l.number("upstream_us", r.UpstreamDuration.Microseconds())
}

// comma separates what follows from what stands before it on the same level.
func (l *line) comma() {
	if last := l.buf[len(l.buf)-1]; last != '{' && last != '[' {
		l.buf = append(l.buf, ',')
	}
}

func (l *line) key(name string) {
	l.comma()
	l.buf = append(l.buf, '"')
	l.buf = append(l.buf, name...)
	l.buf = append(l.buf, '"', ':')
}

func (l *line) begin(name string, bracket byte) {
	l.key(name)
	l.buf = append(l.buf, bracket)
}

func (l *line) text(name, value string) {
	if value == "" {
		return
	}
	l.key(name)
	l.buf = appendQuoted(l.buf, l.shorten(value))
}

func (l *line) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	l.begin(name, '[')
	for _, v := range values[:min(len(values), maxList)] {
		l.comma()
		l.buf = appendQuoted(l.buf, l.shorten(v))
	}
	l.buf = append(l.buf, ']')
	l.cut = l.cut || len(values) > maxList
}

// count writes a number also if it is zero.
func (l *line) count(name string, value int64) {
	l.key(name)
	l.buf = strconv.AppendInt(l.buf, value, 10)
}

func (l *line) number(name string, value int64) {
	if value != 0 {
		l.count(name, value)
	}
}

// charge leaves out what JSON cannot express: upstream's header is not ours to trust.
func (l *line) charge(name string, value float64) {
	if value == 0 || math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	l.key(name)
	l.buf = strconv.AppendFloat(l.buf, value, 'g', -1, 64)
}

func (l *line) time(name string, value time.Time) {
	l.key(name)
	l.buf = append(l.buf, '"')
	l.buf = value.UTC().AppendFormat(l.buf, timeLayout)
	l.buf = append(l.buf, '"')
}

// shorten cuts text at a character's border.
func (l *line) shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	l.cut = true
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func orElse[T ~string](value, other T) T {
	if value == "" {
		return other
	}
	return value
}
