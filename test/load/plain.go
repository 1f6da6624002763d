package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The variables that make this program the plain proxy of a comparison, as a process of its own.
const (
	plainUpstream = "LOAD_PLAIN_UPSTREAM"
	plainListen   = "LOAD_PLAIN_LISTEN"
	plainFolder   = "LOAD_PLAIN_FOLDER"
)

// startPlain starts the plain proxy in front of the same upstream.
func (w *world) startPlain(ctx context.Context) (address string, pid int, stop func(), err error) {
	address, _, _, err = freeAddresses()
	if err != nil {
		return "", 0, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return "", 0, nil, fmt.Errorf("starting the plain proxy: %w", err)
	}
	child := exec.CommandContext(ctx, self)
	child.Env = append(os.Environ(), plainUpstream+"=https://localhost"+port(w.upstreamAddress), plainListen+"="+address,
		plainFolder+"="+filepath.Join(w.dir, "tls"))
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		return "", 0, nil, fmt.Errorf("starting the plain proxy: %w", err)
	}
	const pause = 300 * time.Millisecond // it only has to open a port
	time.Sleep(pause)
	return address, child.Process.Pid, func() { _ = child.Process.Kill(); _ = child.Wait() }, nil
}

// servePlain is a reverse proxy with TLS on both sides and nothing in between.
func servePlain(upstream string) error {
	folder := os.Getenv(plainFolder)
	pem, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil {
		return fmt.Errorf("reading the authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "server.pem"), filepath.Join(folder, "server-key.pem"))
	if err != nil {
		return fmt.Errorf("loading the certificate: %w", err)
	}
	target, err := url.Parse(upstream)
	if err != nil {
		return fmt.Errorf("reading the upstream: %w", err)
	}
	const idle = 256
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: idle, DisableCompression: true,
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", os.Getenv(plainListen))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: &proxy, ReadHeaderTimeout: time.Minute}
	return server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})) //nolint:wrapcheck // printed
}
