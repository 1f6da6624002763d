// Command load measures what one gate costs: CPU time of the gate's own process for each request, throughput and latency.
//
// It starts `cosmosgate serve` as a child process with everything on (TLS on both sides, sign-in, directory, policy, record,
// metrics) between itself and an upstream of its own that answers point reads of 0.9 KB from memory, and keeps a fixed number
// of connections busy. Only loopback is used; the run ends by itself.
//
//	go run . -gate ../../bin/cosmosgate -connections 32 -duration 10s
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	gate := flag.String("gate", "../../bin/cosmosgate", "the binary to measure")
	connections := flag.Int("connections", 32, "connections kept busy")
	duration := flag.Duration("duration", 10*time.Second, "how long to measure, after a warm-up of a fifth of it")
	direct := flag.Bool("direct", false, "measure the upstream alone, for comparison: what the load generator itself can do")
	plain := flag.Bool("plain", false, "measure net/http/httputil's reverse proxy in the gate's place, for comparison: it checks and records nothing")
	flag.Parse()
	if upstream := os.Getenv(plainUpstream); upstream != "" {
		fmt.Fprintln(os.Stderr, "load:", servePlain(upstream))
		os.Exit(1)
	}
	if err := run(*gate, *connections, *duration, *direct, *plain); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(gate string, connections int, duration time.Duration, direct, plain bool) error {
	const longest = 5 * time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	w, err := newWorld(ctx, gate)
	if err != nil {
		return err
	}
	defer w.close()
	target, pid := w.gateAddress, w.gatePID()
	switch {
	case direct:
		target, pid = w.upstreamAddress, 0
	case plain:
		var stop func()
		if target, pid, stop, err = w.startPlain(ctx); err != nil {
			return err
		}
		defer stop()
	}
	const warmUps = 5
	if _, err := drive(ctx, w, target, connections, duration/warmUps); err != nil {
		return err
	}
	before, err := cpuTime(pid)
	if err != nil {
		return err
	}
	began := time.Now()
	latencies, err := drive(ctx, w, target, connections, duration)
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := cpuTime(pid)
	if err != nil {
		return err
	}
	report(latencies, took, after-before, pid)
	return nil
}

func report(latencies []time.Duration, took, cpu time.Duration, pid int) {
	slices.Sort(latencies)
	n := len(latencies)
	at := func(share float64) time.Duration {
		return latencies[min(n-1, int(share*float64(n)))].Round(time.Microsecond)
	}
	fmt.Printf("requests    %d in %s\n", n, took.Round(time.Millisecond))
	fmt.Printf("throughput  %.0f/s\n", float64(n)/took.Seconds())
	fmt.Printf("latency     p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n", at(0.5), at(0.9), at(0.99), at(0.999), latencies[n-1].Round(time.Microsecond))
	if pid != 0 {
		fmt.Printf("proxy CPU   %.1f µs/request (user+system of its process)\n", float64(cpu.Microseconds())/float64(n))
		if kb, err := peakMemory(pid); err == nil {
			fmt.Printf("peak memory %d MiB resident\n", kb>>10)
		}
	}
}

// drive keeps the connections busy with point reads and returns the latency of each.
func drive(ctx context.Context, w *world, address string, connections int, duration time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var group sync.WaitGroup
	results := make([][]time.Duration, connections)
	faults := make([]error, connections)
	for i := range connections {
		group.Go(func() { results[i], faults[i] = keepBusy(ctx, w, address) })
	}
	group.Wait()
	return slices.Concat(results...), errors.Join(faults...)
}

var errAnswer = errors.New("unexpected answer")

// keepBusy sends the same request again and again over one connection. The request is written as bytes and the response read
// with the least work that still checks it, so that the generator leaves the processor to the gate.
func keepBusy(ctx context.Context, w *world, address string) ([]time.Duration, error) {
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: w.pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close() //nolint:errcheck // the run is over
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	request := []byte("GET /dbs/shop/colls/orders/docs/1001 HTTP/1.1\r\nHost: localhost:" + port + "\r\n" +
		"Authorization: type%3Daad%26ver%3D1.0%26sig%3D" + w.token + "\r\n" +
		"User-Agent: azsdk-go-azcosmos/v1.5.0 (go1.26; linux)\r\nAccept: application/json\r\nCache-Control: no-cache\r\n" +
		"x-ms-version: 2020-11-05\r\nx-ms-date: Tue, 24 Nov 2026 12:00:00 GMT\r\nx-ms-documentdb-partitionkey: [\"emea\"]\r\n" +
		"x-ms-client-request-id: 3f0a7c52-9f0e-4f6e-8a6c-0f7d2c0b5d11\r\n\r\n")
	reader := bufio.NewReaderSize(conn, 16<<10)
	var latencies []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		if _, err := conn.Write(request); err != nil {
			return nil, fmt.Errorf("writing: %w", err)
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			return nil, fmt.Errorf("reading: %w", err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || n != int64(len(document)) {
			return nil, fmt.Errorf("%w: %s, %d bytes, %w", errAnswer, resp.Status, n, err)
		}
		latencies = append(latencies, time.Since(began))
	}
	return latencies, nil
}

// document is the item that upstream always has.
var document = `{"id":"1001","department":"emea","note":"` + strings.Repeat("x", 700) + `",` + //nolint:gochecknoglobals // constant text
	`"_rid":"TGMhAO3nQ0QBAAAAAAAAAA==","_self":"dbs/TGMhAA==/colls/TGMhAO3nQ0Q=/docs/TGMhAO3nQ0QBAAAAAAAAAA==/",` +
	`"_etag":"\"00000000-0000-0000-5e1f-3a5f3cf701dc\"","_attachments":"attachments/","_ts":1795521600}`
