package emulator

import (
	"bytes"
	"compress/gzip"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// response is an answer that is whole before any of it is sent, so that it has a length and a
// fault can cut it where it likes.
type response struct {
	status int
	header http.Header
	body   []byte
	charge float64
}

func newResponse(status int, body []byte) *response {
	r := &response{status: status, header: http.Header{}, body: body}
	if len(body) > 0 {
		r.header.Set("Content-Type", contentTypeJSON)
	}
	return r
}

// charged sets the request units, rounded as the service prints them.
func (r *response) charged(units float64) *response {
	const hundredths = 100
	r.charge = math.Round(units*hundredths) / hundredths
	return r
}

// compress encodes a body worth it for a client that accepts gzip.
func (r *response) compress(accepted string) {
	const worth = 1024
	if len(r.body) < worth || !acceptsGzip(accepted) {
		return
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return // the level is a known one
	}
	if _, err := w.Write(r.body); err != nil {
		return // memory takes everything
	}
	if err := w.Close(); err != nil {
		return
	}
	r.body = packed.Bytes()
	r.header.Set("Content-Encoding", "gzip")
}

// acceptsGzip reads an Accept-Encoding header; a coding of quality 0 is refused by the client.
func acceptsGzip(accepted string) bool {
	for coding := range strings.SplitSeq(accepted, ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			_, quality, rated := strings.Cut(parameters, "q=")
			value, err := strconv.ParseFloat(strings.TrimSpace(quality), 64)
			return !rated || (err == nil && value > 0)
		}
	}
	return false
}

// send writes the answer; cut, when positive, is how much of the body goes out before the
// connection is broken.
func (r *response) send(w http.ResponseWriter, activity string, cut int) {
	header := w.Header()
	maps.Copy(header, r.header)
	header.Set(headerActivity, activity)
	header.Set(headerCharge, strconv.FormatFloat(r.charge, 'f', -1, 64))
	header.Set("X-Ms-Serviceversion", serviceVersion)
	header.Set("X-Ms-Gatewayversion", serviceVersion)
	header.Set("X-Ms-Schemaversion", "1.18")
	header.Set("Server", "Compute")
	header.Set("Cache-Control", "no-store, no-cache")
	header.Set("Pragma", "no-cache")
	header.Set("Strict-Transport-Security", "max-age=31536000")
	if r.status != http.StatusNoContent && r.status != http.StatusNotModified {
		header.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	w.WriteHeader(r.status)
	if r.status == http.StatusNoContent || r.status == http.StatusNotModified {
		return
	}
	body := r.body
	if cut > 0 && cut < len(body) {
		body = body[:cut]
	}
	if _, err := w.Write(body); err != nil {
		return // the client is gone
	}
}
