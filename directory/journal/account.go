package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/cosmosgate/cosmosgate/directory"
)

// errWriteRegions means that the account can't keep one order of commits.
var errWriteRegions = errors.New("the account writes in several regions, so that two gates could win one place in the log: " +
	"turn multi-region writes off, or use another account for the directory")

// accountWatch looks at every account document that the client reads, for what
// the journal depends on.
type accountWatch struct {
	logger   *slog.Logger
	several  atomic.Bool
	observed atomic.Bool
}

func newAccountWatch(logger *slog.Logger) *accountWatch { return &accountWatch{logger: logger} }

// fault returns why nothing may be written to the account.
func (w *accountWatch) fault() error {
	if w.several.Load() {
		return fmt.Errorf("%w: %w", directory.ErrUnsent, errWriteRegions)
	}
	return nil
}

// Do implements policy.Policy.
func (w *accountWatch) Do(request *policy.Request) (*http.Response, error) {
	answer, err := request.Next()
	raw := request.Raw()
	if err != nil || raw.Method != http.MethodGet || strings.Trim(raw.URL.Path, "/") != "" || answer.StatusCode != http.StatusOK {
		return answer, err //nolint:wrapcheck // the pipeline's own
	}
	body, err := runtime.Payload(answer) // the client reads it again
	if err != nil {
		return answer, fmt.Errorf("reading the account document: %w", err)
	}
	var account struct {
		Several     bool `json:"enableMultipleWriteLocations"`
		Consistency struct {
			Level string `json:"defaultConsistencyLevel"`
		} `json:"userConsistencyPolicy"`
	}
	if err := json.Unmarshal(body, &account); err != nil {
		return answer, fmt.Errorf("reading the account document: %w", err)
	}
	w.note(account.Several, account.Consistency.Level)
	return answer, nil
}

func (w *accountWatch) note(several bool, consistency string) {
	if several && !w.several.Swap(true) {
		w.logger.Error("shared directory log can't be written", "error", errWriteRegions)
	}
	if !several {
		w.several.Store(false)
	}
	if !w.observed.Swap(true) && consistency != "Strong" && consistency != "BoundedStaleness" {
		w.logger.Warn("the directory's account reads with less than bounded staleness: what other gates wrote "+
			"may be seen later by the lag between the region's replicas", "consistency", consistency)
	}
}
