package cosmos

// The versions of the service's interface (x-ms-version) from which on it knows what a request is about. It takes a request
// without one for the latest. To an older version a partition key, a change feed or a query plan is a header like any other:
// the service would read another operation than the gate.
const (
	// versionPartitions is that of the change feed; partition keys are older.
	versionPartitions = "2016-07-11"
	// versionPlans is that of .NET 2 when it began to ask for query plans; versionBatches is the latest documented one, and no
	// SDK sends an older one with batches or patches.
	versionPlans   = "2018-06-18"
	versionBatches = "2018-12-31"
)

// takeVersion reads a date, as every version is one: dates of one form compare as texts do.
func (q *Request) takeVersion(name, value string) *Error {
	if value == "" {
		return nil
	}

	if len(value) != len(versionPlans) {
		return errVersion()
	}

	for i := range len(value) {
		if isDash := versionPlans[i] == '-'; isDash != (value[i] == '-') || !isDash && !isDigit(value[i]) {
			return errVersion()
		}
	}

	q.version = value
	q.fields = append(q.fields, field{name, value})

	return nil
}

func errVersion() *Error { return Malformed("x-ms-version is not a date") }

// since is the oldest version that has the operation.
func (op *Operation) since() string {
	switch op.Type {
	case OpQueryPlan:
		return versionPlans
	case OpBatch, OpBulk, OpPatchItem, OpChangeFeedAllVersions, OpChangeFeedQuery:
		return versionBatches
	default:
		return versionPartitions
	}
}
