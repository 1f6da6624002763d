package journal

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/cosmosgate/cosmosgate/directory"
)

// clockAllowance is how far a gate's clock may be from the service's. What
// expires at one moment everywhere, such as a single-use id, is kept for as much
// longer as two gates may differ.
const clockAllowance = 30 * time.Second

// meter looks at every answer of the service: at what it cost, also if it is a
// refusal, and at what time it was there.
type meter struct {
	metrics *metrics
	clock   func() time.Time
	logger  *slog.Logger
	// off is by how much the clock is surely wrong, ahead if positive.
	off atomic.Int64
}

// Do implements policy.Policy.
func (m *meter) Do(request *policy.Request) (*http.Response, error) {
	asked := m.clock()
	answer, err := request.Next()
	if err != nil {
		return answer, err //nolint:wrapcheck // the pipeline's own
	}
	if units, err := strconv.ParseFloat(answer.Header.Get("x-ms-request-charge"), 64); err == nil {
		m.metrics.charge(units)
	}
	if there, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		m.compare(asked, there, m.clock())
	}
	return answer, nil
}

// compare notes what follows from an answer that was made at an instant, told in
// whole seconds, after it was asked for and before it came.
func (m *meter) compare(asked, there, came time.Time) {
	asked, came = asked.Round(0), came.Round(0)
	off := max(0, asked.Sub(there.Add(time.Second))) - max(0, there.Sub(came))
	was := time.Duration(m.off.Swap(int64(off)))
	m.metrics.offset.Set(off.Seconds())
	if wrong := off.Abs() > clockAllowance; wrong && was.Abs() <= clockAllowance {
		m.logger.Error("this gate's clock is wrong: it writes nothing to the shared directory", "ahead", off)
	}
}

// fault returns why nothing may be written: what this gate takes for expired
// would end at all gates, and its marks and locks would hold for too long or not
// at all.
func (m *meter) fault() error {
	if off := time.Duration(m.off.Load()); off.Abs() > clockAllowance {
		return fmt.Errorf("%w: this gate's clock is off by %s", directory.ErrUnsent, off.Round(time.Second))
	}
	return nil
}
