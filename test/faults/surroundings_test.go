package faults_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	available  = "cosmosgate_audit_available"
	unrecorded = "cosmosgate_unrecorded_requests_total"
	tornLines  = `cosmosgate_audit_failures_total{failure="torn_line"}`
)

// disk is one that can be filled.
type disk struct {
	folder      string
	fill, empty func()
}

// smallDisk is a file system of its own where this process may mount one; else the gate may not make files longer than they are.
func smallDisk(w *world) *disk {
	d := &disk{folder: w.path("disk")}
	w.must(os.Mkdir(d.folder, 0o700))
	if unix.Mount("tmpfs", d.folder, "tmpfs", 0, "size=256k,mode=0700") != nil {
		limit := func(bytes uint64) func() {
			return func() {
				w.must(unix.Prlimit(w.gate.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil))
			}
		}
		d.fill, d.empty = limit(1<<10), limit(unix.RLIM_INFINITY)
		return d
	}
	w.t.Cleanup(func() { w.must(unix.Unmount(d.folder, unix.MNT_DETACH)) })
	ballast := filepath.Join(d.folder, "ballast")
	d.fill = func() {
		file, err := os.Create(ballast)
		w.must(err)
		defer file.Close() //nolint:errcheck // it is full
		for err == nil {
			_, err = file.Write(make([]byte, 4<<10))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			w.must(err)
		}
	}
	d.empty = func() { w.must(os.Remove(ballast)) }
	return d
}

func playDiskFull(t *testing.T, binary string) {
	t.Helper()
	var d *disk
	w := newWorld(t, binary, options{auditDir: func(w *world) string {
		d = smallDisk(w)
		return d.folder
	}})
	w.serves("with room")
	d.fill()
	var done []string // what was forwarded
	w.moves(unrecorded, func() {
		w.eventually("requests are refused", func() bool {
			got := w.do(call{key: "disk", write: true})
			if got.status == http.StatusCreated {
				done = append(done, got.activity)
			}
			return got.status == http.StatusServiceUnavailable
		})
	})
	forwarded := w.upstream.requests("disk")
	refused := w.do(call{key: "disk", write: true})
	if refused.status != http.StatusServiceUnavailable || !strings.HasPrefix(refused.body, `{"code":"ServiceUnavailable"`) {
		t.Errorf("without room: %d %s", refused.status, refused.body)
	}
	if n := w.upstream.requests("disk"); n != forwarded || n != len(done) {
		t.Errorf("%d requests were forwarded, %d answered, %d before the last refusal", n, len(done), forwarded)
	}
	if got := w.ready(); got.code != http.StatusServiceUnavailable || got.checks["audit"] == "ok" || w.metric(available) != 0 {
		t.Errorf("readiness without room: %v", got)
	}
	d.empty()
	w.recovers(call{key: "k"})
	for _, activity := range done {
		if diff := w.record(activity); diff != (record{"allow", "complete", http.StatusCreated, http.StatusCreated, ""}) {
			t.Errorf("record of what was forwarded: %v", diff)
		}
	}
	fragments := 0
	for _, line := range w.lines() {
		if !whole(line) {
			fragments++
		}
		if strings.Contains(line, refused.activity) {
			t.Errorf("what was refused for want of a record has one: %s", line)
		}
	}
	if torn := w.metric(tornLines); float64(fragments) != torn {
		t.Errorf("%d fragments, counted %v", fragments, torn)
	}
	if w.ready().code != http.StatusOK || w.metric(available) != 1 {
		t.Error("not ready again")
	}
}

func playCallerLeavesEarly(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	for _, write := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		told := make(chan struct{})
		w.upstream.script("left", func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
			close(told)
		})
		got := w.do(call{key: "left", write: write, ctx: ctx})
		w.compare("leaving before the answer", seen{broken: true, record: record{"allow", "client_abort", 499, 0, ""}}, w.result(got))
		<-told
	}
	if moved := w.metric(`cosmosgate_requests_total{class="4xx",decision="allow"`); moved != 2 {
		t.Errorf("counted %v", moved)
	}
	w.serves("others")
}

func playCallerLeavesMidway(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	told := make(chan struct{})
	w.upstream.script("left", func(rw http.ResponseWriter, _ *http.Request) {
		defer close(told)
		itemHeader(rw.Header())
		for {
			if _, err := io.WriteString(rw, strings.Repeat(" ", 4<<10)); err != nil {
				return
			}
			_ = http.NewResponseController(rw).Flush()
		}
	})
	r, activity := w.request(call{key: "left"})
	w.moves(requests2, func() {
		response, err := w.client.Do(r)
		w.must(err)
		_, err = io.ReadFull(response.Body, make([]byte, 10))
		w.must(err)
		_ = response.Body.Close()
		<-told
		if got := w.record(activity); got != (record{"allow", "client_abort", 200, 200, ""}) {
			t.Errorf("record: %v", got)
		}
	})
	w.serves("others")
}

// playBodyBreaks sends bodies that turn out, after the caller was let in, to be none.
func playBodyBreaks(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	for what, text := range map[string]string{
		"a body that turns malformed": "4\r\n{\"id\r\nxyz\r\n",
		"a body that is too long":     "200001\r\n" + strings.Repeat(" ", 0x200001) + "\r\n200001\r\n" + strings.Repeat(" ", 0x200001) + "\r\n0\r\n\r\n",
	} {
		r, activity := w.request(call{key: "breaks", write: true})
		r.Header.Set("Transfer-Encoding", "chunked")
		conn, err := tls.Dial("tcp", w.data, &tls.Config{RootCAs: w.pool, ServerName: "localhost", MinVersion: tls.VersionTLS12})
		w.must(err)
		var head strings.Builder
		w.must(r.Header.Write(&head))
		w.moves(requests4, func() {
			go func() {
				_, _ = io.WriteString(conn, "POST "+r.URL.Path+" HTTP/1.1\r\nHost: "+gateHost+"\r\n"+head.String()+"\r\n"+text)
			}()
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			w.must(err)
			body, err := io.ReadAll(response.Body)
			w.must(err)
			got := w.result(reply{activity: activity, status: response.StatusCode, header: response.Header, body: string(body)})
			status, code := http.StatusBadRequest, "BadRequest"
			if strings.Contains(what, "long") {
				status, code = http.StatusRequestEntityTooLarge, "RequestEntityTooLarge"
			}
			w.compare(what, seen{status: status, substatus: "0", code: code, record: record{"allow", "request_broken", status, 0, code}}, got)
		})
		_ = conn.Close()
	}
	w.serves("others")
}

func playBadCertificate(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	good, err := os.ReadFile(w.tls.CertFile)
	w.must(err)
	loaded := `cosmosgate_tls_reload_success{kind="key_pair",name="data"}`
	for _, bad := range []string{"", "no certificate", string(good[:len(good)/2])} {
		w.moves(`cosmosgate_tls_loads_total{kind="key_pair",name="data",result="failure"}`, func() {
			w.must(os.WriteFile(w.tls.CertFile, []byte(bad), 0o600))
			w.eventually("the fault shows", func() bool { return w.metric(loaded) == 0 })
		})
		w.client = w.newClient(false)
		w.serves("a new connection")
		if w.ready().code != http.StatusOK {
			t.Error("a bad file took a gate with a good certificate out of service")
		}
	}
	w.must(os.WriteFile(w.tls.CertFile, good, 0o600))
	w.eventually("the good one is loaded", func() bool { return w.metric(loaded) == 1 })
	w.client = w.newClient(false)
	w.serves("a new connection")
}

func playBadPolicy(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	loaded := `cosmosgate_policy_reloads_total{result="success"}`
	for _, bad := range []string{"kind: Role\nname: [", policyText + "---\nkind: Role\nname: orders\n"} {
		w.moves(`cosmosgate_policy_reloads_total{result="failure"}`, func() { w.write("policy.yaml", bad) })
		w.serves("by the old policy")
		if got := w.ready(); got.code != http.StatusOK || got.checks["policy"] == "ok" {
			t.Errorf("readiness with a broken policy: %v", got)
		}
	}
	w.moves(loaded, func() {
		w.write("policy.yaml", strings.ReplaceAll(policyText, "shop/store/orders", "shop/store/carts"))
	})
	w.expect("by the new policy", call{key: "k"}, seen{
		status: 403, substatus: "5302", code: "Forbidden", record: record{"deny", "refused", 403, 0, "noRole"},
	})
	w.moves(loaded, func() { w.write("policy.yaml", "") })
	w.expect("by an empty policy, which knows nobody", call{key: "k"}, unauthenticated("5009"))
	w.moves(loaded, func() { w.write("policy.yaml", policyText) })
	w.serves("by the policy as it was")
	if got := w.ready(); got.checks["policy"] != "ok" {
		t.Errorf("readiness with a whole policy: %v", got)
	}
}
