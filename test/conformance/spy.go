package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// spy is a reverse proxy before the gate that notes every request. It changes
// nothing but the account document, so that SDKs keep coming to it.
type spy struct {
	notebook
	endpoint  string
	authority string
	caseURL   string
	servers   []*http.Server
	folder    string
}

// newSpy starts the recorder with a certificate of its own authority.
func newSpy(t *target, p plan, run string) (*spy, error) {
	folder, err := os.MkdirTemp("", "cosmosgate-recorder-")
	if err != nil {
		return nil, fmt.Errorf("making the recorder's folder: %w", err)
	}
	s := &spy{notebook: notebook{names: replacerFor(p.Containers, run)}, folder: folder}
	certificate, authority, err := selfSigned()
	if err != nil {
		return nil, err
	}
	known, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the gate's authority: %w", err)
	}
	s.authority = filepath.Join(folder, "ca.pem")
	if err := os.WriteFile(s.authority, append(authority, known...), 0o600); err != nil {
		return nil, fmt.Errorf("writing the recorder's authority: %w", err)
	}
	upstream, err := url.Parse(t.Gate.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("reading the gate's endpoint: %w", err)
	}
	port, err := s.serve(s.proxy(upstream, known), &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, err
	}
	s.endpoint = "https://localhost:" + strconv.Itoa(port) + "/"
	if port, err = s.serve(http.HandlerFunc(s.begin), nil); err != nil {
		return nil, err
	}
	s.caseURL = "http://127.0.0.1:" + strconv.Itoa(port) + "/?case="
	return s, nil
}

// serve starts one server on loopback and returns its port.
func (s *spy) serve(handler http.Handler, config *tls.Config) (int, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: handler, TLSConfig: config, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, server)
	go func() {
		if config != nil {
			_ = server.ServeTLS(listener, "", "") // ends with close
			return
		}
		_ = server.Serve(listener)
	}()
	address, _ := listener.Addr().(*net.TCPAddr)
	return address.Port, nil
}

func (s *spy) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	_ = os.RemoveAll(s.folder)
}

// proxy notes a request, then forwards it as it came.
func (s *spy) proxy(upstream *url.URL, authority []byte) http.Handler {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	forward := &httputil.ReverseProxy{
		Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			DisableCompression: true,
			ForceAttemptHTTP2:  true,
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = upstream.Scheme, upstream.Host, upstream.Host
		},
		ModifyResponse: func(response *http.Response) error { return s.stay(response, upstream) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.note(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		forward.ServeHTTP(w, r)
	})
}

// stay rewrites the account document so that it names the recorder.
func (s *spy) stay(response *http.Response, upstream *url.URL) error {
	own, err := url.Parse(s.endpoint)
	if err != nil {
		return fmt.Errorf("reading the recorder's endpoint: %w", err)
	}
	return rename(response, upstream.Host, own.Host)
}

// rename replaces one host by another in an account document.
func rename(response *http.Response, from, to string) error {
	if response.Request.URL.Path != "/" && response.Request.URL.Path != "" {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the account document: %w", err)
	}
	body = bytes.ReplaceAll(body, []byte(from), []byte(to))
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// selfSigned makes a certificate for localhost and the authority that signed
// it: some SDKs take no authority for a server.
func selfSigned() (certificate tls.Certificate, authority []byte, err error) {
	signer, key, err := issue(nil, nil)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, leafKey, err := issue(signer, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signer.Raw}), nil
}

// issue makes a server's certificate, or without a signer an authority.
func issue(signer *x509.Certificate, signerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "cosmosgate conformance authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if signer == nil {
		signer, signerKey = template, key
	} else {
		template.SerialNumber, template.Subject.CommonName = big.NewInt(2), "cosmosgate conformance"
		template.KeyUsage, template.IsCA = x509.KeyUsageDigitalSignature, false
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a certificate: %w", err)
	}
	return made, key, nil
}
