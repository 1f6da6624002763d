package cosmos

import "strings"

// headerClass says what the gate does with a header of the caller.
type headerClass uint8

const (
	// headerUnknown is not on any list: it is dropped and counted, unless it looks like a selector.
	headerUnknown headerClass = iota
	// headerDropped is known and never sent: credentials, proxies' marks, what the gate sets itself.
	headerDropped
	// headerRefused changes how the message is read; no SDK sends it.
	headerRefused
	// headerForwarded is sent as it came.
	headerForwarded

	headerContentType
	headerVersion
	headerActivityID
	headerPartitionKey
	headerRangeID
	headerStartEPK
	headerEndEPK
	headerReadKeyType
	headerIsQuery
	headerQuery
	headerQueryPlan
	headerBatch
	headerUpsert
	headerFeedMode
	headerPrefer
	headerContentResponse
	headerTrigger
	headerIntendedContainer
	headerContainerRID
	headerBatchAtomic
	headerBatchOrdered
	headerBatchContinue
	headerSerialization
	headerDedicatedGateway
)

// classifyHeader maps a canonical header name (net/http) to its class. Names are those of cosmos-wire.md, section 5.
func classifyHeader(name string) headerClass {
	if strings.HasPrefix(name, "X-Ms-") {
		return classifyServiceHeader(name)
	}

	switch name {
	case "Accept", "Accept-Encoding", "Cache-Control", "User-Agent", "If-Match", "If-None-Match", "If-Modified-Since":
		return headerForwarded
	case "A-Im":
		return headerFeedMode
	case "Prefer":
		return headerPrefer
	case "Content-Type":
		return headerContentType
	case "Content-Encoding", "Trailer", "Upgrade":
		return headerRefused
	case "Authorization", "Content-Length", "Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Expect", "Cookie", "Host",
		"Proxy-Authorization", "Proxy-Connection", "Forwarded", "Via", "Range", "If-Range", "X-Forwarded-For",
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
		"Globaldatabaseaccountname", "Dpop":
		return headerDropped
	default:
		return headerUnknown
	}
}

func classifyServiceHeader(name string) headerClass {
	switch {
	case strings.HasPrefix(name, "X-Ms-Documentdb-"):
		return classifyDocumentHeader(name)
	case strings.HasPrefix(name, "X-Ms-Cosmos-"):
		return classifyCosmosHeader(name)
	case strings.HasPrefix(name, "X-Ms-Thinclient-"):
		// Python sends some of these with every request, whatever its transport.
		return headerDropped
	}

	switch name {
	case "X-Ms-Date":
		return headerDropped
	case "X-Ms-Version":
		return headerVersion
	case "X-Ms-Activity-Id":
		return headerActivityID
	case "X-Ms-Start-Epk":
		return headerStartEPK
	case "X-Ms-End-Epk":
		return headerEndEPK
	case "X-Ms-Read-Key-Type":
		return headerReadKeyType
	case "X-Ms-Dedicatedgateway-Max-Age", "X-Ms-Dedicatedgateway-Bypass-Cache":
		return headerDedicatedGateway
	case "X-Ms-Noretry-449", "X-Ms-Client-Id", "X-Ms-Useragent", "X-Ms-User-Agent", "X-Ms-Consistency-Level",
		"X-Ms-Session-Token", "X-Ms-Max-Item-Count", "X-Ms-Continuation", "X-Ms-Indexing-Directive", "X-Ms-Force-Refresh":
		return headerForwarded
	default:
		return headerUnknown
	}
}

func classifyDocumentHeader(name string) headerClass {
	switch name {
	case "X-Ms-Documentdb-Partitionkey":
		return headerPartitionKey
	case "X-Ms-Documentdb-Partitionkeyrangeid":
		return headerRangeID
	case "X-Ms-Documentdb-Isquery":
		return headerIsQuery
	case "X-Ms-Documentdb-Query":
		return headerQuery
	case "X-Ms-Documentdb-Is-Upsert":
		return headerUpsert
	case "X-Ms-Documentdb-Collection-Rid":
		return headerContainerRID
	case "X-Ms-Documentdb-Pre-Trigger-Include", "X-Ms-Documentdb-Post-Trigger-Include",
		"X-Ms-Documentdb-Pre-Trigger-Exclude", "X-Ms-Documentdb-Post-Trigger-Exclude":
		return headerTrigger
	case "X-Ms-Documentdb-Responsecontinuationtokenlimitinkb", "X-Ms-Documentdb-Query-Iscontinuationexpected",
		"X-Ms-Documentdb-Query-Enablecrosspartition", "X-Ms-Documentdb-Query-Parallelizecrosspartitionquery",
		"X-Ms-Documentdb-Query-Enable-Scan", "X-Ms-Documentdb-Force-Query-Scan", "X-Ms-Documentdb-Populatequerymetrics",
		"X-Ms-Documentdb-Populatequotainfo", "X-Ms-Documentdb-Script-Enable-Logging":
		return headerForwarded
	default:
		return headerUnknown
	}
}

func classifyCosmosHeader(name string) headerClass {
	switch name {
	case "X-Ms-Cosmos-Priority-Level", "X-Ms-Cosmos-Throughput-Bucket", "X-Ms-Cosmos-Use-Thinclient":
		return headerDropped
	case "X-Ms-Cosmos-Is-Query-Plan-Request":
		return headerQueryPlan
	case "X-Ms-Cosmos-Is-Batch-Request":
		return headerBatch
	case "X-Ms-Cosmos-Batch-Atomic":
		return headerBatchAtomic
	case "X-Ms-Cosmos-Batch-Ordered":
		return headerBatchOrdered
	case "X-Ms-Cosmos-Batch-Continue-On-Error":
		return headerBatchContinue
	case "X-Ms-Cosmos-Populate-Content-Response-On-Write":
		return headerContentResponse
	case "X-Ms-Cosmos-Intended-Collection-Rid":
		return headerIntendedContainer
	case "X-Ms-Cosmos-Supported-Serialization-Formats":
		return headerSerialization
	case "X-Ms-Cosmos-Sdk-Supportedcapabilities", "X-Ms-Cosmos-Correlated-Activityid", "X-Ms-Cosmos-Read-Consistency-Strategy",
		"X-Ms-Cosmos-Allow-Tentative-Writes", "X-Ms-Cosmos-Populateindexmetrics", "X-Ms-Cosmos-Populateindexmetrics-V2",
		"X-Ms-Cosmos-Query-Version", "X-Ms-Cosmos-Supported-Query-Features", "X-Ms-Cosmos-Changefeed-Wire-Format-Version",
		"X-Ms-Cosmos-Is-Client-Encrypted":
		return headerForwarded
	default:
		return headerUnknown
	}
}

// looksLikeSelector catches headers that may choose another operation: dropping an unknown one would make a create of it.
func looksLikeSelector(name string) bool {
	return strings.HasPrefix(name, "X-Ms-Cosmos-Is-") || strings.HasPrefix(name, "X-Ms-Documentdb-Is") ||
		strings.HasSuffix(name, "-Operation-Type") || strings.HasSuffix(name, "-Resource-Type")
}
