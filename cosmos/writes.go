package cosmos

// PatchTargets calls visit with every path that a PATCH, or the patches of a batch, read or write, and with every
// condition. It is for bodies that [Classify] has accepted; what it cannot read is an [*Error].
func (op *Operation) PatchTargets(body []byte, path, condition func(text string) *Error) error {
	scanner, err := newJSONScanner(body)
	if err == nil {
		t := targets{scanner: scanner, path: path, condition: condition}
		if op.Type == OpPatchItem {
			err = t.patch()
		} else {
			err = scanner.elements(t.operation)
		}
	}

	if err != nil {
		return err
	}

	return nil
}

// ReplacesWhole says whether the operation, or one in a batch, writes a document whole over one that may exist.
func (op *Operation) ReplacesWhole(body []byte) (bool, error) {
	switch op.Type {
	case OpReplaceItem, OpUpsertItem:
		return true, nil
	case OpBatch, OpBulk:
	default:
		return false, nil
	}

	whole := false

	scanner, err := newJSONScanner(body)
	if err != nil {
		return true, err
	}

	err = scanner.elements(func() *Error {
		return scanner.members(func(name string) *Error {
			if name != "operationType" {
				_, err := scanner.raw()

				return err
			}

			verb, err := scanner.text()
			whole = whole || verb == verbReplace || verb == verbUpsert

			return err
		})
	})
	if err != nil {
		return true, err
	}

	return whole, nil
}

// targets reads what patches are about.
type targets struct {
	scanner         *jsonScanner
	path, condition func(string) *Error
}

// operation reads one operation of a batch. The body may come before the operation is named, so it is read afterwards.
func (t *targets) operation() *Error {
	verb := ""

	var body []byte

	err := t.scanner.members(func(name string) *Error {
		var err *Error

		switch name {
		case "operationType":
			verb, err = t.scanner.text()
		case "resourceBody":
			body, err = t.scanner.raw()
		default:
			_, err = t.scanner.raw()
		}

		return err
	})
	if err != nil || verb != verbPatch {
		return err
	}

	inner := targets{scanner: &jsonScanner{data: body}, path: t.path, condition: t.condition}

	return inner.patch()
}

func (t *targets) patch() *Error {
	if t.scanner.peek() == '[' {
		return t.scanner.elements(t.change)
	}

	return t.scanner.members(func(name string) *Error {
		if name == "operations" {
			return t.scanner.elements(t.change)
		}

		return t.text(t.condition)
	})
}

func (t *targets) change() *Error {
	return t.scanner.members(func(name string) *Error {
		if name == "path" || name == "from" {
			return t.text(t.path)
		}

		_, err := t.scanner.raw()

		return err
	})
}

func (t *targets) text(visit func(string) *Error) *Error {
	text, err := t.scanner.text()
	if err != nil {
		return err
	}

	return visit(text)
}
