package cosmos

import "net/http"

// UpstreamOptions are what the gate adds to a forwarded request.
type UpstreamOptions struct {
	// Authorization is the complete header value of the upstream credential ([TokenAuthorization], or a key signature).
	Authorization string
	// Date is x-ms-date in RFC 1123 form, GMT ([net/http.TimeFormat]).
	Date string
	// ActivityID correlates the gate's record with Azure's.
	ActivityID string
	// ReturnMinimal takes the written item out of the response.
	ReturnMinimal bool
	// PriorityLevel ("High", "Low") and ThroughputBucket are set by policy; the caller's own are never sent.
	PriorityLevel, ThroughputBucket string
	// DedicatedGateway lets x-ms-dedicatedgateway-* pass; only for an upstream at *.sqlx.cosmos.azure.com.
	DedicatedGateway bool
}

// UpstreamPath returns the canonical escaped path: every byte of a name but the unreserved ones is percent-encoded, so
// no part of it can be taken for a separator. It must be sent as it is ([net/url.URL.RawPath]).
func (op *Operation) UpstreamPath() string {
	var short [128]byte // most paths fit in it

	return string(op.request.address.appendTo(short[:0]))
}

// Signing returns the resource type and the link that a master key signs for the request as it is sent.
func (op *Operation) Signing() (resourceType, link string) { return op.request.address.signing() }

// headerBuilder fills a header from one block of values: a request has about twenty of them.
type headerBuilder struct {
	header http.Header
	values []string
}

func (b *headerBuilder) set(name, value string) {
	if value == "" {
		return
	}

	b.values = append(b.values, value)
	n := len(b.values)
	b.header[name] = b.values[n-1 : n : n]
}

// UpstreamHeader returns the headers to send: selectors and Content-Type of the decided operation, the allow-listed
// headers of the caller, and the options. The result is the caller's to change.
func (op *Operation) UpstreamHeader(o UpstreamOptions) http.Header {
	const own = 8 // as many are the gate's, as a rule; more make the map grow

	q := op.request
	size := len(q.fields) + len(q.ranges) + own
	b := headerBuilder{header: make(http.Header, size), values: make([]string, 0, size)}

	for _, f := range q.fields {
		b.set(f.name, f.value)
	}

	if b.header["User-Agent"] == nil {
		b.set("User-Agent", "cosmosgate")
	}

	if op.FiltersFeed() {
		b.set("Accept-Encoding", "identity")
	}

	if o.DedicatedGateway {
		for _, f := range q.dedicated {
			b.set(f.name, f.value)
		}
	}

	op.setSelectors(&b)
	op.setScope(&b)
	op.setContent(&b, o.ReturnMinimal)

	b.set("Authorization", o.Authorization)
	b.set("X-Ms-Date", o.Date)
	b.set("X-Ms-Activity-Id", o.ActivityID)
	b.set("X-Ms-Cosmos-Priority-Level", o.PriorityLevel)
	b.set("X-Ms-Cosmos-Throughput-Bucket", o.ThroughputBucket)

	return b.header
}

// setSelectors writes exactly the selectors of the operation.
func (op *Operation) setSelectors(b *headerBuilder) {
	const selected = "True"

	if op.selectors&selectQuery != 0 {
		b.set("X-Ms-Documentdb-Isquery", selected)
	}

	if op.selectors&selectPlan != 0 {
		b.set("X-Ms-Cosmos-Is-Query-Plan-Request", selected)
	}

	if op.selectors&selectUpsert != 0 {
		b.set("X-Ms-Documentdb-Is-Upsert", selected)
	}

	if op.selectors&selectIncrementalFeed != 0 {
		b.set("A-Im", feedIncremental)
	}

	if op.selectors&selectAllVersionsFeed != 0 {
		b.set("A-Im", feedAllVersions)
	}

	if op.selectors&selectBatch != 0 {
		b.set("X-Ms-Cosmos-Is-Batch-Request", selected)
		b.set("X-Ms-Cosmos-Batch-Atomic", op.request.atomic.String())
		b.set("X-Ms-Cosmos-Batch-Ordered", op.request.ordered.String())
		b.set("X-Ms-Cosmos-Batch-Continue-On-Error", op.request.continues.String())
	}
}

// String is the canonical header value; "" for an absent header.
func (f flag) String() string {
	switch f {
	case flagTrue:
		return "True"
	case flagFalse:
		return "False"
	case flagAbsent:
		return ""
	default:
		return ""
	}
}

// setScope writes the partition key and the ranges of an operation on items, and the container that is meant.
func (op *Operation) setScope(b *headerBuilder) {
	q := op.request

	if op.scoped {
		if q.hasKey {
			b.set("X-Ms-Documentdb-Partitionkey", q.keys[0].Header())
		}

		if op.injected != nil {
			b.set("X-Ms-Documentdb-Partitionkey", op.injected.Header())
		}

		for _, f := range q.ranges {
			b.set(f.name, f.value)
		}
	}

	if q.address.container == "" {
		return
	}

	container := op.containerRID
	if container == "" {
		container = op.ContainerRID
	}

	// What the gate does not know to be the container is sent only where it can do nothing but make the request fail.
	if container != "" && q.containerRID != "" {
		b.set("X-Ms-Documentdb-Collection-Rid", container)
	}

	if container == "" {
		container = q.intendedContainer
	}

	if op.containerRID != "" || q.intendedContainer != "" {
		b.set("X-Ms-Cosmos-Intended-Collection-Rid", container)
	}
}

// setContent writes what concerns the bodies of the request and of the response.
func (op *Operation) setContent(b *headerBuilder, minimal bool) {
	q := op.request

	b.set("Content-Type", op.contentType)

	if q.hasSerialization {
		// A binary response could not be filtered, nor a binary query be compared.
		b.set("X-Ms-Cosmos-Supported-Serialization-Formats", "JsonText")
	}

	if minimal {
		b.set("Prefer", preferMinimal)

		return
	}

	b.set("Prefer", q.prefer)
	b.set("X-Ms-Cosmos-Populate-Content-Response-On-Write", q.contentResponse)
}
