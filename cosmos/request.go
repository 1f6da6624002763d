package cosmos

import "net/http"

// Request is a request whose path and headers can be read in one way only.
type Request struct {
	method string
}

// Sanitize checks the path, the headers and the framing of r and returns their tuple. It removes hop-by-hop headers and
// those named by Connection from r.Header before anything reads them, and reads no body. Its error is an [*Error].
func Sanitize(r *http.Request) (*Request, error) { return nil, Malformed("not built") }

// BodyLimit returns the largest body in bytes that the request may have (0: none), and whether [Classify] has to see it
// whole. A body that is not inspected is streamed.
func (q *Request) BodyLimit() (limit int64, inspect bool) { return 0, false }

// ActivityID is the caller's x-ms-activity-id if it is a GUID, else "".
func (q *Request) ActivityID() string { return "" }

// Stripped returns how many headers of the caller were dropped because they are not on the allow-list.
func (q *Request) Stripped() int { return 0 }

// Classify decides which operation a request is. The body is needed only where [Request.BodyLimit] says so, and is not
// kept. Its error is an [*Error]; a refused operation is not an error but carries [Operation.Refusal].
func Classify(q *Request, body []byte) (*Operation, error) { return nil, Malformed("not built") }
