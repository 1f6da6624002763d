package bypass_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sendH2 sends an exchange as the only stream of an HTTP/2 connection.
func (w *world) sendH2(t testing.TB, x *exchange) []reply {
	t.Helper()
	conn := w.dial(t, "h2")
	defer conn.Close()
	block, body, trailers := w.fieldsH2(t, x)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.MaxHeaderListSize = 1 << 20
	framer.AllowIllegalWrites = true
	// Writes fail once the gate has hung up, which reading will tell.
	_ = framer.WriteSettings()
	writeH2(framer, x.Frames, block, body, trailers)
	return []reply{readH2(framer)}
}

func writeH2(framer *http2.Framer, frames string, block, body, trailers []byte) {
	const stream, piece, flood = 1, 16, 20000
	endsHere := len(body) == 0 && trailers == nil
	switch frames {
	case "continuation":
		first := true
		for len(block) > 0 {
			n := min(piece, len(block))
			last := n == len(block)
			if first {
				_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:n], EndStream: endsHere, EndHeaders: last})
			} else {
				_ = framer.WriteContinuation(stream, last, block[:n])
			}
			block, first = block[n:], false
		}
	case "flood":
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: true})
		for range flood {
			if framer.WriteContinuation(stream, false, bytes.Repeat([]byte{0x40, 1, 'x', 1, 'y'}, 100)) != nil {
				return
			}
		}
	default:
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: endsHere, EndHeaders: true})
	}
	if len(body) > 0 {
		_ = framer.WriteData(stream, trailers == nil, body)
	}
	if trailers != nil {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: trailers, EndStream: true, EndHeaders: true})
	}
}

func readH2(framer *http2.Framer) reply {
	var got reply
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return reply{}
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			got.header = http.Header{}
			for _, field := range f.Fields {
				if field.Name == ":status" {
					got.status, _ = strconv.Atoi(field.Value)
				} else {
					got.header.Add(field.Name, field.Value)
				}
			}
			if f.StreamEnded() {
				return got
			}
		case *http2.DataFrame:
			got.body = append(got.body, f.Data()...)
			if f.StreamEnded() {
				return got
			}
		case *http2.RSTStreamFrame:
			if f.ErrCode == http2.ErrCodeNo && got.status != 0 {
				return got
			}
			return reply{}
		case *http2.GoAwayFrame:
			return reply{}
		}
	}
}

// fieldsH2 is the header block, the body and the trailers of an exchange. Lines are
// "name: value"; a line "-name" leaves out a field that is there by default.
func (w *world) fieldsH2(t testing.TB, x *exchange) (block, body, trailers []byte) {
	t.Helper()
	head, body, _ := bytes.Cut(w.fill(t, x, x.H2), []byte("\r\n\r\n"))
	body = unhex(t, body)
	lines := strings.Split(string(head), "\r\n")
	given := map[string]bool{}
	for _, line := range lines {
		name, _, _ := strings.Cut(strings.TrimLeft(line, "-:"), ":")
		given[name] = true
	}
	var b bytes.Buffer
	encoder := hpack.NewEncoder(&b)
	put := func(name, value string) { _ = encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", gateHost}, {":path", "/"}} {
		if !given[field[0][1:]] {
			put(field[0], field[1])
		}
	}
	after := map[string]string{"authorization": "type=aad&ver=1.0&sig=" + w.tokens[x.Who], "x-ms-version": "2020-11-05"}
	if len(body) > 0 {
		after["content-type"] = "application/json"
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "-") || line == "" {
			continue
		}
		cut := strings.Index(line[1:], ":") + 1
		put(line[:cut], string(unhex(t, []byte(strings.TrimPrefix(line[cut+1:], " ")))))
	}
	for name, value := range after {
		if !given[name] && x.Who != "nobody" {
			put(name, value)
		}
	}
	block = bytes.Clone(b.Bytes())
	if x.Frames == "trailers" {
		b.Reset()
		put("x-ms-documentdb-is-upsert", "true")
		trailers = bytes.Clone(b.Bytes())
	}
	return block, body, trailers
}
