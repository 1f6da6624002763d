package server

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/net/http2/hpack"
)

// Frame types and error codes of HTTP/2 (RFC 9113, sections 6 and 7).
const (
	frameHeaderBytes = 9

	frameData      = 0x0
	frameHeaders   = 0x1
	frameReset     = 0x3
	frameGoAway    = 0x7
	flagEndStream  = 0x1
	flagEndHeaders = 0x4

	noError         = 0x0
	streamClosed    = 0x5 // the client went on with a request that had its answer
	refusedByServer = 0x7 // RFC 9113 calls it REFUSED_STREAM: the client may send the request again
)

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// statelessHeaders is the size of the table for compressing response headers: too small for any entry, so that no header block depends on
// an earlier one and one can take the place of another.
const statelessHeaders = 1

// maxTexts bounds the refusals of one connection whose header has gone out and whose body has not.
const maxTexts = 128

var errNotHTTP2 = errors.New("client agreed on HTTP/2 and does not speak it")

// http2Conn is a TLS connection on which HTTP/2 was agreed, and which net/http takes for clear text, so that what net/http says on its own
// account can be looked at. Two of its refusals are whole responses: they are replaced, frame by frame and of the same length, because net/http
// has already counted their bytes. The others reset a stream or end the connection; they stay as they are, and are told.
type http2Conn struct {
	net.Conn

	state  *tls.ConnectionState
	refuse Refuse

	preface int // bytes of it that were read
	opened  opener

	frame []byte            // a frame that is held back until enough of it is there to judge it
	pass  int               // bytes of the frame at hand that go out as they are
	swap  []byte            // bytes of the frame at hand that go out as these
	texts map[uint32][]byte // what the data of a stream is replaced by
}

func newHTTP2Conn(conn net.Conn, state *tls.ConnectionState, refuse Refuse) *http2Conn {
	return &http2Conn{Conn: conn, state: state, refuse: refuse, texts: map[uint32][]byte{}}
}

// adequate says whether a cipher may carry HTTP/2: RFC 9113 (section 9.2.2) bars all but ephemeral key exchange with authenticated encryption,
// which net/http would check itself on a connection that it knows to be TLS.
func adequate(state *tls.ConnectionState) bool {
	if state.Version >= tls.VersionTLS13 {
		return true
	}
	switch state.CipherSuite {
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return state.Version == tls.VersionTLS12
	default:
		return false
	}
}

// opener counts the requests of a connection, to know whether the one that is refused has reached a handler.
type opener struct {
	mu      sync.Mutex
	head    []byte // of the frame that is being read
	skip    int
	highest uint32
	// opened are streams that the client opened; handled reached a handler; told were refused by net/http and told.
	opened, handled, told int
	// trailed: the last header block belongs to a stream that was open before, or has been.
	trailed bool
}

// Read reads from the client, and counts the streams that it opens.
func (c *http2Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	seen := p[:n]
	if due := http2Preface[c.preface:]; due != "" && n > 0 {
		part := seen[:min(n, len(due))]
		if string(part) != due[:len(part)] {
			return 0, c.strange()
		}
		c.preface += len(part)
		seen = seen[len(part):]
	}
	c.opened.see(seen)
	return n, err //nolint:wrapcheck // A plain decorator.
}

// strange ends a connection that does not begin as HTTP/2 does.
func (c *http2Conn) strange() error {
	c.tell(Unreadable{Reason: errNotHTTP2.Error()})
	return errors.Join(errNotHTTP2, c.Close())
}

// tell has a refusal without an answer recorded.
func (c *http2Conn) tell(u Unreadable) {
	if c.refuse == nil {
		return
	}
	u.Source = c.RemoteAddr().String()
	c.refuse(&refusal{header: make(http.Header)}, u)
}

// see follows the frames of the client.
func (o *opener) see(p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(p) > 0 {
		if o.skip > 0 {
			n := min(o.skip, len(p))
			o.skip -= n
			p = p[n:]
			continue
		}
		n := min(frameHeaderBytes-len(o.head), len(p))
		o.head = append(o.head, p[:n]...)
		p = p[n:]
		if len(o.head) < frameHeaderBytes {
			return
		}
		f := headOf(o.head)
		o.head, o.skip = o.head[:0], f.length
		if f.kind == frameHeaders {
			if o.trailed = f.stream <= o.highest; !o.trailed {
				o.highest = f.stream
				o.opened++
			}
		}
	}
}

// set notes that a handler has got a request of the connection.
func (c *http2Conn) set(on bool) {
	if on {
		c.opened.mu.Lock()
		defer c.opened.mu.Unlock()
		c.opened.handled++
	}
}

// unhandled says whether a stream was opened that no handler has got and that was not told, and takes one of them for told.
func (o *opener) unhandled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened <= o.handled+o.told {
		return false
	}
	o.told++
	return true
}

// late says whether the client last sent trailers. To those of a request that has been answered and forgotten meanwhile net/http answers with
// the end of the connection; the request has its record.
func (o *opener) late() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trailed
}

// frameHead is the header of a frame.
type frameHead struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

func headOf(b []byte) frameHead {
	const reserved = 1 << 31
	return frameHead{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: b[3], flags: b[4],
		stream: binary.BigEndian.Uint32(b[5:]) &^ reserved,
	}
}

// Write writes the frames of the server. What is not of interest goes out as it comes, without a copy.
func (c *http2Conn) Write(p []byte) (int, error) {
	from := 0 // of what is to go out as it is
	for at := 0; at < len(p); {
		if c.pass > 0 && len(c.frame) == 0 {
			n := min(c.pass, len(p)-at)
			c.pass -= n
			at += n
			continue
		}
		taken, other := c.take(p[at:])
		if other == nil && len(c.frame) == 0 { // judged, and left alone
			at += taken
			continue
		}
		if err := c.send(p[from:at], other); err != nil {
			return 0, err
		}
		at += taken
		from = at
	}
	if err := c.send(p[from:], nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *http2Conn) send(parts ...[]byte) error {
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		if _, err := c.Conn.Write(part); err != nil {
			return err //nolint:wrapcheck // A plain decorator.
		}
	}
	return nil
}

// take looks at the beginning of p, where a frame begins or goes on. It returns how much of it was looked at, and what goes out in its place;
// nil if that is what was looked at, or if it is held back in c.frame.
func (c *http2Conn) take(p []byte) (taken int, other []byte) {
	if len(c.swap) > 0 {
		n := min(len(c.swap), len(p))
		other, c.swap = c.swap[:n], c.swap[n:]
		return n, other
	}
	if len(c.frame) == 0 && len(p) >= frameHeaderBytes && len(p) >= due(p) {
		n := due(p)
		return n, c.judge(p[:n])
	}
	held := len(c.frame)
	n := min(max(due(c.frame)-held, 0), len(p))
	c.frame = append(c.frame, p[:n]...)
	if len(c.frame) < frameHeaderBytes || len(c.frame) < due(c.frame) {
		return n, nil
	}
	whole := c.frame
	c.frame = nil
	if other = c.judge(whole); other == nil {
		other = whole
	}
	return n, other
}

// due is how much of a frame is needed to judge it: of those that could be a refusal, all.
func due(frame []byte) int {
	const longestRefusal = 1 << 10
	if len(frame) < frameHeaderBytes {
		return frameHeaderBytes
	}
	f := headOf(frame)
	if (f.kind == frameHeaders || f.kind == frameReset || f.kind == frameGoAway) && f.length < longestRefusal {
		return frameHeaderBytes + f.length
	}
	return frameHeaderBytes
}

// judge looks at a frame, or at its header if the rest does not matter, and returns what goes out in its place, or nil.
func (c *http2Conn) judge(frame []byte) (other []byte) {
	f, payload := headOf(frame), frame[frameHeaderBytes:]
	if len(payload) < f.length {
		c.pass = f.length
		if text, replaced := c.texts[f.stream]; replaced && f.kind == frameData && len(text) == f.length {
			c.pass, c.swap = 0, text
		}
		delete(c.texts, f.stream)
		return nil
	}
	const codeBytes, goAwayBytes = 4, 8
	switch {
	case f.kind == frameHeaders && f.flags&flagEndHeaders != 0:
		return c.replace(f, payload)
	case f.kind == frameReset && f.length == codeBytes:
		c.reset(binary.BigEndian.Uint32(payload))
	case f.kind == frameGoAway && f.length >= goAwayBytes:
		if code := binary.BigEndian.Uint32(payload[codeBytes:]); code != noError && (c.opened.unhandled() || !c.opened.late()) {
			c.tell(Unreadable{Reason: "HTTP/2 connection error " + strconv.FormatUint(uint64(code), 10)})
		}
	}
	return nil
}

// reset tells of a request that net/http resets instead of answering it.
func (c *http2Conn) reset(code uint32) {
	if code == noError || code == streamClosed || !c.opened.unhandled() {
		return // a handler has, or had, the request, and says itself what becomes of it
	}
	reason := "HTTP/2 stream error " + strconv.FormatUint(uint64(code), 10)
	if code == refusedByServer {
		reason = "too many HTTP/2 streams at once"
	}
	c.tell(Unreadable{Reason: reason})
}

// replace returns the frame in whose place net/http sends its own refusal, or nil if this is none.
func (c *http2Conn) replace(f frameHead, block []byte) []byte {
	updates := tableUpdates(block)
	if !refusing(block[updates:]) || c.refuse == nil {
		return nil
	}
	fields, err := hpack.NewDecoder(statelessHeaders, nil).DecodeFull(block)
	if err != nil {
		return nil
	}
	own := make(http.Header, len(fields))
	for _, field := range fields {
		own.Add(field.Name, field.Value)
	}
	room, err := strconv.Atoi(own.Get("Content-Length"))
	status, _ := strconv.Atoi(fields[0].Value)
	kind := own.Get("Content-Type")
	if err != nil || kind != "text/plain; charset=utf-8" && kind != "text/html; charset=utf-8" || own.Get("X-Ms-Activity-Id") != "" {
		return nil // a handler's own
	}
	c.opened.unhandled()
	r := refusal{status: status, header: make(http.Header)}
	c.refuse(&r, Unreadable{Status: status, Reason: "not valid in HTTP/2", Source: c.RemoteAddr().String(), Room: room})
	body := r.body.Bytes()
	if len(body) > room {
		return nil
	}
	if len(c.texts) >= maxTexts { // of streams that the client gave up before their answer; theirs go out as they are
		clear(c.texts)
	}
	if f.flags&flagEndStream == 0 { // an answer to HEAD has no body
		c.texts[f.stream] = append(bytes.Clone(body), bytes.Repeat([]byte{' '}, room-len(body))...)
	}
	r.header.Set("Content-Length", strconv.Itoa(room))
	r.header.Set("Date", own.Get("Date"))
	return headersFrame(f, block[:updates], &r)
}

// headersFrame writes a response's header block as literals that are not to be remembered.
func headersFrame(f frameHead, updates []byte, r *refusal) []byte {
	var block bytes.Buffer
	block.Write(updates)
	encoder := hpack.NewEncoder(&block)
	put := func(name, value string) {
		// A buffer never fails.
		_ = encoder.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
	}
	put(":status", strconv.Itoa(r.status))
	for name, values := range r.header {
		for _, value := range values {
			put(http2Name(name), value)
		}
	}
	n := block.Len()
	frame := make([]byte, 0, frameHeaderBytes+n)
	frame = append(frame, byte(n>>16), byte(n>>8), byte(n), f.kind, f.flags) //nolint:gosec // G115: a header block of ours is short.
	frame = binary.BigEndian.AppendUint32(frame, f.stream)
	return append(frame, block.Bytes()...)
}

// http2Name writes a header's name as HTTP/2 wants it.
func http2Name(name string) string { return string(bytes.ToLower([]byte(name))) }

// tableUpdates is the length of the table size updates at the beginning of a header block.
func tableUpdates(block []byte) int {
	const update, mask, value, more = 0x20, 0xE0, 0x1F, 0x80
	n := 0
	for n < len(block) && block[n]&mask == update {
		long := block[n]&value == value
		n++
		for long && n < len(block) {
			long = block[n]&more != 0
			n++
		}
	}
	return n
}

// refusing says whether a header block begins with a status with which net/http refuses: 400, which has a place in the static table, or 431,
// a literal whose name is one of the table's entries for ":status".
func refusing(block []byte) bool {
	const status400, firstStatus, lastStatus = 0x8C, 0x08, 0x0E
	if len(block) == 0 {
		return false
	}
	first := block[0]
	return first == status400 || firstStatus <= first && first <= lastStatus && bytes.HasPrefix(block[1:], []byte("\x03431"))
}
