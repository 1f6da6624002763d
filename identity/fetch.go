package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// fetchTimeout bounds discovery and keys together.
	fetchTimeout = 10 * time.Second
	// rediscoverAfter bounds how long a jwks_uri is trusted without asking again.
	rediscoverAfter = time.Hour
)

// fetcher reads an issuer's keys over HTTP. Only the loop of a keySet calls it.
type fetcher struct {
	issuer     string
	client     *http.Client
	loopback   bool
	clock      func() time.Time
	keysURL    string
	fixed      bool   // keysURL is configured, not discovered
	keysFile   string // in place of everything else
	use        string
	discovered time.Time
}

func newFetcher(issuer string, cfg fetchConfig) *fetcher {
	client := *cfg.client
	client.Transport = boundedTransport{base: cfg.client.Transport}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	return &fetcher{
		issuer: issuer, client: &client, loopback: cfg.loopback, clock: cfg.clock,
		keysURL: cfg.keysURL, fixed: cfg.keysURL != "", keysFile: cfg.keysFile, use: cfg.use,
	}
}

// fetchConfig is what a fetcher takes from Config and Issuer.
type fetchConfig struct {
	client   *http.Client
	loopback bool
	clock    func() time.Time
	keysURL  string // instead of discovery
	keysFile string // instead of HTTP
	use      string // of the keys, in place of sig or none
}

// fetch returns the keys and how long they may be kept according to the issuer (zero: it did not say).
func (f *fetcher) fetch(ctx context.Context) (keysByID, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()

	if f.keysFile != "" {
		keys, err := readKeyFile(f.keysFile, f.use)

		return keys, minRefresh, err
	}

	if !f.fixed && (f.keysURL == "" || f.clock().Sub(f.discovered) >= rediscoverAfter) {
		if err := f.discover(ctx); err != nil {
			return nil, 0, err
		}
	}

	document, maxAge, err := f.get(ctx, f.keysURL)
	if err != nil {
		if !f.fixed {
			f.keysURL = "" // perhaps it has moved
		}

		return nil, 0, fmt.Errorf("fetching keys: %w", err)
	}

	keys, err := parseKeysFor(document, f.use)
	if err != nil {
		return nil, 0, err
	}

	return keys, maxAge, nil
}

// readKeyFile reads a key document from a file of at most maxKeyDocumentBytes.
func readKeyFile(path, use string) (keysByID, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	defer file.Close() //nolint:errcheck // It was only read.

	document, err := io.ReadAll(io.LimitReader(file, maxKeyDocumentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}

	if len(document) > maxKeyDocumentBytes {
		return nil, fmt.Errorf("reading keys: %w", errKeyFile)
	}

	return parseKeysFor(document, use)
}

// discover learns jwks_uri. The library compares the document's issuer with the configured one, byte by byte.
func (f *fetcher) discover(ctx context.Context) error {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, f.client), f.issuer)
	if err != nil {
		return fmt.Errorf("discovery: %w", clip(err)) // it quotes the body
	}

	var document struct {
		KeysURL string `json:"jwks_uri"`
	}

	if err := provider.Claims(&document); err != nil {
		return fmt.Errorf("discovery document: %w", clip(err))
	}

	if err := checkURL(document.KeysURL, f.loopback); err != nil {
		return fmt.Errorf("jwks_uri: %w", err)
	}

	f.keysURL, f.discovered = document.KeysURL, f.clock()

	return nil
}

var (
	errStatus  = errors.New("unexpected status")
	errKeyFile = errors.New("file is larger than 1 MB")
)

func (f *fetcher) get(ctx context.Context, address string) ([]byte, time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("building request: %w", err)
	}

	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("Cache-Control", "no-cache")

	response, err := f.client.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("sending request: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // It has been read, or failed.

	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%w %d", errStatus, response.StatusCode)
	}

	document, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("reading body: %w", err)
	}

	return document, maxAge(response.Header.Get("Cache-Control")), nil
}

// maxAge returns the max-age directive (RFC 9111 section 5.2.2.1), zero if there is none.
func maxAge(cacheControl string) time.Duration {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}

		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
		if err != nil {
			return 0
		}

		return time.Duration(seconds) * time.Second
	}

	return 0
}

// boundedTransport lets no response body exceed maxKeyDocumentBytes: the discovery code of the library reads to the end.
type boundedTransport struct {
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("fetching from issuer: %w", err)
	}

	response.Body = http.MaxBytesReader(nil, response.Body, maxKeyDocumentBytes)

	return response, nil
}

var (
	errScheme      = errors.New("must be an https URL")
	errURLParts    = errors.New("must have no user or fragment")
	errLoopback    = errors.New("is on loopback, which is for development only")
	errNotLoopback = errors.New("plain http is for loopback only")
)

// checkURL accepts https URLs off loopback and, with loopback set, http and https URLs on it as well.
func checkURL(address string, loopback bool) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}

	onLoopback := isLoopback(u.Hostname())

	switch {
	case u.Host == "" || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return errScheme
	case u.User != nil || u.Fragment != "":
		return errURLParts
	case onLoopback && !loopback:
		return errLoopback
	case u.Scheme == "http" && !loopback:
		return errScheme
	case u.Scheme == "http" && !onLoopback:
		return errNotLoopback
	default:
		return nil
	}
}

// isLoopback reports whether host can only mean this machine.
func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}

	address, err := netip.ParseAddr(host)

	return err == nil && address.Unmap().IsLoopback()
}
