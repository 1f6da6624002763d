package cosmos

const (
	// maxBatchOperations and maxPatchOperations are the service's limits.
	maxBatchOperations = 100
	maxPatchOperations = 10
)

// What an operation of a batch does, as JSON says it.
const (
	verbCreate  = "Create"
	verbRead    = "Read"
	verbReplace = "Replace"
	verbUpsert  = "Upsert"
	verbDelete  = "Delete"
	verbPatch   = "Patch"
)

// nameBatch reads the operations of a transactional batch or a bulk request. Every one of them needs its own action.
func (op *Operation) nameBatch(q *Request, body []byte) *Error {
	t := OpBulk
	if q.atomic == flagTrue {
		t = OpBatch
	}

	op.forward(t, 0)
	op.selectors = selectBatch
	op.confine()

	batch := batchReader{allKeyed: true}
	if err := batch.read(q, body); err != nil {
		return err
	}

	if batch.count == 0 {
		return Malformed("the batch is empty")
	}

	op.contentType = contentTypeJSON
	if batch.hybrid && q.media != mediaJSON {
		op.contentType = ""
		if q.media == mediaBinary {
			op.contentType = contentTypeBinary
		}
	}

	op.Actions |= batch.actions
	if batch.patches && !op.Actions.Has(ReadItem) {
		op.returnsItem(q)
	}

	op.confineBatch(q, &batch)

	return nil
}

// confineBatch takes the partitions of a batch: that of the header and those of its operations. In a bulk request the
// key range in the header is only where the operations are sent, provided that each of them names its key.
func (op *Operation) confineBatch(q *Request, batch *batchReader) {
	byHeader := op.Scope == ScopePartition
	byOperations := batch.allKeyed && (op.Type == OpBulk || len(q.ranges) == 0)

	switch {
	case batch.unscopable, !byHeader && !byOperations:
		op.PartitionKeys = nil
		if byHeader {
			op.Scope = ScopeContainer
		}
	case q.hasKey && !q.keys[0].confines():
		op.PartitionKeys = nil
	default:
		keys := batch.keys
		if q.hasKey {
			keys = appendKey(keys, q.keys[0])
		}

		op.Scope, op.PartitionKeys = ScopePartition, keys
	}
}

// batchReader collects what the operations of a batch need.
type batchReader struct {
	scanner *jsonScanner
	count   int
	actions Actions
	patches bool
	// hybrid: the batch is HybridRow, as .NET sends it, and not JSON.
	hybrid bool
	keys   []PartitionKey
	// allKeyed: each operation names its partition key. unscopable: one names a key that confines to nothing.
	allKeyed, unscopable bool
}

// batchOperation is one operation of a batch, as far as it matters.
type batchOperation struct {
	verb    string
	body    []byte
	key     PartitionKey
	hasKey  bool
	members uint8
}

// read reads a batch in either encoding.
func (b *batchReader) read(q *Request, body []byte) *Error {
	if len(body) > 0 && body[0] == hybridRowVersion {
		b.hybrid = true
		if q.media != mediaNone && q.media != mediaJSON && q.media != mediaBinary {
			return errMedia()
		}

		return b.hybridBatch(body)
	}

	scanner, err := newJSONScanner(body)
	if err != nil {
		return err
	}

	b.scanner = scanner
	if err := scanner.elements(b.element); err != nil {
		return err
	}

	return scanner.end()
}

func (b *batchReader) countOperation() *Error {
	if b.count == maxBatchOperations {
		return Malformed("the batch has more than 100 operations")
	}

	b.count++

	return nil
}

func (b *batchReader) element() *Error {
	if err := b.countOperation(); err != nil {
		return err
	}

	var operation batchOperation

	err := b.scanner.members(func(name string) *Error { return operation.member(b.scanner, name) })
	if err != nil {
		return err
	}

	return b.add(&operation)
}

// member reads a member of an operation. Only exact names are known, and each may occur once: encoding/json would take
// "OperationType" too, and the last of two.
func (o *batchOperation) member(scanner *jsonScanner, name string) *Error {
	const (
		verb = 1 << iota
		id
		body
		ifMatch
		ifNoneMatch
		key
	)

	var (
		bit uint8
		err *Error
	)

	switch name {
	case "operationType":
		bit = verb
		o.verb, err = scanner.text()
	case "id":
		bit = id
		_, err = scanner.text()
	case "resourceBody":
		bit = body
		o.body, err = scanner.raw()
	case "ifMatch":
		bit = ifMatch
		_, err = scanner.text()
	case "ifNoneMatch":
		bit = ifNoneMatch
		_, err = scanner.text()
	case "partitionKey":
		bit = key
		err = o.readKey(scanner)
	default:
		return Malformed("an operation of the batch has an unknown member")
	}

	if o.members&bit != 0 {
		return Malformed("an operation of the batch has a member twice")
	}

	o.members |= bit

	return err
}

// readKey reads the key of a bulk operation: a JSON array inside a JSON string.
func (o *batchOperation) readKey(scanner *jsonScanner) *Error {
	text, err := scanner.text()
	if err != nil {
		return err
	}

	return o.parseKey(text)
}

func (o *batchOperation) parseKey(text string) *Error {
	var parts [maxKeyComponents]string

	n, err := parsePartitionKey(text, &parts)
	o.key, o.hasKey = append(PartitionKey{}, parts[:n]...), true

	return err
}

func (b *batchReader) add(o *batchOperation) *Error {
	switch o.verb {
	case verbCreate:
		b.actions |= CreateItem
	case verbUpsert:
		b.actions |= UpsertItem
	case verbReplace:
		b.actions |= ReplaceItem
	case verbRead:
		b.actions |= ReadItem
	case verbDelete:
		b.actions |= DeleteItem
	case verbPatch:
		hasCondition, err := inspectPatch(o.body)
		if err != nil {
			return err
		}

		b.patches = true
		b.actions |= ReplaceItem

		if hasCondition {
			b.actions |= ReadItem
		}
	default:
		return Malformed("an operation of the batch has no known operationType")
	}

	switch {
	case !o.hasKey:
		b.allKeyed = false
	case !o.key.confines():
		b.unscopable = true
	default:
		b.keys = appendKey(b.keys, o.key)
	}

	return nil
}

func appendKey(keys []PartitionKey, key PartitionKey) []PartitionKey {
	for _, known := range keys {
		if known.Equal(key) {
			return keys
		}
	}

	return append(keys, key)
}

// inspectPatch reads the body of a PATCH. The response is the whole item unless the caller asked for none, and the
// condition is a question about it: both need the right to read.
func (op *Operation) inspectPatch(body []byte) *Error {
	hasCondition, err := inspectPatch(body)
	if err != nil {
		return err
	}

	if hasCondition {
		op.Actions |= ReadItem
	} else {
		op.returnsItem(op.request)
	}

	return nil
}

// returnsItem notes that the response holds an item that the caller did not write whole.
func (op *Operation) returnsItem(q *Request) {
	if q.wantsContent() {
		op.ContentActions = ReadItem
	} else {
		op.NoContent = true
	}
}

// inspectPatch accepts {"operations":[…],"condition":…} and the bare array that JavaScript sends.
func inspectPatch(body []byte) (hasCondition bool, err *Error) {
	scanner, err := newJSONScanner(body)
	if err != nil {
		return false, err
	}

	hasOperations := false

	if scanner.peek() == '[' {
		hasOperations = true
		err = scanner.patchOperations()
	} else {
		err = scanner.members(func(name string) *Error {
			switch {
			case name == "operations" && !hasOperations:
				hasOperations = true

				return scanner.patchOperations()
			case name == "condition" && !hasCondition:
				hasCondition = true
				_, err := scanner.text()

				return err
			default:
				return Malformed("the patch has an unknown member, or one twice")
			}
		})
	}

	if err != nil {
		return false, err
	}

	if !hasOperations {
		return false, Malformed("the patch has no operations")
	}

	return hasCondition, scanner.end()
}

func (s *jsonScanner) patchOperations() *Error {
	count := 0

	return s.elements(func() *Error {
		if count == maxPatchOperations {
			return Malformed("the patch has more than 10 operations")
		}

		count++

		return s.patchOperation()
	})
}

// patchOperation reads {"op":…,"path":…,"value":…,"from":…}.
func (s *jsonScanner) patchOperation() *Error {
	const (
		op = 1 << iota
		path
		from
		value
	)

	verb, members := "", 0

	err := s.members(func(name string) *Error {
		var (
			bit int
			err *Error
		)

		switch name {
		case "op":
			bit = op
			verb, err = s.text()
		case "path":
			bit = path
			_, err = s.text()
		case "from":
			bit = from
			_, err = s.text()
		case "value":
			bit = value
			_, err = s.raw()
		default:
			return Malformed("an operation of the patch has an unknown member")
		}

		if members&bit != 0 {
			return Malformed("an operation of the patch has a member twice")
		}

		members |= bit

		return err
	})
	if err != nil {
		return err
	}

	switch verb {
	case "add", "set", "replace", "remove", "incr", "move":
		return nil
	default:
		return Malformed("an operation of the patch is not one the service has")
	}
}
