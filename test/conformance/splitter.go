package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"
)

// splitter stands where the oracle's tests expect the emulator. What a token of
// Entra ID may do goes through the gate, as the application; what it natively
// may not (making and dropping databases and containers, and throughput) goes
// straight to the stand-in, signed with the key as it came.
type splitter struct {
	servers   []*http.Server
	authority string
	folder    string
}

func newSplitter(t *target, token string) (*splitter, error) {
	folder, err := os.MkdirTemp("", "cosmosgate-splitter-")
	if err != nil {
		return nil, fmt.Errorf("making the splitter's folder: %w", err)
	}
	s := &splitter{folder: folder, authority: folder + "/ca.pem"}
	certificate, authority, err := selfSigned()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.authority, authority, 0o600); err != nil {
		return nil, fmt.Errorf("writing the splitter's authority: %w", err)
	}
	known, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the gate's authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(known)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableCompression: true, ForceAttemptHTTP2: true}
	gate, err := forwarder(t.Gate.Endpoint, transport, "type=aad&ver=1.0&sig="+token)
	if err != nil {
		return nil, err
	}
	stand, err := forwarder(t.Emulator.Endpoint, transport, "")
	if err != nil {
		return nil, err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if onlyByKey(r) {
			stand.ServeHTTP(w, r)
			return
		}
		gate.ServeHTTP(w, r)
	})
	for _, address := range oraclePorts {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("listening where the tests expect the emulator: %w", err)
		}
		server := &http.Server{
			Handler: handler, ReadHeaderTimeout: time.Minute,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		}
		s.servers = append(s.servers, server)
		go func() { _ = server.ServeTLS(listener, "", "") }() // ends with close
	}
	return s, nil
}

func (s *splitter) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	_ = os.RemoveAll(s.folder)
}

// forwarder sends requests to an endpoint, with the authorization if one is
// given, and lets the account document name the splitter.
func forwarder(endpoint string, transport http.RoundTripper, authorization string) (*httputil.ReverseProxy, error) {
	upstream, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("reading the endpoint: %w", err)
	}
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = upstream.Scheme, upstream.Host, upstream.Host
			if authorization != "" {
				r.Out.Header.Set("Authorization", url.QueryEscape(authorization))
			}
		},
		ModifyResponse: func(response *http.Response) error { return rename(response, upstream.Host, oraclePorts[0]) },
	}, nil
}

// onlyByKey says whether the service does this for the account's key only.
func onlyByKey(r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	if parts[0] == "offers" {
		return true
	}
	query := r.Header.Get("X-Ms-Documentdb-Query") != "" || r.Header.Get("X-Ms-Documentdb-Isquery") != ""
	const deepest = 4 // dbs/{database}/colls/{container}
	definition := parts[0] == "dbs" && (len(parts) <= 2 || (len(parts) <= deepest && parts[2] == "colls"))
	return definition && r.Method != http.MethodGet && !query
}
