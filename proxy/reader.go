package proxy

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

	"github.com/cosmosgate/cosmosgate/cosmos"
)

const (
	ownReadTimeout  = 20 * time.Second
	ownReadMaxBytes = 1 << 20
	ownVersion      = "2020-11-05"
	ownUserAgent    = "cosmosgate"
)

var (
	errOwnRead  = errors.New("own read of upstream failed")
	errNotFound = errors.New("upstream has no such resource")
)

// resource is what the gate itself reads: the account, a database or a container.
type resource struct {
	path string // unescaped
	kind string // resource type that a key signs
	link string // resource link that a key signs
}

// Method implements signable.
func (resource) Method() string { return http.MethodGet }

// Signing implements signable.
func (r resource) Signing() (resourceType, resourceLink string) { return r.kind, r.link }

// read gets one resource under the reader's identity, renewing its token once.
func (a *account) read(ctx context.Context, from resource) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, ownReadTimeout)
	defer cancel()
	token, err := a.reader.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOwnRead, err)
	}
	body, refused, err := a.readOnce(ctx, from, token)
	if !refused {
		return body, err
	}
	a.metrics.rejections.WithLabelValues(a.name, a.own).Inc()
	renewed, renewErr := a.reader.Renew(ctx, token)
	if renewErr != nil {
		return nil, errors.Join(err, renewErr)
	}
	body, _, err = a.readOnce(ctx, from, renewed)
	return body, err
}

// readOnce also says whether upstream refused the identity.
func (a *account) readOnce(ctx context.Context, from resource, token Token) (body []byte, refused bool, err error) {
	date := a.now().UTC().Format(http.TimeFormat)
	target := &url.URL{Scheme: a.upstream.Scheme, Host: a.upstream.Host, Path: from.path}
	request := (&http.Request{
		Method: http.MethodGet, URL: target, Host: a.upstream.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Accept":        {"application/json"},
			"Authorization": {token.sign(from, date)},
			"User-Agent":    {ownUserAgent},
			"X-Ms-Date":     {date},
			"X-Ms-Version":  {ownVersion},
		},
	}).WithContext(ctx)
	response, err := a.transport.RoundTrip(request)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", errOwnRead, err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end or given up.
	body, err = io.ReadAll(io.LimitReader(response.Body, ownReadMaxBytes+1))
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("%w: %w", errOwnRead, err)
	case len(body) > ownReadMaxBytes:
		return nil, false, fmt.Errorf("%w: more than %d bytes", errOwnRead, ownReadMaxBytes)
	case response.StatusCode == http.StatusOK:
		return body, false, nil
	case response.StatusCode == http.StatusNotFound:
		return nil, false, fmt.Errorf("%w: %w", errOwnRead, errNotFound)
	default:
		substatus := substatusOf(response.Header)
		return nil, identityRefused(response.StatusCode, substatus),
			fmt.Errorf("%w: status %d/%d", errOwnRead, response.StatusCode, substatus)
	}
}

// readName reads the name of a database or container by its RID.
func (a *account) readName(ctx context.Context, rid cosmos.RID) (string, error) {
	from := resource{path: "/dbs/" + rid.Database().String(), kind: "dbs"}
	if rid.Kind() == cosmos.ContainerRID {
		from.path += "/colls/" + rid.String()
		from.kind = "colls"
	}
	from.link = strings.ToLower(rid.String())
	body, err := a.read(ctx, from)
	if err != nil {
		return "", err
	}
	var found struct {
		ID  string `json:"id"`
		RID string `json:"_rid"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&found); err != nil {
		return "", fmt.Errorf("%w: %w", errOwnRead, err)
	}
	if got, err := cosmos.ParseRID(strings.ReplaceAll(found.RID, "/", "-")); err != nil || got != rid || found.ID == "" {
		return "", fmt.Errorf("%w: another resource was sent: %w", errOwnRead, errNotFound)
	}
	return found.ID, nil
}
