package journal_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/cosmosgate/cosmosgate/directory/journal"
)

// twoRegions makes the account say that it writes in several regions.
type twoRegions struct{ policy.Transporter }

func (r twoRegions) Do(request *http.Request) (*http.Response, error) {
	answer, err := r.Transporter.Do(request)
	if err != nil || strings.Trim(request.URL.Path, "/") != "" {
		return answer, err //nolint:wrapcheck // a wrapper
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // it was read
	body = bytes.Replace(body, []byte(`"enableMultipleWriteLocations":false`), []byte(`"enableMultipleWriteLocations":true`), 1)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, err //nolint:wrapcheck // a wrapper
}

func TestAnAccountWithSeveralWriteRegionsIsRefused(t *testing.T) {
	t.Parallel()
	c := newStand(t, proper).config(t)
	c.Transport = twoRegions{c.Transport}
	if _, err := journal.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "several regions") {
		t.Errorf("opened: %v", err)
	}
}

func TestAJournalNeedsWhatItWorksWith(t *testing.T) {
	t.Parallel()
	_, err := journal.Open(t.Context(), journal.Config{})
	if err == nil {
		t.Fatal("nothing at all was enough")
	}
	for _, name := range []string{"Endpoint", "Database", "Container", "Credential", "Transport", "Name", "Spool", "Clock", "Random", "Logger"} {
		if !strings.Contains(err.Error(), name+" is required") {
			t.Errorf("%s is not asked for: %v", name, err)
		}
	}
}
