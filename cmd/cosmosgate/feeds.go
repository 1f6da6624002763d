package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/feeds"
	"github.com/cosmosgate/cosmosgate/internal/config"
)

// transmitters are who signs the messages of feeds.
func transmitters(cfg *config.Config, client *http.Client) []identity.Transmitter {
	var all []identity.Transmitter
	for i := range cfg.Feeds {
		f := &cfg.Feeds[i]
		all = append(all, identity.Transmitter{Name: f.Name, URL: cfg.TransmitterURL(f), KeysURL: f.KeysURL, HTTPClient: client})
	}
	return all
}

// withFeeds puts the intake of revocation feeds before what else the services listener answers.
func (g *gate) withFeeds(next http.Handler) (http.Handler, error) {
	if len(g.cfg.Feeds) == 0 {
		return next, nil
	}
	once, err := identity.NewOnce(g.directory, time.Now)
	if err != nil {
		return nil, fmt.Errorf("preparing feeds: %w", err)
	}
	c := feeds.Config{
		Messages: g.identity, Revoke: g.revoked.Revoke, Spend: once.Spend, ByEmail: g.directory.UsersByEmail,
		Reserve: g.reserveFeed, Clock: time.Now, Logger: g.log,
	}
	for i := range g.cfg.Feeds {
		f := &g.cfg.Feeds[i]
		c.Feeds = append(c.Feeds, feeds.Feed{
			Name: f.Name, Kind: feeds.Kind(f.Kind), Transmitter: g.cfg.TransmitterURL(f), Audiences: f.Audiences,
			Issuers: feedIssuers(&g.cfg, f), SubjectIssuers: f.SubjectIssuers, SessionOnly: f.SessionOnly,
		})
	}
	if g.feeds, err = feeds.New(c); err != nil {
		return nil, fmt.Errorf("preparing feeds: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if feeds.Serves(r.URL.Path) {
			g.feeds.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

func feedIssuers(cfg *config.Config, f *config.Feed) []feeds.Issuer {
	var all []feeds.Issuer
	for _, name := range f.Issuers {
		for i := range cfg.Issuers {
			if cfg.Issuers[i].Name == name {
				all = append(all, feeds.Issuer{URL: cfg.Issuers[i].URL, Connection: cfg.Issuers[i].Connection})
			}
		}
	}
	return all
}

// reserveFeed makes room in the audit log for a message of a feed.
func (g *gate) reserveFeed() (func(feeds.Record), error) {
	r, err := g.audit.Reserve()
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return func(m feeds.Record) { r.Commit(feedRecord(&m)) }, nil
}

// feedRecord is a message of a feed as docs/audit.md describes it.
func feedRecord(m *feeds.Record) audit.Record {
	r := audit.Record{
		Event: audit.Revocation, Time: m.Time, DecisionID: newID(), Source: m.Source, Method: m.Method,
		Principal:  audit.Principal{Kind: "feed", Issuer: m.Issuer, Subject: m.Feed},
		Credential: audit.Credential{Method: string(m.Kind), TokenID: m.ID},
		Operation:  string(m.Kind), Target: strings.Join(m.Revoked, ", "), Reason: m.Reason, Detail: m.Detail, Status: m.Status,
		Decision: audit.Allow, Outcome: audit.Answered, BytesIn: m.BytesIn, Duration: m.Duration, GateDuration: m.Duration,
	}
	switch {
	case m.Status >= http.StatusInternalServerError:
		r.Decision, r.Outcome = audit.Error, audit.Internal
	case m.Status >= http.StatusBadRequest:
		r.Decision, r.Outcome = audit.Deny, audit.Refused
	}
	return r
}
