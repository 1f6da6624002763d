package faults_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// whole says whether an audit line is a record.
func whole(line string) bool {
	return strings.HasSuffix(line, "\n") && json.Valid([]byte(line))
}

// load sends requests from many callers until the gate takes no more, over HTTP/1.1 and HTTP/2.
func (w *world) load(callers int) (replies func() []reply) {
	var mu sync.Mutex
	var all []reply
	var running sync.WaitGroup
	token := w.token()
	for i := range callers {
		client := w.newClient(i%2 == 0)
		running.Go(func() {
			for failures := 0; failures < 3; {
				got := w.do(call{key: "load", write: i%4 == 0, token: token, client: client})
				if got.err != nil {
					failures++
				}
				mu.Lock()
				all = append(all, got)
				mu.Unlock()
			}
		})
	}
	return func() []reply {
		running.Wait()
		return all
	}
}

// recorded indexes the records by activity id.
func (w *world) recorded() map[string][]record {
	w.t.Helper()
	found := map[string][]record{}
	for _, line := range w.lines() {
		if !whole(line) {
			continue
		}
		var r struct {
			record
			Activity string `json:"activity_id"`
		}
		w.must(json.Unmarshal([]byte(line), &r))
		found[r.Activity] = append(found[r.Activity], r.record)
	}
	return found
}

func slowly(w http.ResponseWriter, r *http.Request) {
	time.Sleep(20 * time.Millisecond)
	document(w, r)
}

func playDrain(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	w.upstream.script("load", slowly)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	w.upstream.script("long", func(rw http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-goOn
		document(rw, r)
	})
	long := make(chan reply, 1)
	go func() { long <- w.do(call{key: "long", write: true, client: w.newClient(false)}) }()
	<-arrived
	replies := w.load(16)
	time.Sleep(2 * time.Second)
	began := time.Now()
	w.signal(syscall.SIGTERM)
	w.eventually("the gate is draining", func() bool { return w.ready().code == http.StatusServiceUnavailable })
	w.eventually("new connections are refused", func() bool {
		conn, err := net.Dial("tcp", w.data)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if code := w.ready().code; code != http.StatusServiceUnavailable {
		t.Errorf("readiness while a request is in flight: %d", code)
	}
	close(goOn)
	if got := <-long; got.status != http.StatusCreated || got.err != nil {
		t.Errorf("the request in flight: %d %v", got.status, got.err)
	}
	if code := w.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	drained := time.Since(began)
	records, all, served := w.recorded(), replies(), 0
	for _, got := range all {
		found := records[got.activity]
		switch {
		case got.err == nil && got.status < http.StatusMultipleChoices:
			served++
			if len(found) != 1 || found[0].Outcome != "complete" || found[0].Status != got.status {
				t.Errorf("served with %d, recorded as %v", got.status, found)
			}
		case got.err == nil:
			t.Errorf("answered with %d %s", got.status, got.body)
		case len(found) > 0:
			t.Errorf("no answer (%v), recorded as %v", got.err, found)
		}
	}
	if served == 0 {
		t.Error("there was no load")
	}
	for _, line := range w.lines() {
		if !whole(line) || strings.Contains(line, "abandoned") {
			t.Errorf("line of a drained gate: %s", line)
		}
	}
	t.Logf("figures: %d requests served, %d not accepted; drained in %v with one request held back", served, len(all)-served, drained.Round(time.Millisecond))
}

func playDrainTooLong(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{edit: []string{"drain: 30s", "drain: 1s"}})
	arrived := make(chan struct{}, 3)
	w.upstream.script("silent", func(rw http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		w.upstream.hang(rw, r)
	})
	w.upstream.script("begun", func(rw http.ResponseWriter, r *http.Request) {
		itemHeader(rw.Header())
		_, _ = io.WriteString(rw, `{"id":`)
		_ = http.NewResponseController(rw).Flush()
		arrived <- struct{}{}
		w.upstream.hang(rw, r)
	})
	midway := seen{status: 200, broken: true, record: record{"allow", "internal_error", 200, 200, ""}}
	read := unavailable("internal_error", 0)
	var compared sync.WaitGroup
	for _, c := range []struct {
		what string
		call call
		want seen
	}{
		{"a write that outlasts the drain time", call{key: "silent", write: true}, inDoubt("internal_error", 0)},
		{"a read that outlasts the drain time", call{key: "silent", client: w.newClient(true)}, read},
		{"an answer that outlasts the drain time", call{key: "begun"}, midway},
	} {
		answered := make(chan struct{})
		compared.Go(func() {
			got := w.do(c.call)
			close(answered)
			w.compare(c.what, c.want, w.result(got))
		})
		select {
		case <-arrived:
		case <-answered: // too early; what it got is compared
		}
	}
	w.signal(syscall.SIGTERM)
	if code := w.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	compared.Wait()
}

func playKill(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	w.upstream.script("load", slowly)
	replies := w.load(16)
	var acknowledged []string
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		for i := 0; ; i++ {
			id := w.hire(strconv.Itoa(i))
			if id == "" {
				return
			}
			acknowledged = append(acknowledged, id)
		}
	}()
	time.Sleep(2 * time.Second)
	w.must(w.gate.Process.Kill())
	<-w.exited
	<-pushed
	all := replies()
	w.start()
	w.eventually("the gate becomes ready", func() bool { return w.ready().code == http.StatusOK })
	w.serves("the gate started again")
	if len(acknowledged) == 0 {
		t.Error("nobody was hired")
	}
	for _, id := range acknowledged {
		if status := w.person(id); status != http.StatusOK {
			t.Errorf("a person who was acknowledged: %d", status)
		}
	}
	records, fragments, lost, served := w.recorded(), 0, 0, 0
	for _, line := range w.lines() {
		if !whole(line) {
			fragments++
		}
	}
	if torn := w.metric(tornLines); float64(fragments) != torn {
		t.Errorf("%d fragments, counted %v", fragments, torn)
	}
	for _, got := range all {
		found := records[got.activity]
		if got.err == nil {
			served++
			if len(found) == 0 {
				lost++ // what had not been handed to the operating system: docs/audit.md
			}
		}
		if len(found) > 1 {
			t.Errorf("recorded %d times", len(found))
		}
	}
	const most = 200 // a few milliseconds' worth; a broken record would lose thousands
	if lost > most || served == 0 {
		t.Errorf("%d of %d records lost", lost, served)
	}
	t.Logf("figures: %d people acknowledged and kept, %d requests served, %d records lost, %d fragments", len(acknowledged), served, lost, fragments)
}

// hire pushes a person and returns the record's id once the directory has it; "" if the gate is gone.
func (w *world) hire(name string) string {
	body := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"` + name + `","externalId":"` + name + `","active":true}`
	text, status := w.scim(http.MethodPost, "/Users", body)
	var made struct{ ID string }
	if status != http.StatusCreated || json.Unmarshal([]byte(text), &made) != nil {
		return ""
	}
	return made.ID
}

func (w *world) person(id string) int {
	_, status := w.scim(http.MethodGet, "/Users/"+id, "")
	return status
}

func (w *world) scim(method, path, body string) (string, int) {
	address := w.push
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: w.pool, ServerName: "localhost", MinVersion: tls.VersionTLS12},
	}}
	for {
		r, err := http.NewRequestWithContext(context.Background(), method, "https://"+address+"/scim/v2/dev"+path, strings.NewReader(body))
		if err != nil {
			return "", 0
		}
		r.Header.Set("Authorization", "Bearer "+scimToken)
		r.Header.Set("Content-Type", "application/scim+json")
		response, err := client.Do(r)
		if err != nil {
			return "", 0
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return "", 0
		}
		if response.StatusCode != http.StatusTooManyRequests {
			return string(text), response.StatusCode
		}
		time.Sleep(50 * time.Millisecond)
	}
}

const idle = 10_000

func playIdleConnections(t *testing.T, binary string) {
	t.Helper()
	needed := uint64(idle + 1000)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max < needed {
		t.Skipf("%d file descriptors are needed, %d may be had", needed, limit.Max)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, binary, options{})
	w.serves("before")
	const open = `cosmosgate_listener_open_connections{listener="data"}`
	goroutines, before, began := w.metric("go_goroutines"), w.memory(), time.Now()
	conns := w.openMany()
	opened := time.Since(began)
	if n := w.metric(open); n < idle {
		t.Errorf("%v connections are open", n)
	}
	after := w.memory()
	w.serves("beside them")
	if w.ready().code != http.StatusOK {
		t.Error("not ready")
	}
	// They were idle, not dead.
	for i := 0; i < idle; i += idle / 100 {
		w.exchange(conns[i])
	}
	for _, c := range conns {
		_ = c.Close()
	}
	w.eventually("their places are free", func() bool { return w.metric(open) < 100 })
	w.eventually("their goroutines ended", func() bool { return w.metric("go_goroutines") < goroutines+100 })
	w.serves("after")
	t.Logf("figures: %d idle connections opened in %v; resident memory %d MiB before, %d MiB with them: %d KiB each",
		idle, opened.Round(time.Millisecond), before>>10, after>>10, (after-before)/idle)
}

// openMany opens connections that have served one request each: others would be closed for saying nothing.
func (w *world) openMany() []net.Conn {
	w.t.Helper()
	conns := make([]net.Conn, idle)
	var opening sync.WaitGroup
	const workers = 32
	faults := make(chan error, workers)
	for worker := range workers {
		opening.Go(func() {
			for i := worker; i < idle; i += workers {
				conn, err := tls.Dial("tcp", w.data, &tls.Config{RootCAs: w.pool, ServerName: "localhost", MinVersion: tls.VersionTLS12})
				if err != nil {
					faults <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
				conns[i] = conn
				w.exchange(conn)
			}
		})
	}
	opening.Wait()
	close(faults)
	for err := range faults {
		w.t.Fatal(err)
	}
	return conns
}

// exchange asks for a path that needs no credential to be refused.
func (w *world) exchange(conn net.Conn) {
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+gateHost+"\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Errorf("an idle connection: %v", err)
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// memory is the resident memory of the gate in KiB.
func (w *world) memory() int {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.gate.Process.Pid))
	w.must(err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			w.must(err)
			return kib
		}
	}
	w.t.Fatal("no resident memory")
	return 0
}
