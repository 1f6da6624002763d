package emulator

import (
	"fmt"
	"net/http"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
)

// isHybridRow says whether a batch is in the encoding of .NET; its answer is then too.
func (x *exchange) isHybridRow() bool {
	const version = 0x81
	return len(x.body) > 0 && x.body[0] == version
}

// hybridSteps reads the operations of a .NET batch.
func (x *exchange) hybridSteps() ([]batchStep, error) {
	rows, err := hybridrow.ReadStream(x.body, hybridrow.BatchOperation())
	if err != nil {
		return nil, badRequest("The batch request body is invalid: %s.", err)
	}
	steps := make([]batchStep, len(rows))
	for i, row := range rows {
		if err := steps[i].takeRow(row); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// takeRow reads one operation. Effective keys and binary ids address items that no name or key addresses; nothing here has them.
func (s *batchStep) takeRow(row hybridrow.Row) error {
	const document32 = int32(2) // the resource type
	if row["resourceType"] != document32 || row["effectivePartitionKey"] != nil || row["binaryId"] != nil {
		return badRequest("The batch holds an operation on something other than an item.")
	}
	code, _ := row["operationType"].(int32)
	s.operation = map[int32]string{0: "create", 1: operationPatch, 2: "read", 4: "delete", 5: "replace", 20: "upsert"}[code]
	if row["operationType"] == nil {
		s.operation = ""
	}
	s.id, _ = row["id"].(string)
	s.when.ifMatch, _ = row["ifMatch"].(string)
	s.when.ifNoneMatch, _ = row["ifNoneMatch"].(string)
	s.minimal, _ = row["minimalReturnPreference"].(bool)
	if body, ok := row["resourceBody"].([]byte); ok {
		value, err := document.Parse(body)
		if err != nil {
			return badRequest(`Message: {"Errors":["The input content is invalid: %s"]}`, err)
		}
		s.body = value
	}
	if encoded, ok := row["partitionKey"].(string); ok {
		return s.takeKey(encoded)
	}
	return nil
}

// hybridAnswer writes the results of a .NET batch.
func (x *exchange) hybridAnswer(status int, c *container, outcomes []outcome) (*response, error) {
	rows := make([]hybridrow.Row, len(outcomes))
	charge := 0.0
	for i, one := range outcomes {
		charge += one.charge
		rows[i] = hybridrow.Row{
			"statusCode": int32(one.status), "subStatusCode": int32(one.substatus), "requestCharge": one.charge, //nolint:gosec // G115: three and four digits.
		}
		if one.item != nil && one.status != http.StatusNoContent {
			rows[i]["eTag"] = one.item.etag
		}
		if one.item != nil && one.body {
			rows[i]["resourceBody"] = one.item.value.Append(nil)
		}
	}
	body, err := hybridrow.AppendStream(nil, hybridrow.BatchResult(), rows)
	if err != nil {
		return nil, fmt.Errorf("writing the results of a batch: %w", err)
	}
	answer := newResponse(status, body).charged(charge)
	answer.header.Set("Content-Type", "application/octet-stream")
	x.containerHeaders(answer, c)
	return answer, nil
}
