package bypass_test

import (
	"strings"
	"testing"
)

// FuzzForwardedMeansWhatWasDecided sends whatever comes to mind to a whole gate, signed
// by somebody who may write. What arrives upstream must be what the record says was
// decided, by the reading of an upstream that shares no code with the gate; and nothing
// of upstream may come down.
func FuzzForwardedMeansWhatWasDecided(f *testing.F) {
	for _, c := range readCorpus(f) {
		for i := range c.Rows {
			x := &c.Rows[i].exchange
			head, body, _ := strings.Cut(strings.TrimSpace(x.HTTP), "\n\n")
			line, headers, _ := strings.Cut(head, "\n")
			method, rest, _ := strings.Cut(line, " ")
			target, _, _ := strings.Cut(rest, " ")
			if x.HTTP != "" && !strings.Contains(x.HTTP, "<") && len(x.HTTP) < 2000 {
				f.Add(method, target, headers, body)
			}
		}
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, method, target, headers, body string) {
		if len(method)+len(target)+len(headers)+len(body) > 1<<14 || strings.Contains(strings.ToLower(headers), "expect") ||
			strings.ContainsAny(method+target+headers+body, "<>") || framed(headers) ||
			strings.Contains(method+target+headers, "\r") || strings.Contains(method+target, "\n") || strings.Contains(headers, "\n\n") {
			t.Skip()
		}
		x := exchange{Who: "bob", HTTP: method + " " + target + " HTTP/1.1\n" + headers}
		if body != "" {
			x.HTTP = strings.TrimSuffix(x.HTTP, "\n") + "\n\n" + body
		}
		replies := w.sendH1(t, &x)
		answered := 0
		for i := range replies {
			if err := w.leaks(replies[i].text()); err != nil {
				t.Errorf("answer: %v", err)
			}
			if replies[i].status != 0 {
				answered++
			}
		}
		records := w.recorded(answered)
		sent := 0
		for i := range records {
			if records[i].UpstreamStatus != 0 {
				sent++
			}
		}
		for _, complaint := range w.disagreements(records, w.upstream.take(sent)) {
			t.Errorf("%s\n%q", complaint, x.HTTP)
		}
	})
}

// framed says whether headers say where the body ends: a body that never does would only
// be waited for. The corpus has those.
func framed(headers string) bool {
	lower := strings.ToLower(headers)
	return strings.Contains(lower, "content-length") || strings.Contains(lower, "transfer-encoding")
}
