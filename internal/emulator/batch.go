package emulator

import (
	"errors"
	"net/http"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// maxBatch is the service's bound on the operations of one batch.
const maxBatch = 100

const operationPatch = "patch"

// batchStep is one operation of a batch.
type batchStep struct {
	operation string
	action    action
	id        string
	body      document.Value
	when      conditions
	key       partitionKey
	keyGiven  bool
	patch     patchPlan
	minimal   bool // the answer leaves the item out, whatever the request's own preference
}

// outcome is what became of one operation.
type outcome struct {
	status    int
	substatus int
	charge    float64
	item      *item
	body      bool
}

// batch runs the operations of one body: a transactional batch in one partition, or a bulk whose
// operations each name theirs and stand for themselves.
func (x *exchange) batch() (*response, error) {
	if len(x.body) > maxItem {
		return nil, tooLarge()
	}
	steps, err := x.batchSteps()
	if err != nil {
		return nil, err
	}
	if len(steps) == 0 || len(steps) > maxBatch {
		return nil, badRequest("A batch request must have between 1 and %d operations.", maxBatch)
	}
	for i := range steps {
		if err := x.finishStep(&steps[i]); err != nil {
			return nil, err
		}
	}
	s := x.emulator.store
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _, err := x.target()
	if err != nil {
		return nil, err
	}
	atomic := is(x.request.Header, headerIsAtomic)
	if err := x.batchKeys(c, steps, atomic); err != nil {
		return nil, err
	}
	outcomes, failed := x.run(s.writer(c), steps, atomic)
	c.tidy()
	status := http.StatusOK
	if failed {
		status = http.StatusMultiStatus
	}
	return x.batchAnswer(status, c, outcomes)
}

// batchSteps reads the operations of the body in either encoding.
func (x *exchange) batchSteps() ([]batchStep, error) {
	if x.isHybridRow() {
		return x.hybridSteps()
	}
	body, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	operations, _ := body.Elements()
	steps := make([]batchStep, len(operations))
	for i, one := range operations {
		if steps[i], err = parseBatchStep(one); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

func parseBatchStep(one document.Value) (batchStep, error) {
	step := batchStep{body: one.Get("resourceBody")}
	step.operation, _ = one.Get("operationType").Text()
	step.operation = strings.ToLower(step.operation)
	step.id, _ = one.Get("id").Text()
	step.when.ifMatch, _ = one.Get("ifMatch").Text()
	step.when.ifNoneMatch, _ = one.Get("ifNoneMatch").Text()
	if encoded, ok := one.Get("partitionKey").Text(); ok {
		return step, step.takeKey(encoded)
	}
	return step, nil
}

func (s *batchStep) takeKey(encoded string) error {
	key, err := parsePartitionKey(encoded)
	s.key, s.keyGiven = key, true
	return err
}

// finishStep finds the action that a step needs, and refuses the step if the principal does not have it.
func (x *exchange) finishStep(step *batchStep) error {
	actions := map[string]action{
		"create": actionCreate, "read": actionRead, "replace": actionReplace, "upsert": actionUpsert,
		"delete": actionDelete, operationPatch: actionReplace,
	}
	step.action = actions[step.operation]
	if step.action == "" {
		return badRequest("The batch operation type '%s' is not supported.", step.operation)
	}
	if step.operation == operationPatch {
		var err error
		if step.patch, err = x.emulator.patchPlan(step.body); err != nil {
			return err
		}
	}
	return x.require(step.action)
}

// batchKeys gives every operation its key: an atomic batch has one in the header, in a bulk each
// operation has its own.
func (x *exchange) batchKeys(c *container, steps []batchStep, atomic bool) error {
	header, present, err := requestKey(x.request.Header)
	if err != nil {
		return err
	}
	if atomic && len(header) != len(c.paths) {
		return badRequest("PartitionKey value must be supplied for this operation.")
	}
	for i := range steps {
		switch {
		case present:
			if steps[i].keyGiven && steps[i].key.String() != header.String() {
				return badRequest("The partition key of an operation differs from that of the batch.").with(substatusPartitionKeyMismatch)
			}
			steps[i].key, steps[i].keyGiven = header, true
		case !steps[i].keyGiven:
			return badRequest("PartitionKey value must be supplied for this operation.")
		case len(steps[i].key) == 0:
			steps[i].key = make(partitionKey, len(c.paths))
		}
		if len(steps[i].key) != len(c.paths) {
			return badRequest("A partition key doesn't correspond to definition in the collection.").with(substatusPartitionKeyMismatch)
		}
	}
	return nil
}

// run does the operations in order. In an atomic batch the first failure takes everything back; in
// a bulk it ends the work unless the request says to go on.
func (x *exchange) run(w *writer, steps []batchStep, atomic bool) ([]outcome, bool) {
	outcomes := make([]outcome, len(steps))
	proceed := !atomic && !strings.EqualFold(x.request.Header.Get(headerContinueOnError), "false")
	failed := false
	for i, step := range steps {
		if failed && !proceed {
			outcomes[i] = outcome{status: statusFailedDependency}
			continue
		}
		done, err := x.runStep(w, step)
		if err == nil {
			outcomes[i] = done
			continue
		}
		failed = true
		native := refuse(http.StatusInternalServerError, "%s", err)
		_ = errors.As(err, &native)
		outcomes[i] = outcome{status: native.status, substatus: native.substatus, charge: 1}
		if atomic {
			w.rollback()
			for j := range i {
				outcomes[j] = outcome{status: statusFailedDependency}
			}
		}
	}
	return outcomes, failed
}

func (x *exchange) runStep(w *writer, step batchStep) (outcome, error) {
	var one *item
	var err error
	done := outcome{status: http.StatusOK, body: x.wantsBody() && !step.minimal}
	switch step.operation {
	case "create":
		done.status = http.StatusCreated
		one, err = w.create(step.body, step.key, true)
	case "upsert":
		var created bool
		one, created, err = w.upsert(step.body, step.key, true, step.when)
		done.status = upsertStatus(created)
	case "replace":
		one, err = w.replace(step.id, step.body, step.key, step.when)
	case operationPatch:
		one, err = w.patch(x.request.Context(), step.id, step.key, step.patch, step.when)
	case "delete":
		done.status, done.body = http.StatusNoContent, false
		one, err = w.remove(step.id, step.key, step.when)
	default:
		return x.readStep(w, step)
	}
	if err != nil {
		return outcome{}, err
	}
	done.item, done.charge = one, writeCharge(len(one.body))
	return done, nil
}

func (x *exchange) readStep(w *writer, step batchStep) (outcome, error) {
	one, ok := w.into.find(step.key, step.id, w.now)
	if !ok {
		return outcome{}, notFound()
	}
	if step.when.ifNoneMatch != "" && (step.when.ifNoneMatch == "*" || step.when.ifNoneMatch == one.etag) {
		return outcome{status: http.StatusNotModified, item: one, charge: 1}, nil
	}
	return outcome{status: http.StatusOK, item: one, body: true, charge: readCharge(len(one.body))}, nil
}

func (x *exchange) batchAnswer(status int, c *container, outcomes []outcome) (*response, error) {
	if x.isHybridRow() {
		return x.hybridAnswer(status, c, outcomes)
	}
	results := make([]document.Value, len(outcomes))
	charge := 0.0
	for i, one := range outcomes {
		charge += one.charge
		members := []document.Member{member("statusCode", number(one.status)), member("requestCharge", number(one.charge))}
		if one.substatus != 0 {
			members = append(members, member("subStatusCode", number(one.substatus)))
		}
		if one.item != nil && one.status != http.StatusNoContent {
			members = append(members, member("eTag", text(one.item.etag)))
		}
		if one.item != nil && one.body {
			members = append(members, member("resourceBody", one.item.value))
		}
		results[i] = object(members...)
	}
	answer := valueResponse(status, document.ArrayValue(results)).charged(charge)
	x.containerHeaders(answer, c)
	return answer, nil
}
