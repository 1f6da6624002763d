package sighting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
)

// readBatch reads the operations of a batch, whose header says whether the answer shows items.
func (s *Sighting) readBatch(body []byte, shows bool) {
	if bytes.HasPrefix(body, []byte{0x81}) {
		s.readRows(body)
		return
	}
	var operations []map[string]json.RawMessage
	if err := json.Unmarshal(body, &operations); err != nil {
		s.Notes = append(s.Notes, "batch: "+err.Error())
	}
	for _, operation := range operations {
		s.readOperation(operation)
	}
	s.Shows = shows && slices.Contains(s.Verbs, patchVerb)
}

// readOperation takes a name in whatever case for the member that it could be, like many a library.
func (s *Sighting) readOperation(operation map[string]json.RawMessage) {
	key, verb := "", ""
	for name, value := range operation {
		switch {
		case strings.EqualFold(name, "operationType"):
			verb = text(value)
			s.Verbs = append(s.Verbs, verb)
		case strings.EqualFold(name, "partitionKey"):
			key = s.canonical(text(value))
		}
	}
	s.Keys = append(s.Keys, key)
	s.Asks = s.Asks || verb == patchVerb && asks(operation["resourceBody"])
}

// text is a JSON string's value, or what stands in its place.
func text(value json.RawMessage) string {
	var decoded string
	if json.Unmarshal(value, &decoded) != nil {
		return string(value)
	}
	return decoded
}

// asks says whether a patch holds a condition.
func asks(patch []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(patch, &members) != nil {
		return false // the array of operations alone
	}
	_, found := members["condition"]
	return found
}

const patchVerb = "Patch"

// readRows reads a batch of .NET.
func (s *Sighting) readRows(body []byte) {
	const item = int32(2)
	rows, err := hybridrow.ReadStream(body, hybridrow.BatchOperation())
	if err != nil {
		s.Notes = append(s.Notes, "batch: "+err.Error())
	}
	for _, row := range rows {
		code, _ := row["operationType"].(int32)
		verb := DotNetVerbs()[code]
		if verb == "" || row["resourceType"] != item || row["binaryId"] != nil || row["effectivePartitionKey"] != nil {
			s.Notes = append(s.Notes, fmt.Sprintf("batch: operation %d on %v", code, row["resourceType"]))
		}
		s.Verbs = append(s.Verbs, verb)
		key := ""
		if sent, ok := row["partitionKey"].(string); ok {
			key = s.canonical(sent)
		}
		s.Keys = append(s.Keys, key)
		patch, _ := row["resourceBody"].([]byte)
		s.Asks = s.Asks || verb == patchVerb && asks(patch)
		s.Shows = s.Shows || verb == patchVerb // the gate takes nothing out of an answer in HybridRow
	}
}

// DotNetVerbs are the operation types of the .NET SDK that a batch may hold.
func DotNetVerbs() map[int32]string {
	return map[int32]string{0: "Create", 1: patchVerb, 2: "Read", 4: "Delete", 5: "Replace", 20: "Upsert"}
}
