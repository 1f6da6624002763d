package scim_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

type timed struct {
	directory.Log
	took []time.Duration
	size []int
}

func (l *timed) Append(ctx context.Context, b []directory.Delta) error {
	s := time.Now()
	err := l.Log.Append(ctx, b)
	l.took = append(l.took, time.Since(s))
	l.size = append(l.size, len(b))
	return err
}

func q(d []time.Duration) string {
	slices.Sort(d)
	n := len(d) - 1
	return fmt.Sprint(d[n/2], " ", d[n*9/10], " ", d[n*99/100], " ", d[n*999/1000])
}

func BenchmarkZZ(b *testing.B) {
	for _, clients := range []int{1, 25} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			inner, err := directory.OpenBolt(filepath.Join(b.TempDir(), "x.db"))
			if err != nil {
				b.Fatal(err)
			}
			l := &timed{Log: inner}
			d, err := directory.Open(directory.Config{Log: l, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go d.Run(ctx)
			g := newGate(b, func(c *scim.Config) { c.Directory = d })
			ids := make([]string, 100)
			for i := range ids {
				ids[i] = g.user(b, fmt.Sprintf("u%d", i))
			}
			web := httptest.NewServer(g)
			defer web.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
			l.took, l.size = nil, nil
			var mu sync.Mutex
			var took []time.Duration
			b.ResetTimer()
			var wait sync.WaitGroup
			for c := range clients {
				wait.Go(func() {
					for i := c; i < b.N; i += clients {
						start := time.Now()
						patchOver(b, client, web.URL+"/scim/v2/corp/Users/"+ids[i%100],
							patchBody(fmt.Sprintf(`{"op":"Replace","path":"title","value":"t%d"}`, i)))
						d := time.Since(start)
						mu.Lock()
						took = append(took, d)
						mu.Unlock()
					}
				})
			}
			wait.Wait()
			b.StopTimer()
			sum := 0
			for _, s := range l.size {
				sum += s
			}
			fmt.Fprintf(os.Stderr, "clients %d n %d: http %s | append n %d avg batch %.1f  %s\n", clients, b.N, q(took), len(l.took), float64(sum)/float64(len(l.size)), q(l.took))
			io.Discard.Write(nil)
		})
	}
}
