package proxy

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

const (
	minDocumentBackoff = time.Second
	// documentRetryAfter is what callers are told while there is no document yet.
	documentRetryAfter = time.Second
)

// accountDocument is what GET / is answered with.
type accountDocument struct {
	body   []byte
	length []string // of body, ready as a header value
	source []byte   // what upstream said
	read   time.Time
}

// keepDocument reads the account document at once and then at intervals. A failure
// leaves the last one in place, whatever its age: the locations in it are ours.
func (a *account) keepDocument(ctx context.Context, cfg *Config) {
	backoff := minDocumentBackoff
	for {
		next := cfg.Limits.AccountRefresh
		if err := a.readDocument(ctx); err == nil {
			backoff = minDocumentBackoff
		} else if ctx.Err() == nil {
			cfg.Logger.WarnContext(ctx, "account document not refreshed",
				"account", a.name, "retry_in", backoff, "error", err)
			next = backoff
			// Readiness waits for the first document, so the end of an outage must not go unnoticed for minutes.
			backoff = min(2*backoff, maxRefreshBackoff, cfg.Limits.AccountRefresh) //nolint:mnd // doubling.
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

func (a *account) readDocument(ctx context.Context) error {
	body, err := a.read(ctx, resource{path: "/"})
	if err != nil {
		return err
	}
	published, err := a.publish(body, a.public)
	if err != nil {
		return err
	}
	a.document.Store(&accountDocument{body: published, length: []string{strconv.Itoa(len(published))}, source: body, read: a.now()})
	return nil
}

// publish writes what upstream said for callers of an endpoint.
func (a *account) publish(body []byte, endpoint string) ([]byte, error) {
	published, err := cosmos.AccountDocument(body, cosmos.Publication{
		ID: a.name, Endpoint: endpoint, Region: a.region, UpstreamHost: a.secret,
	})
	if err != nil {
		return nil, fmt.Errorf("publishing account document: %w", err)
	}
	return published, nil
}

// forKey is the document for the holder of a key with a host name of its own, who must go on using it.
func (d *accountDocument) forKey(a *account, key string) (*accountDocument, error) {
	endpoint := strings.Replace(a.public, "://", "://"+key+keyLabel, 1)
	published, err := a.publish(d.source, endpoint)
	if err != nil {
		return nil, err
	}
	return &accountDocument{body: published, length: []string{strconv.Itoa(len(published))}}, nil
}

// answerAccount answers GET / from what was last read.
func (p *Proxy) answerAccount(c *call) {
	document := c.account.document.Load()
	if document == nil {
		c.outcome, c.verdict = audit.UpstreamFailure, audit.Error
		unavailable := cosmos.Unavailable("no account document yet")
		unavailable.RetryAfter = documentRetryAfter
		p.refuse(c, unavailable)
		return
	}
	if c.keyID != "" {
		var err error
		// Under the id that was proven, not the host name that was sent: they are one, in whatever case it was written.
		if document, err = document.forKey(c.account, c.principal.KeyID); err != nil {
			p.refuse(c, cosmos.Unavailable(err.Error()))
			return
		}
	}
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = document.length
	h[headerActivityID] = []string{c.activityID}
	c.outcome = outcomeAnswered
	c.w.WriteHeader(http.StatusOK)
	if _, err := c.w.Write(document.body); err != nil {
		c.clientGone(err)
	}
}
