package emulator

import (
	"net/http"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// partitionKey is the components of one key; an undefined component is the zero Value.
type partitionKey []document.Value

// String is the same for equal keys and for no others.
func (k partitionKey) String() string {
	var text strings.Builder
	for _, component := range k {
		text.WriteString(component.Key())
		text.WriteByte('\n')
	}
	return text.String()
}

// startsWith reports whether prefix is equal to the key or to its first components.
func (k partitionKey) startsWith(prefix partitionKey) bool {
	if len(prefix) > len(k) {
		return false
	}
	for i, component := range prefix {
		if !document.Equal(k[i], component) {
			return false
		}
	}
	return true
}

// JSON writes the key the way the header carries it.
func (k partitionKey) JSON() string {
	var text strings.Builder
	for i, component := range k {
		if i > 0 {
			text.WriteByte(',')
		}
		if component.Defined() {
			text.WriteString(component.String())
		} else {
			text.WriteString("{}")
		}
	}
	return "[" + text.String() + "]"
}

// parsePartitionKey reads a JSON array of scalars, in which {} is undefined.
func parsePartitionKey(text string) (partitionKey, error) {
	value, err := document.Parse([]byte(text))
	elements, ok := value.Elements()
	if err != nil || !ok {
		return nil, badRequest("Partition key %s is invalid.", text)
	}
	key := make(partitionKey, len(elements))
	for i, element := range elements {
		members, isObject := element.Members()
		switch {
		case isObject && len(members) == 0:
		case element.Kind() > document.String:
			return nil, badRequest("Partition key %s is invalid.", text)
		default:
			key[i] = element
		}
	}
	return key, nil
}

// requestKey reads the partition-key header; present is false when there is none, or one without
// components.
func requestKey(header http.Header) (key partitionKey, present bool, err error) {
	text := header.Get(headerPartitionKey)
	if text == "" {
		return nil, false, nil
	}
	key, err = parsePartitionKey(text)
	return key, len(key) > 0, err
}

// keyOf reads the key from an item.
func (c *container) keyOf(item document.Value) (partitionKey, error) {
	key := make(partitionKey, len(c.paths))
	for i, path := range c.paths {
		value := item
		for _, step := range path {
			value = value.Get(step)
		}
		if value.Kind() > document.String {
			return nil, badRequest("The partition key value of an item must be a string, number, boolean or null.")
		}
		key[i] = value
	}
	return key, nil
}

// parsePath splits "/a/b" or `/"a b"/c` into its steps.
func parsePath(path string) []string {
	var steps []string
	for rest := strings.TrimPrefix(path, "/"); rest != ""; {
		if strings.HasPrefix(rest, `"`) {
			if end := strings.IndexByte(rest[1:], '"'); end >= 0 {
				steps = append(steps, rest[1:end+1])
				rest = strings.TrimPrefix(rest[end+2:], "/")
				continue
			}
		}
		step, after, _ := strings.Cut(rest, "/")
		steps = append(steps, step)
		rest = after
	}
	return steps
}
