package cosmos

// TakesKey says whether the operation is a query or a feed of items that names neither a partition key nor a range, so
// that [Operation.SetKey] can confine it. Beside a range a key would not confine: the SDK repeats the request for each.
func (op *Operation) TakesKey() bool {
	switch op.Type {
	case OpQueryItems, OpReadFeed, OpChangeFeed, OpChangeFeedAllVersions, OpChangeFeedQuery:
		return op.scoped && op.injected == nil && !op.request.hasKey && len(op.request.ranges) == 0
	default:
		return false
	}
}

// SetKey confines an operation that takes a key to one, as if the caller had named it. It reports whether it could.
func (op *Operation) SetKey(key PartitionKey) bool {
	if !op.TakesKey() || !key.confines() {
		return false
	}

	op.injected, op.Scope, op.PartitionKeys = key, ScopePartition, []PartitionKey{key}

	return true
}
