package cosmos

// WithoutContent takes the documents out of the response to a batch: what became of each operation stays. A body that
// cannot be read, and any that is not JSON, is an [*Error]; what the batch did is done.
func (op *Operation) WithoutContent(body []byte) ([]byte, error) {
	if form, ok := op.Body(); !ok || form != BodyBatch {
		return nil, OutcomeUnknown("the answer to the batch cannot be read, so that no document could be taken out")
	}

	scanner, err := newJSONScanner(body)
	if err != nil {
		return nil, OutcomeUnknown("the answer to the batch is not UTF-8")
	}

	r := redactor{scanner: scanner, out: make([]byte, 0, len(body))}
	if r.list(r.bareResult) != nil || scanner.end() != nil {
		return nil, OutcomeUnknown("the answer to the batch cannot be read")
	}

	return r.out, nil
}

// bareResult copies the result of one operation of a batch without its document.
func (r *redactor) bareResult() *Error {
	return r.object(func(name string) (bool, *Error) {
		if c := r.scanner.peek(); name == "resourceBody" || !resultMember(name) || c == '{' || c == '[' {
			return false, r.drop()
		}

		r.name(name)

		return true, r.scalar()
	})
}
