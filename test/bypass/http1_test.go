package bypass_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

const (
	sentinelAgent = "bypass-sentinel"
	sentinelID    = "0f0f0f0f-0000-4000-8000-000000000000"
)

// reply is one answer of the gate, or the end of a connection or stream without one.
type reply struct {
	status int // 0 if there was none
	header http.Header
	body   []byte
}

// outcome is "403/5302", "200", or "closed".
func (r *reply) outcome() string {
	if r.status == 0 {
		return "closed"
	}
	substatus := r.header.Get("X-Ms-Substatus")
	if substatus == "" || substatus == "0" {
		return strconv.Itoa(r.status)
	}
	return strconv.Itoa(r.status) + "/" + substatus
}

func (r *reply) text() string {
	var b bytes.Buffer
	fmt.Fprintln(&b, r.status)
	_ = r.header.Write(&b)
	b.WriteString("\n")
	b.Write(r.body)
	return b.String()
}

var errForm = errors.New("not in the native form")

// native holds an answer against what SDKs can take: errors are JSON with a message and
// a length, nothing redirects or challenges, nothing makes them retry for ever.
func (r *reply) native() error {
	for _, name := range []string{"Location", "Content-Location", "Www-Authenticate", "Proxy-Authenticate", "Set-Cookie", "Server",
		"Alt-Svc", "Strict-Transport-Security", "Via", "Refresh", "Link", "Upgrade"} {
		if r.header.Get(name) != "" {
			return fmt.Errorf("%w: header %s", errForm, name)
		}
	}
	if strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		return fmt.Errorf("%w: HTML", errForm)
	}
	if r.status == 0 || r.status < 300 || r.status == http.StatusNotModified {
		return nil
	}
	var body struct{ Code, Message string }
	switch substatus := r.header.Get("X-Ms-Substatus"); {
	case r.status < 400 || r.status == http.StatusProxyAuthRequired:
		return fmt.Errorf("%w: status %d", errForm, r.status)
	case r.status == http.StatusForbidden && (substatus == "3" || substatus == "1008"):
		return fmt.Errorf("%w: SDKs would look for another region", errForm)
	case r.header.Get("Content-Type") != "application/json" || r.header.Get("Content-Length") == "":
		return fmt.Errorf("%w: type %q, length %q", errForm, r.header.Get("Content-Type"), r.header.Get("Content-Length"))
	case json.Unmarshal(r.body, &body) != nil || body.Code == "" || body.Message == "":
		return fmt.Errorf("%w: body %q", errForm, r.body)
	}
	return nil
}

// sendH1 sends an exchange over HTTP/1.1, and then a request of the test's own on the
// same connection: what comes before its answer are the answers to the exchange.
func (w *world) sendH1(t testing.TB, x *exchange) []reply {
	t.Helper()
	conn := w.dial(t, "http/1.1")
	defer conn.Close()
	if _, err := conn.Write(w.bytesH1(t, x)); err != nil {
		t.Logf("writing: %v", err) // the gate may have hung up already
	}
	sentinel := []byte("GET / HTTP/1.1\r\nHost: " + gateHost + "\r\nAuthorization: Bearer " + w.tokens["bob"] +
		"\r\nUser-Agent: " + sentinelAgent + "\r\nx-ms-activity-id: " + sentinelID + "\r\nConnection: close\r\n\r\n")
	if x.Cut {
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	reader := bufio.NewReader(conn)
	first := &http.Request{Method: http.MethodPost}
	if strings.HasPrefix(x.HTTP+x.Raw, http.MethodHead+" ") {
		first.Method = http.MethodHead // its answer has no body
	}
	var replies []reply
	for {
		response, err := http.ReadResponse(reader, first)
		if err != nil {
			if len(replies) == 0 {
				return []reply{{}}
			}
			return replies
		}
		body, _ := io.ReadAll(response.Body)
		isHead := first.Method == http.MethodHead
		first.Method = http.MethodPost
		if response.Header.Get("X-Ms-Activity-Id") == sentinelID {
			return replies
		}
		if response.StatusCode == http.StatusContinue {
			continue
		}
		if isHead {
			body = []byte(`{"code":"-","message":"-"}`)
		}
		replies = append(replies, reply{response.StatusCode, response.Header, body})
		if response.ContentLength >= 0 {
			response.Header.Set("Content-Length", strconv.FormatInt(response.ContentLength, 10))
		}
		if !x.Cut && len(replies) == 1 {
			_, _ = conn.Write(sentinel)
		}
	}
}

// bytesH1 is what an exchange sends over HTTP/1.1.
func (w *world) bytesH1(t testing.TB, x *exchange) []byte {
	t.Helper()
	if x.Raw != "" {
		raw := w.render(t, x, x.Raw)
		if !bytes.Contains(raw, []byte("\r\n\r\n")) && !bytes.Contains(raw, []byte("\n\n")) {
			raw = append(raw, "\r\n\r\n"...)
		}
		return raw
	}
	text := w.render(t, x, x.HTTP)
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	lower := "\n" + strings.ToLower(string(head)) + "\r\n"
	missing := func(name string) bool { return !strings.Contains(lower, "\n"+name+":") }
	var b bytes.Buffer
	b.Write(head)
	b.WriteString("\r\n")
	add := func(name, value string) {
		if missing(name) {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	add("host", gateHost)
	if x.Who != "nobody" {
		add("authorization", "type=aad&ver=1.0&sig="+w.tokens[x.Who])
	}
	add("x-ms-version", "2020-11-05")
	if len(body) > 0 && missing("transfer-encoding") {
		add("content-type", "application/json")
		add("content-length", strconv.Itoa(len(body)))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
