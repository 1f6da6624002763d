package browser_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// chromium is a headless browser, driven by the DevTools protocol over a pipe: messages end with a zero byte.
type chromium struct {
	t    *testing.T
	to   *os.File
	from *bufio.Reader

	mu      sync.Mutex
	last    int
	session string
}

// startChromium starts a browser with an empty profile that accepts certificates of the given public key, and no other that it
// would not accept anyway.
func startChromium(t *testing.T, spki string) *chromium {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	if path == "" {
		t.Skip("CHROMIUM names no browser: use run.sh")
	}
	commandIn, to := pipe(t)
	from, commandOut := pipe(t)
	command := exec.CommandContext(t.Context(), path,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--no-first-run", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "--ignore-certificate-errors-spki-list="+spki, "about:blank")
	command.ExtraFiles = []*os.File{commandIn, commandOut} // descriptors 3 and 4
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = commandIn.Close()
	_ = commandOut.Close()
	b := &chromium{t: t, to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		b.session = ""
		b.send("Browser.close", map[string]any{})
		_ = command.Wait()
	})
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})
	attached := b.call("Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})
	b.session, _ = attached["sessionId"].(string)
	b.call("Page.enable", map[string]any{})
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Result map[string]any  `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func (b *chromium) send(method string, params map[string]any) int {
	b.last++
	text, err := json.Marshal(map[string]any{"id": b.last, "method": method, "params": params, "sessionId": b.session})
	if b.session == "" {
		text, err = json.Marshal(map[string]any{"id": b.last, "method": method, "params": params})
	}
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	if err != nil {
		b.t.Errorf("telling the browser %s: %v", method, err)
	}
	return b.last
}

func (b *chromium) next() message {
	b.t.Helper()
	text, err := b.from.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("listening to the browser: %v", err)
	}
	var m message
	if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
		b.t.Fatalf("the browser says %q: %v", text, err)
	}
	return m
}

// call gives an order and waits until it was carried out.
func (b *chromium) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	id := b.send(method, params)
	for {
		m := b.next()
		if m.ID != id {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}
		return m.Result
	}
}

// visit opens an address and waits until the page is there.
func (b *chromium) visit(address string) {
	b.t.Helper()
	b.loads(func() { b.send("Page.navigate", map[string]any{"url": address}) })
}

// loads waits for the page that an act leads to.
func (b *chromium) loads(act func()) {
	b.t.Helper()
	act()
	for b.next().Method != "Page.loadEventFired" {
	}
}

// value evaluates an expression on the page, as text.
func (b *chromium) value(expression string) string {
	b.t.Helper()
	answer := b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})
	result, _ := answer["result"].(map[string]any)
	return fmt.Sprint(result["value"])
}
