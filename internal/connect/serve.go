package connect

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// ServeHTTP checks one request, adds the token, and passes the answer back.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.open.Add(1)
	defer func() {
		s.last.Store(s.cfg.Clock().UnixNano())
		s.open.Add(-1)
	}()
	id := s.cfg.NewID()
	if refusal := s.admit(r); refusal != nil {
		s.cfg.Logger.Warn("request refused", "method", r.Method, "status", refusal.Status, "reason", refusal.Reason)
		refusal.Write(w, id)
		return
	}
	token, err := s.cfg.Token(r.Context())
	if err != nil {
		s.cfg.Logger.Error("no token", "error", err)
		refusal := cosmos.InvalidCredential(cosmos.SubstatusExpired, err.Error())
		refusal.Message = "The login behind this listener has ended. Run cosmosgate login."
		refusal.Write(w, id)
		return
	}
	if status, err := s.forward(w, r, token); err != nil {
		s.cfg.Logger.Error("request failed", "method", r.Method, "status", status, "error", err)
		if status == 0 {
			lost(r.Method, err).Write(w, id)
			return
		}
		panic(http.ErrAbortHandler) // a part must not pass for the whole
	}
}

// lost is the answer when the gate's did not come: a write that may have been made must not be made again unasked.
func lost(method string, err error) *cosmos.Error {
	if broken, ok := errors.AsType[*net.OpError](err); method == http.MethodGet || ok && broken.Op == "dial" {
		return cosmos.Unavailable(err.Error())
	}
	return cosmos.OutcomeUnknown(err.Error())
}

// admit says who may ask: only what is signed with this run's key, on the listener's own name, and comes from no web page.
func (s *Server) admit(r *http.Request) *cosmos.Error {
	if s.hosts != nil && !s.hosts[strings.ToLower(r.Host)] {
		return forbidden("another host name leads here: " + strconv.Quote(r.Host))
	}
	if len(r.Header["Origin"]) > 0 || r.Method == http.MethodOptions {
		return forbidden("a web page asks")
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "none" {
			return forbidden("a web page asks")
		}
	}
	authorization := r.Header["Authorization"]
	date := r.Header.Get("X-Ms-Date")
	request, err := cosmos.Sanitize(r) // drops what Connection names, the credential too
	if err != nil {
		return native(err)
	}
	if len(r.Header["Authorization"]) != len(authorization) {
		return cosmos.MissingCredential()
	}
	given, err := cosmos.ParseAuthorization(r.Header)
	if err != nil {
		return native(err)
	}
	if given.Type != cosmos.Master {
		return wrongKey("it is no signature of a key")
	}
	return s.verify(r.Method, request, given.Signature, date)
}

// native is the answer behind an error of the cosmos package, which makes no other.
func native(err error) *cosmos.Error {
	if refusal, ok := errors.AsType[*cosmos.Error](err); ok {
		return refusal
	}
	return cosmos.Malformed("it cannot be read")
}

// clockSkew is the service's own for signed dates.
const clockSkew = 15 * time.Minute

// verify checks the signature over method, resource and date in every spelling that SDKs sign.
func (s *Server) verify(method string, request *cosmos.Request, signature, date string) *cosmos.Error {
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return wrongKey("the signature is no base64")
	}
	at, err := http.ParseTime(date)
	if err != nil {
		return wrongKey("x-ms-date is missing or no date")
	}
	if skew := s.cfg.Clock().Sub(at); skew > clockSkew || skew < -clockSkew {
		return wrongKey("x-ms-date is not of now")
	}
	kind, links := request.SignedLinks()
	for _, link := range links {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(strings.ToLower(method) + "\n" + strings.ToLower(kind) + "\n" + link + "\n" + strings.ToLower(date) + "\n\n"))
		if hmac.Equal(mac.Sum(nil), given) {
			return nil
		}
	}
	return wrongKey("the signature is not of this run's key")
}

func wrongKey(reason string) *cosmos.Error {
	return &cosmos.Error{
		Status: http.StatusUnauthorized, Code: "Unauthorized",
		Message: "The input authorization token can't serve the request. The wrong key is being used: take the connection string " +
			"that this run of cosmosgate connect printed.",
		Reason: reason,
	}
}

func forbidden(reason string) *cosmos.Error {
	return &cosmos.Error{Status: http.StatusForbidden, Code: "Forbidden", Message: "This listener serves tools on this machine only.", Reason: reason}
}

// forward sends the request to the gate and its answer back. A status of 0 means that nothing has been answered yet.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, token string) (int, error) {
	out := r.WithContext(r.Context())
	out.URL = &url.URL{Scheme: s.cfg.Gate.Scheme, Host: s.cfg.Gate.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	out.Host, out.RequestURI = "", ""
	out.Header = sent(r.Header)
	out.Header["Authorization"] = []string{cosmos.TokenAuthorization(token)}
	account := r.Method == http.MethodGet && strings.Trim(r.URL.Path, "/") == ""
	if account {
		delete(out.Header, "Accept-Encoding") // the document is read here
	}
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	resp, err := s.cfg.Transport.RoundTrip(out)
	if err != nil {
		return 0, fmt.Errorf("asking the gate: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read, or the answer is broken off
	if resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified {
		return 0, fmt.Errorf("%w: %s", errRedirect, resp.Status)
	}
	if account && resp.StatusCode == http.StatusOK {
		return s.answerAccount(w, resp)
	}
	received(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		return resp.StatusCode, fmt.Errorf("passing the answer on: %w", err)
	}
	return resp.StatusCode, nil
}

// sent are the headers for the gate: what belongs to the hop, to a browser or to the tool's credential stays here.
func sent(from http.Header) http.Header {
	to := make(http.Header, len(from))
	for name, values := range from {
		switch name {
		case "Authorization", "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Cookie", "Referer", "Forwarded",
			"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
		default:
			if !strings.HasPrefix(name, "Proxy-") && !strings.HasPrefix(name, "Sec-") {
				to[name] = values
			}
		}
	}
	if to["User-Agent"] == nil {
		to["User-Agent"] = nil // else the transport adds its own
	}
	return to
}

// received are the headers for the tool.
func received(to, from http.Header) {
	for name, values := range from {
		switch name {
		case "Connection", "Keep-Alive", "Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc", "Set-Cookie", "Strict-Transport-Security":
		default:
			to[name] = values
		}
	}
}

var errRedirect = errors.New("the gate redirects, which is not followed")

// largestAccount bounds the account document.
const largestAccount = 1 << 20

// answerAccount names this listener as the account's only location, or SDKs would leave it with their next request.
func (s *Server) answerAccount(w http.ResponseWriter, resp *http.Response) (int, error) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, largestAccount))
	if err != nil {
		return 0, fmt.Errorf("reading the account document: %w", err)
	}
	document := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &document); err != nil {
		return 0, fmt.Errorf("reading the account document: %w", err)
	}
	for name, value := range document {
		if !strings.HasSuffix(name, "Locations") || !bytes.HasPrefix(value, []byte("[")) {
			continue // enableMultipleWriteLocations is a switch
		}
		if document[name], err = s.relocate(value); err != nil {
			return 0, fmt.Errorf("reading %s of the account document: %w", name, err)
		}
	}
	if text, err = json.Marshal(document); err != nil {
		return 0, fmt.Errorf("writing the account document: %w", err)
	}
	received(w.Header(), resp.Header)
	w.Header().Del("Content-Encoding")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(resp.StatusCode)
	_, err = w.Write(text)
	return resp.StatusCode, err //nolint:wrapcheck // the tool has gone
}

func (s *Server) relocate(value json.RawMessage) (json.RawMessage, error) {
	var locations []map[string]json.RawMessage
	if err := json.Unmarshal(value, &locations); err != nil {
		return nil, err //nolint:wrapcheck // named by the caller
	}
	here, err := json.Marshal(s.endpoint)
	if err != nil {
		return nil, err //nolint:wrapcheck // named by the caller
	}
	for _, location := range locations {
		location["databaseAccountEndpoint"] = here
	}
	return json.Marshal(locations) //nolint:wrapcheck // named by the caller
}
