package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// Client asks a running gate. It is safe for concurrent use.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the gate whose socket has this path. Nothing is opened before the first request.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dialGate(ctx, path) }
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Do asks for an act that takes and gives JSON. The error is an [*Error] with the next step.
func Do[Out any](ctx context.Context, c *Client, name string, in any) (Out, error) {
	var out Out
	text, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("encoding the request: %w", err)
	}
	if len(text) > maxBody {
		return out, Invalid("the request is larger than 1 MiB", "")
	}
	resp, err := c.post(ctx, name, bytes.NewReader(text))
	if err != nil {
		return out, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, c.brokenOff(err)
	}
	return out, nil
}

// Stream asks for an act that reads in, which may be nil, and copies what it gives to out. An error may follow a part of the answer.
func (c *Client) Stream(ctx context.Context, name string, params url.Values, in io.Reader, out io.Writer) error {
	if len(params) > 0 {
		name += "?" + params.Encode()
	}
	resp, err := c.post(ctx, name, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(out, resp.Body); err != nil {
		return c.brokenOff(err)
	}
	if late := resp.Trailer.Get(errorHeader); late != "" {
		return decodeError([]byte(late), http.StatusInternalServerError)
	}
	return nil
}

func (c *Client) post(ctx context.Context, name string, body io.Reader) (*http.Response, error) {
	if err := CheckPath(c.path); err != nil {
		return nil, &Error{Reason: "bad_socket", Message: err.Error()}
	}
	if body == nil {
		body = http.NoBody
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gate"+prefix+name, body)
	if err != nil {
		return nil, fmt.Errorf("asking the gate: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, c.brokenOff(err)
	}
	return nil, decodeError(text, resp.StatusCode)
}

func decodeError(text []byte, status int) error {
	e := &Error{}
	if json.Unmarshal(text, e) != nil || e.Message == "" {
		return &Error{Status: status, Reason: "not_a_gate", Message: fmt.Sprintf("who answered on the socket is no gate (status %d)", status)}
	}
	return e
}

// unreachable says why nobody answered, and what to do about it.
func (c *Client) unreachable(err error) error {
	var distrust *foreignError
	e := &Error{Reason: "unreachable", Message: fmt.Sprintf("no gate answers on %s: %v", c.path, err), Hint: "see the gate's log"}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("asking the gate: %w", err)
	case errors.As(err, &distrust):
		e.Reason, e.Message = "foreign_socket", "nothing was sent: "+distrust.why
		e.Hint = "name your gate's own socket with --config FILE or --socket PATH; sudo -u USER runs a command as the user of a gate"
	case errors.Is(err, fs.ErrNotExist):
		e.Message = "no gate is running here: there is no socket " + c.path
		e.Hint = "start one with cosmosgate serve, or name the running one's with --config FILE or --socket PATH"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Message = "no gate is running here: the one that made " + c.path + " is gone"
		e.Hint = "start it with cosmosgate serve; it replaces the socket"
	case errors.Is(err, fs.ErrPermission):
		e.Message = "the gate on " + c.path + " belongs to another user" + owner(c.path)
		e.Hint = "run this command as the user that runs the gate, or as root"
	}
	return e
}

func (c *Client) brokenOff(err error) error {
	return &Error{
		Reason: "broken_off", Message: fmt.Sprintf("the gate on %s broke off its answer: %v", c.path, err),
		Hint: "whether the act was done is in the audit record; see also the gate's log",
	}
}

// owner says whose a socket is, if that can be seen.
func owner(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	return ownerOf(info)
}
