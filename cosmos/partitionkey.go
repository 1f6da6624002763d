package cosmos

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// PartitionKey is a partition key value as the canonical JSON text of each of its components: a string as encoding/json
// writes it without HTML escaping, a number as encoding/json writes a float64, true, false, null, or {} for undefined.
// Two keys are equal exactly if their components are. The empty, non-nil key is the key [] ("none").
type PartitionKey []string

const (
	// maxKeyComponents is the depth of a hierarchical partition key.
	maxKeyComponents = 3
	// versionOnePrefix is how many bytes of a string a container with partition key version 1 looks at.
	versionOnePrefix = 101
	// maxKeyHeader bounds the header; the service takes keys of at most 2 KB.
	maxKeyHeader = 16 << 10

	undefinedComponent = "{}"
)

// ParsePartitionKey reads the value of x-ms-documentdb-partitionkey: a JSON array of at most three scalars, nulls or {}.
// Its error is an [*Error].
func ParsePartitionKey(header string) (PartitionKey, error) {
	var parts [maxKeyComponents]string

	n, err := parsePartitionKey(header, &parts)
	if err != nil {
		return nil, err
	}

	key := make(PartitionKey, n)
	copy(key, parts[:n])

	return key, nil
}

// parsePartitionKey fills parts and returns how many there are. The usual key, one plain string, costs no allocation.
func parsePartitionKey(header string, parts *[maxKeyComponents]string) (int, *Error) {
	if part, ok := onePlainString(header); ok {
		parts[0] = part

		return 1, nil
	}

	if len(header) > maxKeyHeader {
		return 0, Malformed("the partition key is too long")
	}

	scanner, err := newJSONScanner([]byte(header))
	if err != nil {
		return 0, err
	}

	n := 0

	err = scanner.elements(func() *Error {
		if n == maxKeyComponents {
			return Malformed("the partition key has more than three components")
		}

		part, err := scanner.component()
		if err != nil {
			return err
		}

		parts[n] = part
		n++

		return nil
	})
	if err != nil {
		return 0, err
	}

	return n, scanner.end()
}

// onePlainString recognises ["text"] without escapes, where the canonical component is a part of the header itself.
func onePlainString(header string) (string, bool) {
	const brackets = len(`[""]`)
	if len(header) < brackets || len(header) > maxKeyHeader || !strings.HasPrefix(header, `["`) || !strings.HasSuffix(header, `"]`) {
		return "", false
	}

	part := header[1 : len(header)-1]
	if !isPlain(part[1 : len(part)-1]) {
		return "", false
	}

	return part, true
}

// isPlain says whether s is printable ASCII that JSON writes as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}

	return true
}

// component consumes a component of a partition key and returns its canonical text.
func (s *jsonScanner) component() (string, *Error) {
	switch c := s.peek(); {
	case c == '"':
		text, err := s.text()
		if err != nil {
			return "", err
		}

		return string(appendJSONString(make([]byte, 0, len(text)+len(`""`)), text)), nil
	case c == '-' || isDigit(c):
		text, err := s.number()
		if err != nil {
			return "", err
		}

		number, parseErr := strconv.ParseFloat(text, 64)
		if parseErr != nil || math.IsInf(number, 0) {
			return "", Malformed("a number of the partition key is out of range")
		}

		return string(appendJSONNumber(nil, number)), nil
	case c == '{':
		s.pos++

		if !s.take('}') {
			return "", Malformed("a component of the partition key is an object")
		}

		return undefinedComponent, nil
	case c == '[':
		return "", Malformed("a component of the partition key is an array")
	default:
		start := s.pos
		if err := s.literal(c); err != nil {
			return "", err
		}

		return string(s.data[start:s.pos]), nil
	}
}

// Header returns the key as a canonical header value, in ASCII.
func (k PartitionKey) Header() string {
	size := len("[]")
	for _, part := range k {
		size += len(part) + len(",")
	}

	header := append(make([]byte, 0, size), '[')

	for i, part := range k {
		if i > 0 {
			header = append(header, ',')
		}

		header = appendASCII(header, part)
	}

	return string(append(header, ']'))
}

// appendASCII appends canonical JSON text with everything that a header cannot carry escaped. Such characters occur
// inside strings only, where the escape means the same.
func appendASCII(dst []byte, text string) []byte {
	for _, char := range text {
		if char < utf8.RuneSelf && char != 0x7f {
			dst = utf8.AppendRune(dst, char)
		} else {
			dst = appendJSONChar(dst, char, true)
		}
	}

	return dst
}

// Equal says whether both keys are the same value: "1" is not 1, 1 is 1.0, null is not {}.
func (k PartitionKey) Equal(other PartitionKey) bool {
	if len(k) != len(other) {
		return false
	}

	for i := range k {
		if k[i] != other[i] {
			return false
		}
	}

	return true
}

// isConflatable says whether a component is a string longer than 101 bytes. Containers with partition key version 1 take
// such values for equal when their first 101 bytes are, so that the key does not confine a request there.
func (k PartitionKey) isConflatable() bool {
	for _, part := range k {
		// The text of a component is never shorter than its value and its quotes, so a short text needs no decoding.
		if len(part) <= versionOnePrefix+len(`""`) || part[0] != '"' {
			continue
		}

		scanner := jsonScanner{data: []byte(part)}
		if value, err := scanner.text(); err != nil || len(value) > versionOnePrefix {
			return true
		}
	}

	return false
}

// confines says whether a role could be granted this key and nothing else: the key [] is that of no partition, and a long
// one may be taken for another.
func (k PartitionKey) confines() bool { return len(k) > 0 && !k.isConflatable() }
