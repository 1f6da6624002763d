package proxy

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
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
	published, err := cosmos.AccountDocument(body, cosmos.Publication{
		ID: a.name, Endpoint: a.public, Region: a.region, UpstreamHost: a.secret,
	})
	if err != nil {
		return fmt.Errorf("publishing account document: %w", err)
	}
	a.document.Store(&accountDocument{body: published, length: []string{strconv.Itoa(len(published))}, read: a.now()})
	return nil
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
