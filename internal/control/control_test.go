package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cosmosgate/cosmosgate/internal/control"
)

type order struct {
	Name string `json:"name"`
}

type answer struct {
	Greeting string `json:"greeting"`
}

// gate is a running control socket with a record of its acts.
type gate struct {
	path string
	mu   sync.Mutex
	acts []control.Act
	full bool // the record takes nothing
}

func (g *gate) reserve() (func(control.Act), error) {
	if g.full {
		return nil, errors.New("disk full")
	}
	return func(a control.Act) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.acts = append(g.acts, a)
	}, nil
}

func (g *gate) recorded() []control.Act {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acts
}

// shortDir is a folder with a path short enough for a socket on every system.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cg") //nolint:usetesting // its folders carry the test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, g *gate) *gate {
	t.Helper()
	g.path = filepath.Join(shortDir(t), "gate.sock")
	begun := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	mux, err := control.NewMux(control.Config{Reserve: g.reserve, Now: func() time.Time { return begun }, NewID: func() string { return "d-1" }})
	if err != nil {
		t.Fatal(err)
	}
	control.Handle(mux, "greet", func(_ context.Context, c *control.Call, in order) (answer, error) {
		c.Target("person %s", in.Name)
		switch in.Name {
		case "nobody":
			return answer{}, control.NotFound("nobody is here", "try ann")
		case "broken":
			return answer{}, errors.New("the store is gone")
		case "panic":
			panic(http.ErrAbortHandler)
		}
		return answer{Greeting: "hello " + in.Name}, nil
	})
	control.HandleStream(mux, "copy", func(_ context.Context, _ *control.Call, r io.Reader, w io.Writer) error {
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		return control.Conflict("too late", "begin again")
	})
	l, err := control.Listen(g.path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return g
}

func TestEveryActIsRecordedWithWhoAskedAndHowItEnded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		act  string
		in   any
		want *control.Error
		acts control.Act
	}{
		"done": {"greet", order{"ann"}, nil, control.Act{Name: "greet", Target: "person ann"}},
		"refused": {
			"greet", order{"nobody"}, &control.Error{Status: 404, Reason: "not_found", Message: "nobody is here", Hint: "try ann"},
			control.Act{Name: "greet", Target: "person nobody"},
		},
		"failed": {
			"greet", order{"broken"}, &control.Error{Status: 500, Reason: "internal", Message: "the store is gone", Hint: "see the gate's log"},
			control.Act{Name: "greet", Target: "person broken"},
		},
		"a member that the gate does not know": {
			"greet", map[string]any{"who": "ann"},
			&control.Error{Status: 400, Reason: "invalid", Message: `reading the request: json: unknown field "who"`, Hint: "use the same version of cosmosgate as the gate"},
			control.Act{Name: "greet"},
		},
		"an act that the gate does not know": {
			"dance", order{},
			&control.Error{
				Status: 404, Reason: "not_found", Message: "this gate does not know /v1/dance",
				Hint: "use the same version of cosmosgate as the gate; some acts exist only if the configuration asks for them",
			}, control.Act{Name: "dance"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, &gate{})
			got, err := control.Do[answer](t.Context(), control.NewClient(g.path), test.act, test.in)
			refusal, _ := errors.AsType[*control.Error](err)
			if diff := cmp.Diff(test.want, refusal); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if test.want == nil && got.Greeting != "hello ann" {
				t.Errorf("answer = %+v", got)
			}
			test.acts.ID, test.acts.Time, test.acts.Err = "d-1", time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), test.want
			test.acts.Peer = control.Peer{Known: true, UID: os.Geteuid(), PID: os.Getpid()}
			if diff := cmp.Diff([]control.Act{test.acts}, g.recorded(), cmpopts.IgnoreFields(control.Act{}, "In", "Out")); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARequestThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	g := start(t, &gate{})
	_, err := control.Do[answer](t.Context(), control.NewClient(g.path), "greet", order{strings.Repeat("x", 2<<20)})
	if want := "the request is larger than 1 MiB"; err == nil || err.Error() != want {
		t.Errorf("Do() = %v, want %s", err, want)
	}
	plain := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", g.path)
	}}}
	resp, err := plain.Post("http://gate/v1/greet", "application/json", strings.NewReader(`{"name":"`+strings.Repeat("x", 1<<20)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status = %d, want 400", resp.StatusCode)
	}
}

func TestAnActThatCannotBeRecordedIsNotDone(t *testing.T) {
	t.Parallel()
	g := start(t, &gate{full: true})
	_, err := control.Do[answer](t.Context(), control.NewClient(g.path), "greet", order{"ann"})
	if refusal, ok := errors.AsType[*control.Error](err); !ok || refusal.Status != http.StatusServiceUnavailable {
		t.Errorf("Do() = %v, want 503", err)
	}
}

func TestAnActThatBreaksOffIsRecordedAsFailed(t *testing.T) {
	t.Parallel()
	g := start(t, &gate{})
	if _, err := control.Do[answer](t.Context(), control.NewClient(g.path), "greet", order{"panic"}); err == nil {
		t.Error("Do() = nil, want an error")
	}
	if acts := g.recorded(); len(acts) != 1 || acts[0].Err == nil {
		t.Errorf("acts = %+v, want one that failed", acts)
	}
}

func TestAStreamMayFailAfterItBegan(t *testing.T) {
	t.Parallel()
	g := start(t, &gate{})
	var out bytes.Buffer
	err := control.NewClient(g.path).Stream(t.Context(), "copy", nil, strings.NewReader(strings.Repeat("line\n", 10000)), &out)
	if want := "too late"; err == nil || err.Error() != want {
		t.Errorf("Stream() = %v, want %s", err, want)
	}
	if out.Len() != 50000 {
		t.Errorf("got %d bytes, want what was written before", out.Len())
	}
}

func TestTheSocketIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	g := start(t, &gate{})
	info, err := os.Lstat(g.path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode = %v, want a socket with 0600", info.Mode())
	}
	entries, err := os.ReadDir(filepath.Dir(g.path))
	if err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v; want the socket alone", entries, err)
	}
}

func TestASocketIsOpenedOnlyWhereItIsSafe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, dir string) (path string)
		want    string // empty: it opens
	}{
		"a new one": {func(_ *testing.T, dir string) string { return filepath.Join(dir, "s") }, ""},
		"a dead gate's is replaced": {func(t *testing.T, dir string) string {
			t.Helper()
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = l.Close()
			return filepath.Join(dir, "s")
		}, ""},
		"a living gate's is not": {func(t *testing.T, dir string) string {
			t.Helper()
			l, err := control.Listen(filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			return filepath.Join(dir, "s")
		}, "another gate listens on"},
		"a file in its place is left alone": {func(t *testing.T, dir string) string {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "s"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "s")
		}, "is not a socket, so it is left alone"},
		"a folder that others may write to": {func(t *testing.T, dir string) string {
			t.Helper()
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "s")
		}, "others may write to"},
		"a missing folder is made":    {func(_ *testing.T, dir string) string { return filepath.Join(dir, "made", "s") }, ""},
		"two missing folders are not": {func(_ *testing.T, dir string) string { return filepath.Join(dir, "no", "no", "s") }, "needs its folder"},
		"a path that is too long": {func(_ *testing.T, dir string) string {
			return filepath.Join(dir, strings.Repeat("x", control.MaxPath()))
		}, "set listen.control.socket to a shorter one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := test.prepare(t, shortDir(t))
			l, err := control.Listen(path)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("Listen() = %v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after Close: %v, want no socket", err)
			}
		})
	}
}

func TestClosingLeavesAnothersSocketAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "s")
	old, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	young, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer young.Close()
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the new gate's socket is gone: %v", err)
	}
}

func TestWhoCannotBeReachedIsExplained(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	dead := filepath.Join(dir, "dead")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	for name, test := range map[string]struct{ path, want, hint string }{
		"no socket":       {filepath.Join(dir, "none"), "no gate is running here: there is no socket", "start one with cosmosgate serve"},
		"a dead gate":     {dead, "is gone", "it replaces the socket"},
		"a path too long": {strings.Repeat("x", 200), "shorter", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := control.Do[answer](t.Context(), control.NewClient(test.path), "greet", order{"ann"})
			refusal, ok := errors.AsType[*control.Error](err)
			if !ok || !strings.Contains(refusal.Message, test.want) || !strings.Contains(refusal.Hint, test.hint) {
				t.Errorf("Do() = %#v, want %q and the hint %q", err, test.want, test.hint)
			}
		})
	}
}

func TestACommandTrustsNobodysSocketButTheGates(t *testing.T) {
	t.Parallel()
	self := os.Geteuid()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, path string)
		root    bool   // only root can make this
		want    string // empty: it is trusted
	}{
		"the gate's own": {func(*testing.T, string) {}, false, ""},
		"one that others may write to": {func(t *testing.T, path string) {
			t.Helper()
			must(t, os.Chmod(path, 0o622))
		}, false, "others may write to"},
		"a file": {func(t *testing.T, path string) {
			t.Helper()
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, nil, 0o600))
		}, false, "is not a socket"},
		"a link to the gate's": {func(t *testing.T, path string) {
			t.Helper()
			must(t, os.Rename(path, path+".real"))
			must(t, os.Symlink(path+".real", path))
		}, false, "is not a socket"},
		"a service user's, asked by root": {func(t *testing.T, path string) {
			t.Helper()
			must(t, os.Chown(path, stranger, stranger))
			must(t, os.Chown(filepath.Dir(path), stranger, stranger))
		}, true, ""},
		"another user's in a third one's folder": {func(t *testing.T, path string) {
			t.Helper()
			must(t, os.Chown(path, stranger, stranger))
			must(t, os.Chown(filepath.Dir(path), stranger+1, stranger+1))
		}, true, "others than its owner may put a socket"},
		"another user's in a folder for everybody": {func(t *testing.T, path string) {
			t.Helper()
			must(t, os.Chown(path, stranger, stranger))
			must(t, os.Chmod(filepath.Dir(path), 0o777|os.ModeSticky))
		}, true, "others than its owner may put a socket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.root && self != 0 {
				t.Skip("only root can give files away")
			}
			g := start(t, &gate{})
			test.prepare(t, g.path)
			_, err := control.Do[answer](t.Context(), control.NewClient(g.path), "greet", order{"ann"})
			if test.want == "" {
				if err != nil {
					t.Errorf("Do() = %v, want the answer", err)
				}
				return
			}
			refusal, _ := errors.AsType[*control.Error](err)
			if refusal == nil || refusal.Reason != "foreign_socket" || !strings.Contains(refusal.Message, test.want) {
				t.Errorf("Do() = %#v, want foreign_socket: %s", err, test.want)
			}
			if acts := g.recorded(); len(acts) != 0 {
				t.Errorf("the server was asked: %+v", acts)
			}
		})
	}
}

// stranger is a user who is nobody here.
const stranger = 64001

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An operator's Ctrl-C must not make the record say that something was not done that was.
func TestAnActIsDoneWholeThoughTheOperatorLeaves(t *testing.T) {
	t.Parallel()
	g := &gate{}
	mux, err := control.NewMux(control.Config{Reserve: g.reserve, Now: time.Now, NewID: func() string { return "d-1" }})
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	control.Handle(mux, "greet", func(ctx context.Context, _ *control.Call, in order) (answer, error) {
		leave()
		return answer{Greeting: in.Name}, ctx.Err()
	})
	r := httptest.NewRequestWithContext(gone, http.MethodPost, "/v1/greet", strings.NewReader(`{"name":"ann"}`))
	mux.ServeHTTP(httptest.NewRecorder(), r)
	if acts := g.recorded(); len(acts) != 1 || acts[0].Err != nil {
		t.Errorf("acts = %+v, want one that was done", acts)
	}
}

// undecided is an act's error that nobody knows the truth behind yet.
type undecided struct{ told *func(bool) }

func (undecided) Error() string                 { return "no answer came" }
func (u undecided) OnSettled(f func(done bool)) { *u.told = f }

func TestAnActWhoseOutcomeIsOpenIsRecordedAgainOnceItIsKnown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		done bool
		want *control.Error
	}{
		"it took effect": {true, nil},
		"it did not":     {false, &control.Error{Status: 503, Reason: "no_effect", Message: "it was not done"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &gate{}
			ids := 0
			mux, err := control.NewMux(control.Config{
				Reserve: g.reserve, Now: func() time.Time { return time.Time{} },
				NewID: func() string { ids++; return fmt.Sprintf("d-%d", ids) },
			})
			must(t, err)
			var told func(bool)
			control.Handle(mux, "greet", func(_ context.Context, c *control.Call, in order) (answer, error) {
				c.Target("person %s", in.Name)
				return answer{}, fmt.Errorf("greeting: %w", undecided{&told})
			})
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/greet", strings.NewReader(`{"name":"ann"}`)))
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("status = %d", w.Code)
			}
			told(test.done)
			want := []control.Act{{
				ID: "d-1", Name: "greet", Target: "person ann", Err: &control.Error{
					Status: 503, Reason: "unknown_outcome", Message: "greeting: no answer came",
					Hint: "look whether it was done; the audit record tells as soon as the gate knows",
				},
			}, {ID: "d-2", Name: "greet", Target: "person ann", Settles: "d-1", Err: test.want}}
			if diff := cmp.Diff(want, g.recorded(), cmpopts.IgnoreFields(control.Act{}, "In", "Out")); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}
