package cosmos

// PartitionKey is a partition key value as the canonical JSON text of each of its components: a string as encoding/json
// writes it without HTML escaping, a number as encoding/json writes a float64, true, false, null, or {} for undefined.
// Two keys are equal exactly if their components are. The empty, non-nil key is the key [] ("none").
type PartitionKey []string

// ParsePartitionKey reads the value of x-ms-documentdb-partitionkey: a JSON array of at most three scalars, nulls or {}.
func ParsePartitionKey(header string) (PartitionKey, error) { return nil, Malformed("not built") }

// Header returns the key as a canonical header value, in ASCII.
func (k PartitionKey) Header() string { return "" }

// Conflatable says whether a component is a string longer than 101 bytes. Containers with partition key version 1 take
// such values for equal when their first 101 bytes are, so a partition-scoped role must refuse them.
func (k PartitionKey) Conflatable() bool { return true }
