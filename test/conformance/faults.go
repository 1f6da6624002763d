package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// fault is what goes wrong at the stand-in while a case runs: its answer to
// requests for the items of a container.
type fault struct {
	Method       string `json:"method"`
	Container    string `json:"container"`
	Status       int    `json:"status"`
	Substatus    int    `json:"substatus"`
	RetryAfterMS int    `json:"retry_after_ms"`
	// Times is how many requests are hit; -1 means all.
	Times int `json:"times"`
}

// prefix is where the paths of a container's items begin.
func (f fault) prefix(places map[string]place) string {
	p := places[f.Container]
	return "/dbs/" + p.Database + "/colls/" + p.Container + "/docs"
}

// stagehand is told by a runner which case begins. It clears away the faults of
// the case before, having counted the attempts that were made, and injects the
// new one's.
type stagehand struct {
	target *target
	cases  []testCase
	places map[string]place
	server *http.Server
	url    string

	mu       sync.Mutex
	current  testCase
	attempts map[string]int
	problem  error
}

func newStagehand(t *target, cases []testCase, places map[string]place) (*stagehand, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s := &stagehand{target: t, cases: cases, places: places, url: "http://" + listener.Addr().String() + "/?case=", attempts: map[string]int{}}
	s.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.begin(r.Context(), r.URL.Query().Get("case"))
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() { _ = s.server.Serve(listener) }() // ends with close
	return s, nil
}

// begin ends the case before and sets the stage for the named one.
func (s *stagehand) begin(ctx context.Context, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.clear(ctx)
	if i := slices.IndexFunc(s.cases, func(c testCase) bool { return c.Name == name }); i >= 0 {
		s.current = s.cases[i]
	}
	if s.current.After != "" {
		pause, wrong := time.ParseDuration(s.current.After)
		err = errors.Join(err, wrong)
		time.Sleep(pause)
	}
	if len(s.current.Faults) > 0 {
		err = errors.Join(err, s.target.control(ctx, http.MethodDelete, "requests", nil, nil))
	}
	for _, f := range s.current.Faults {
		err = errors.Join(err, s.target.control(ctx, http.MethodPost, "faults", map[string]any{
			"method": f.Method, "path_prefix": f.prefix(s.places), "status": f.Status, "substatus": f.Substatus,
			"retry_after_ms": f.RetryAfterMS, "times": f.Times,
		}, nil))
	}
	s.problem = errors.Join(s.problem, err)
}

// clear counts the attempts of the current case, if something went wrong in
// it, and takes its faults away.
func (s *stagehand) clear(ctx context.Context) error {
	before := s.current
	s.current = testCase{}
	if len(before.Faults) == 0 {
		return nil
	}
	var requests []struct{ Method, Path string }
	err := s.target.control(ctx, http.MethodGet, "requests", nil, &requests)
	for _, one := range requests {
		if slices.ContainsFunc(before.Faults, func(f fault) bool {
			return f.Method == one.Method && strings.HasPrefix(one.Path, f.prefix(s.places))
		}) {
			s.attempts[before.Name]++
		}
	}
	return errors.Join(err, s.target.control(ctx, http.MethodDelete, "faults", nil, nil))
}

// end closes the stage and adds to the last step of every case with faults how
// many attempts reached the stand-in.
func (s *stagehand) end(ctx context.Context, found results) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.problem, s.clear(ctx), s.server.Close())
	for name, attempts := range s.attempts {
		if steps := found[name]; len(steps) > 0 {
			if last, ok := steps[len(steps)-1].(map[string]any); ok {
				last["attempts"] = float64(attempts)
			}
		}
	}
	return err
}
