package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestWhatMayStillBeSentToOneCallerIsNeverAnothersAnswer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		item(w, fmt.Sprintf(`{"id":"1","answer":%d}`, asked.Add(1)))
	}})
	first := &gone{ResponseRecorder: httptest.NewRecorder()}
	read := func(w http.ResponseWriter) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+publicHost+"/dbs/shop/colls/orders/docs/1", nil)
		r.Header.Set("Authorization", "type=aad&ver=1.0&sig="+callerToken)
		r.Header.Set("X-Ms-Documentdb-Partitionkey", `["emea"]`)
		defer func() {
			if cause := recover(); cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it.
				panic(cause)
			}
		}()
		g.proxy.ServeHTTP(w, r)
	}
	read(first)
	for range 100 {
		read(discardBody{httptest.NewRecorder()})
	}
	if got := string(first.stillSent); !strings.Contains(got, `"answer":1}`) {
		t.Errorf("what is still under way to the first caller became %s", got)
	}
}

// gone is a caller whose stream was reset while HTTP/2 was sending: the write fails,
// and what was to be written is still looked at.
type gone struct {
	*httptest.ResponseRecorder

	stillSent []byte
}

func (w *gone) Write(b []byte) (int, error) {
	w.stillSent = b
	return 0, errors.New("stream closed")
}

type discardBody struct{ *httptest.ResponseRecorder }

func (discardBody) Write(b []byte) (int, error) { return io.Discard.Write(b) } //nolint:wrapcheck // never fails.
