package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Substatus codes of the service that the stand-in uses.
const (
	substatusPartitionKeyMismatch  = 1001
	substatusRangeGone             = 1002
	substatusNotServable           = 1004
	substatusMissingToken          = 5000
	substatusMalformedToken        = 5001
	substatusTokenSignature        = 5004
	substatusTokenExpired          = 5006
	substatusTokenIssuer           = 5007
	substatusTokenAudience         = 5008
	substatusKeysDisabled          = 5202
	substatusImpossible            = 5300
	substatusMetadataDenied        = 5301
	substatusDataDenied            = 5302
	statusRetryWith                = 449
	statusFailedDependency         = http.StatusFailedDependency
	serviceVersion                 = "version=2.14.0.0"
	contentTypeJSON                = "application/json"
	headerSubstatus                = "X-Ms-Substatus"
	headerActivity                 = "X-Ms-Activity-Id"
	headerCharge                   = "X-Ms-Request-Charge"
	headerSession                  = "X-Ms-Session-Token"
	headerContinuation             = "X-Ms-Continuation"
	headerItemCount                = "X-Ms-Item-Count"
	headerRetryAfter               = "X-Ms-Retry-After-Ms"
	headerPartitionKey             = "X-Ms-Documentdb-Partitionkey"
	headerRangeID                  = "X-Ms-Documentdb-Partitionkeyrangeid"
	headerMaxItems                 = "X-Ms-Max-Item-Count"
	headerCrossPartition           = "X-Ms-Documentdb-Query-Enablecrosspartition"
	headerIsQuery                  = "X-Ms-Documentdb-Isquery"
	headerQuery                    = "X-Ms-Documentdb-Query"
	headerIsPlan                   = "X-Ms-Cosmos-Is-Query-Plan-Request"
	headerIsBatch                  = "X-Ms-Cosmos-Is-Batch-Request"
	headerIsAtomic                 = "X-Ms-Cosmos-Batch-Atomic"
	headerContinueOnError          = "X-Ms-Cosmos-Batch-Continue-On-Error"
	headerIsUpsert                 = "X-Ms-Documentdb-Is-Upsert"
	headerQueryMetrics             = "X-Ms-Documentdb-Query-Metrics"
	headerIndexUtilization         = "X-Ms-Cosmos-Index-Utilization"
	headerOfferThroughput          = "X-Ms-Offer-Throughput"
	headerOfferAutopilot           = "X-Ms-Cosmos-Offer-Autopilot-Settings"
	headerContentPath              = "X-Ms-Content-Path"
	headerAltContentPath           = "X-Ms-Alt-Content-Path"
	headerIntendedContainer        = "X-Ms-Cosmos-Intended-Collection-Rid"
	headerStartEPK                 = "X-Ms-Start-Epk"
	headerEndEPK                   = "X-Ms-End-Epk"
	headerReadKeyType              = "X-Ms-Read-Key-Type"
	headerPopulateQuota            = "X-Ms-Documentdb-Populatequotainfo"
	headerPopulateQueryMetrics     = "X-Ms-Documentdb-Populatequerymetrics"
	headerPopulateIndexMetrics     = "X-Ms-Cosmos-Populateindexmetrics"
	headerPopulateIndexMetricsV2   = "X-Ms-Cosmos-Populateindexmetrics-V2"
	headerContentResponse          = "X-Ms-Cosmos-Populate-Content-Response-On-Write"
	headerChangeFeedVersion        = "X-Ms-Cosmos-Changefeed-Wire-Format-Version"
	headerTriggerPre               = "X-Ms-Documentdb-Pre-Trigger-Include"
	headerTriggerPost              = "X-Ms-Documentdb-Post-Trigger-Include"
	valueTrue                      = "true"
	valueUncounted                 = "-1"
	valueEffectivePartitionKeyType = "EffectivePartitionKeyRange"
)

// failure is a native error on its way to the caller.
type failure struct {
	status     int
	substatus  int
	message    string
	retryAfter time.Duration
	// additional is what the body carries as additionalErrorInfo; "" leaves it out.
	additional string
}

// Error returns the message.
func (f *failure) Error() string { return strconv.Itoa(f.status) + ": " + f.message }

func refuse(status int, format string, args ...any) *failure {
	return &failure{status: status, message: fmt.Sprintf(format, args...)}
}

func (f *failure) with(substatus int) *failure {
	f.substatus = substatus
	return f
}

func badRequest(format string, args ...any) *failure {
	return refuse(http.StatusBadRequest, format, args...)
}

func notFound() *failure {
	return refuse(http.StatusNotFound, `Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}`)
}

func conflict() *failure {
	return refuse(http.StatusConflict, `Message: {"Errors":["Resource with specified id or name already exists."]}`)
}

func preconditionFailed() *failure {
	return refuse(http.StatusPreconditionFailed, `Message: {"Errors":["One of the specified pre-condition is not met. Learn more: https://aka.ms/CosmosDB/sql/errors/precondition-failed"]}`)
}

func tooLarge() *failure {
	return refuse(http.StatusRequestEntityTooLarge, `Message: {"Errors":["Request size is too large"]}`)
}

func methodNotAllowed() *failure {
	return refuse(http.StatusMethodNotAllowed, "The requested verb is not supported.")
}

// codeOf names a status the way error bodies do.
func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "BadRequest"
	case http.StatusUnauthorized:
		return "Unauthorized"
	case http.StatusForbidden:
		return "Forbidden"
	case http.StatusNotFound:
		return "NotFound"
	case http.StatusMethodNotAllowed:
		return "MethodNotAllowed"
	case http.StatusRequestTimeout:
		return "RequestTimeout"
	case http.StatusConflict:
		return "Conflict"
	case http.StatusGone:
		return "Gone"
	case http.StatusPreconditionFailed:
		return "PreconditionFailed"
	case http.StatusRequestEntityTooLarge:
		return "RequestEntityTooLarge"
	case http.StatusTooManyRequests:
		return "429"
	case statusRetryWith:
		return "449"
	case http.StatusServiceUnavailable:
		return "ServiceUnavailable"
	default:
		return "InternalServerError"
	}
}

// response renders the failure.
func (f *failure) response(activity string) *response {
	body, err := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Extra   string `json:"additionalErrorInfo,omitempty"`
	}{codeOf(f.status), f.message + "\r\nActivityId: " + activity + ", Microsoft.Azure.Documents.Common/2.14.0", f.additional})
	if err != nil {
		body = []byte(`{"code":"InternalServerError","message":"unprintable error"}`)
	}
	answer := newResponse(f.status, body)
	answer.header.Set(headerSubstatus, strconv.Itoa(f.substatus))
	switch f.status {
	case http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed: // looking costs, whatever is found
		answer.charged(1)
	}
	if f.retryAfter > 0 {
		answer.header.Set(headerRetryAfter, strconv.FormatInt(f.retryAfter.Milliseconds(), 10))
	}
	return answer
}
