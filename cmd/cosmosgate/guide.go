package main

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// newGuide is the document at /.well-known/cosmosgate.
func newGuide(cfg *config.Config) ([]byte, error) {
	g := credential.Guide{Version: 1, SignIn: []credential.SignIn{}, Services: cfg.Services()}
	urls := map[string]string{}
	for i := range cfg.Issuers {
		urls[cfg.Issuers[i].Name] = cfg.Issuers[i].URL
	}
	for _, s := range cfg.SignIns() {
		g.SignIn = append(g.SignIn, credential.SignIn{
			Name: s.Issuer, Issuer: urls[s.Issuer], ClientID: s.ClientID, Audience: s.Audience, Scopes: s.Scopes,
		})
	}
	for i := range cfg.Accounts {
		g.Accounts = append(g.Accounts, credential.Account{Name: cfg.Accounts[i].Name, Endpoint: cfg.Accounts[i].PublicURL})
	}
	var err error
	if file := cfg.Engineers.CertificateAuthority; file != "" {
		if g.CertificateAuthority, err = readAuthority(file); err != nil {
			return nil, fmt.Errorf("engineers.certificate_authority: %w", err)
		}
	}
	document, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("encoding the guide: %w", err)
	}
	return document, nil
}

// readAuthority takes the first certificate of a PEM file, and nothing else that may be in it.
func readAuthority(file string) (*credential.CertificateAuthority, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		sum := sha256.Sum256(certificate.Raw)
		return &credential.CertificateAuthority{
			Subject: certificate.Subject.String(), SHA256: hex.EncodeToString(sum[:]),
			PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})),
		}, nil
	}
	return nil, fmt.Errorf("%s %w", file, errNoCertificate)
}

// surveyor tells callers what they may do by the policy in force. Surveys are rare and large, so that few run at once.
type surveyor struct {
	set  func() *policy.Set
	slot chan struct{}

	mu    sync.Mutex
	of    *policy.Set
	cells []policy.Resource // that the set tells apart
}

const (
	surveysAtOnce = 2
	mostReach     = 1000
)

var errSurveyBusy = errors.New("too many surveys at once")

func newSurveyor(set func() *policy.Set) *surveyor {
	return &surveyor{set: set, slot: make(chan struct{}, surveysAtOnce)}
}

func (s *surveyor) survey(who policy.Principal, at time.Time) ([]proxy.Reach, bool, error) {
	select {
	case s.slot <- struct{}{}:
		defer func() { <-s.slot }()
	default:
		return nil, false, errSurveyBusy
	}
	set := s.set()
	cells, err := s.cellsOf(set)
	if err != nil {
		return nil, true, nil // a policy that cannot be listed is no reason to tell a caller nothing
	}
	survey := policy.NewSurvey(set, []policy.Principal{who}, policy.AllActions, at)
	var reach []proxy.Reach
	for _, r := range cells {
		for _, way := range survey.Container(r)(0) {
			if len(reach) == mostReach {
				return reach, true, nil
			}
			reach = append(reach, reachOf(r, &way))
		}
	}
	return reach, false, nil
}

func (s *surveyor) cellsOf(set *policy.Set) ([]policy.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == set {
		return s.cells, nil
	}
	cells, err := policy.Cells(set)
	if err != nil {
		return nil, err //nolint:wrapcheck // only its presence matters
	}
	s.of, s.cells = set, cells
	return cells, nil
}

// reachOf leaves out what is not the caller's to know: the texts of conditions and guardrails, bindings and identities.
func reachOf(r policy.Resource, way *policy.Access) proxy.Reach {
	reach := proxy.Reach{
		Account: cmp.Or(r.Account, "*"), Database: r.Database, Container: r.Container, Actions: way.Actions.Names(), Role: way.Role,
		Conditional: len(way.When)+len(way.Unless) > 0, Expires: way.Expires,
	}
	for _, component := range way.PartitionKey {
		reach.PartitionKey = append(reach.PartitionKey, json.RawMessage(component))
	}
	slices.Sort(reach.Actions)
	return reach
}
