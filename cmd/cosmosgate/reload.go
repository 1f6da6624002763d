package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/policy"
)

// policyFolder keeps an engine on the newest policy that is whole: read, checked, its own tests passed.
type policyFolder struct {
	path    string
	options policy.Options
	issuers []identity.Issuer
	engine  *policy.Engine
	log     *slog.Logger

	declared  atomic.Pointer[declarations]
	lastFault atomic.Pointer[error]
	seen      [sha256.Size]byte
	asked     chan struct{}

	reloads *prometheus.CounterVec
	loaded  prometheus.Gauge
}

func newPolicyFolder(cfg *config.Config, log *slog.Logger) (*policyFolder, error) {
	p := &policyFolder{
		path: cfg.Policy.Path, options: policyOptions(cfg), issuers: identityConfig(cfg, nil, log).Issuers, log: log,
		asked: make(chan struct{}, 1),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_policy_reloads_total", Help: "Policies read, by result: success or failure.",
		}, []string{"result"}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cosmosgate_policy_loaded_timestamp_seconds", Help: "When the policy in force was loaded.",
		}),
	}
	p.reloads.WithLabelValues("failure") // counts from 0, so that the first failure is a rise
	p.seen = fingerprint(p.path)         // before reading, so that an edit in between is not missed
	set, err := p.read()
	if err != nil {
		return nil, err
	}
	p.engine = policy.NewEngine(nil)
	p.swap(set)
	return p, nil
}

func policyOptions(cfg *config.Config) policy.Options {
	o := policy.Options{}
	names := map[string]bool{}
	for i := range cfg.Accounts {
		o.Accounts = append(o.Accounts, cfg.Accounts[i].Name)
		for name := range cfg.Accounts[i].Identities {
			names[name] = true
		}
	}
	o.Identities = slices.Sorted(maps.Keys(names))
	for i := range cfg.Connections {
		o.Connections = append(o.Connections, cfg.Connections[i].Name)
	}
	return o
}

// names are what the issuers are called.
func (p *policyFolder) names() []string {
	names := make([]string, 0, len(p.issuers))
	for i := range p.issuers {
		names = append(names, p.issuers[i].Name)
	}
	return names
}

// read loads the folder and runs the policy's own tests, the last thing that may refuse it.
func (p *policyFolder) read() (*policy.Set, error) {
	o := p.options
	o.Now = time.Now()
	set, err := policy.Load([]string{p.path}, o)
	if err != nil {
		return nil, err //nolint:wrapcheck // each line begins with its file
	}
	declared, err := declarationsOf(set)
	if err == nil {
		err = identity.CheckApplications(p.issuers, declared.applications)
	}
	if err := errors.Join(err, p.knownIssuers(set), runPolicyTests(set)); err != nil {
		return nil, err
	}
	for _, w := range set.Warnings() {
		p.log.Warn("policy warning", "place", w.Position.String(), "warning", w.What)
	}
	return set, nil
}

var (
	errPolicyTest    = errors.New("policy test failed")
	errUnknownIssuer = errors.New("names an issuer that the configuration does not have")
)

// knownIssuers refuses an application that no token could ever be.
func (p *policyFolder) knownIssuers(set *policy.Set) error {
	var faults []error
	names := p.names()
	for _, a := range set.Applications() {
		if a.Issuer != "" && !slices.Contains(names, a.Issuer) {
			faults = append(faults, fmt.Errorf("application %s %w: %q is not one of %v", a.Name, errUnknownIssuer, a.Issuer, names))
		}
	}
	for _, a := range set.Agents() {
		if a.Issuer != "" && !slices.Contains(names, a.Issuer) {
			faults = append(faults, fmt.Errorf("agent %s %w: %q is not one of %v", a.Name, errUnknownIssuer, a.Issuer, names))
		}
	}
	return errors.Join(faults...)
}

func runPolicyTests(set *policy.Set) error {
	var faults []error
	for _, r := range set.Test(time.Now()) {
		if !r.Passed {
			faults = append(faults, fmt.Errorf("%s: %w: %s case %d: %s", r.Position, errPolicyTest, r.Test, r.Case, r.Failure))
		}
	}
	return errors.Join(faults...)
}

func (p *policyFolder) swap(set *policy.Set) {
	p.engine.Swap(set)
	p.lastFault.Store(nil)
	p.reloads.WithLabelValues("success").Inc()
	p.loaded.SetToCurrentTime()
	p.log.Info("policy loaded", "path", p.path, "hash", set.Hash(),
		"roles", len(set.Roles()), "applications", len(set.Applications()), "agents", len(set.Agents()))
}

// reload reads the policy again; a bad one leaves the old one in force, and says so.
func (p *policyFolder) reload() {
	set, err := p.read()
	if err != nil {
		p.lastFault.Store(&err)
		p.reloads.WithLabelValues("failure").Inc()
		p.log.Error("policy not reloaded: the old one stays in force", "error", err)
		return
	}
	p.swap(set)
}

// fault returns why the policy on disk is not the one in force, or nil.
func (p *policyFolder) fault() error {
	if err := p.lastFault.Load(); err != nil {
		return *err
	}
	return nil
}

// Run reloads when the folder's content changes, or when asked to.
func (p *policyFolder) Run(ctx context.Context) error {
	const poll = time.Second
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.asked:
			p.seen = fingerprint(p.path)
			p.reload()
		case <-tick.C:
			if now := fingerprint(p.path); now != p.seen {
				p.seen = now
				p.reload()
			}
		}
	}
}

// ask has the policy read again soon, changed or not.
func (p *policyFolder) ask() {
	select {
	case p.asked <- struct{}{}:
	default: // somebody asked already
	}
}

func (p *policyFolder) collectors() []prometheus.Collector {
	return []prometheus.Collector{p.reloads, p.loaded}
}

// fingerprint changes when any file below path does: name, size and time are enough to look again, the content decides.
func fingerprint(path string) [sha256.Size]byte {
	h := sha256.New()
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path += string(filepath.Separator) // a link to a folder is walked, not looked at
	}
	_ = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error { // an unreadable folder has its own fingerprint
		if err != nil {
			_, _ = fmt.Fprintln(h, name, err)
			return nil
		}
		if info, err := os.Stat(name); err == nil && !d.IsDir() {
			_, _ = fmt.Fprintln(h, name, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil))
}
