package identity

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// DetailType is the type of authorization_details that the gate understands (RFC 9396 section 2).
const DetailType = "cosmos"

const (
	maxDetails       = 16
	maxDetailEntries = 64
	maxDetailText    = 1 << 10
	maxKeyComponents = 3 // levels of a hierarchical partition key
)

// ErrDetails is wrapped by what is wrong with authorization_details.
var ErrDetails = errors.New("authorization_details")

var (
	errDetailList  = errors.New("is not a list of 1 to 16 objects")
	errDetailType  = errors.New(`type is not "cosmos"`)
	errDetailField = errors.New("has a member that is not type, actions, resources or partitionKeys")
	errDetailEmpty = errors.New("allows nothing: actions and resources are needed")
	errDetailTexts = errors.New("is not a list of 1 to 64 texts")
	errDetailKeys  = errors.New("is not a list of 1 to 64 partition keys, each a list of 1 to 3 strings, numbers, booleans or nulls")
)

// ParseDetails reads authorization_details as a request carries them: a JSON array of objects of type "cosmos". It knows the form
// only; what actions and resources mean is policy's to say. Unknown members are errors, because ignoring one would widen what was
// meant to be narrow.
func ParseDetails(text []byte) ([]CosmosDetail, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: %w", ErrDetails, errNotUTF8)
	}

	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.SetNumberType(json.UnmarshalJSONNumber)

	var list any
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDetails, clip(err))
	}

	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", ErrDetails, errTrailing)
	}

	return readDetails(list)
}

// MarshalDetails writes details in the form that [ParseDetails] reads; nil for none.
func MarshalDetails(details []CosmosDetail) ([]byte, error) {
	if len(details) == 0 {
		return nil, nil
	}

	type object struct {
		Type          string                 `json:"type"`
		Actions       []string               `json:"actions,omitempty"`
		Resources     []string               `json:"resources,omitempty"`
		PartitionKeys [][]stdjson.RawMessage `json:"partitionKeys,omitempty"`
	}

	list := make([]object, 0, len(details))

	for _, detail := range details {
		o := object{Type: DetailType, Actions: detail.Actions, Resources: detail.Resources}

		for _, key := range detail.PartitionKeys {
			components := make([]stdjson.RawMessage, len(key))
			for i, component := range key {
				components[i] = stdjson.RawMessage(component)
			}

			o.PartitionKeys = append(o.PartitionKeys, components)
		}

		list = append(list, o)
	}

	text, err := stdjson.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDetails, err)
	}

	return text, nil
}

// tokenDetails reads the claim authorization_details. What a foreign issuer meant for other resources grants nothing here, so that a
// token narrowed only to those is refused.
func tokenDetails(c claims) ([]CosmosDetail, error) {
	if !c.has("authorization_details") {
		return nil, nil
	}

	details, err := readDetails(c["authorization_details"])
	if err != nil {
		return nil, refuseBecause(SubstatusScope, "claim", err)
	}

	return details, nil
}

func readDetails(value any) ([]CosmosDetail, error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 || len(list) > maxDetails {
		return nil, fmt.Errorf("%w: %w", ErrDetails, errDetailList)
	}

	details := make([]CosmosDetail, 0, len(list))

	for i, element := range list {
		detail, err := readDetail(element)
		if err != nil {
			return nil, fmt.Errorf("%w: [%d]: %w", ErrDetails, i, err)
		}

		details = append(details, detail)
	}

	return details, nil
}

func readDetail(value any) (CosmosDetail, error) {
	var detail CosmosDetail

	object, ok := asClaims(value)
	if !ok {
		return detail, errDetailList
	}

	if object.text("type") != DetailType {
		return detail, errDetailType
	}

	for name := range object {
		if !slices.Contains([]string{"type", "actions", "resources", "partitionKeys"}, name) {
			return detail, errDetailField
		}
	}

	var errs [3]error

	detail.Actions, errs[0] = detailTexts(object, "actions")
	detail.Resources, errs[1] = detailTexts(object, "resources")
	detail.PartitionKeys, errs[2] = detailKeys(object)

	if err := errors.Join(errs[:]...); err != nil {
		return detail, err
	}

	if detail.Actions == nil || detail.Resources == nil {
		return detail, errDetailEmpty
	}

	return detail, nil
}

func detailTexts(object claims, name string) ([]string, error) {
	if !object.has(name) {
		return nil, nil
	}

	list, ok := object[name].([]any)
	if !ok || len(list) == 0 || len(list) > maxDetailEntries {
		return nil, fmt.Errorf("%s %w", name, errDetailTexts)
	}

	texts := make([]string, 0, len(list))

	for _, element := range list {
		text, ok := element.(string)
		if !ok || text == "" || len(text) > maxDetailText || strings.ContainsRune(text, utf8.RuneError) {
			return nil, fmt.Errorf("%s %w", name, errDetailTexts)
		}

		texts = append(texts, text)
	}

	return texts, nil
}

func detailKeys(object claims) ([][]string, error) {
	const name = "partitionKeys"
	if !object.has(name) {
		return nil, nil
	}

	list, ok := object[name].([]any)
	if !ok || len(list) == 0 || len(list) > maxDetailEntries {
		return nil, fmt.Errorf("%s %w", name, errDetailKeys)
	}

	keys := make([][]string, 0, len(list))

	for _, element := range list {
		components, ok := element.([]any)
		if !ok || len(components) == 0 || len(components) > maxKeyComponents {
			return nil, fmt.Errorf("%s %w", name, errDetailKeys)
		}

		key := make([]string, 0, len(components))

		for _, component := range components {
			text, ok := keyComponent(component)
			if !ok {
				return nil, fmt.Errorf("%s %w", name, errDetailKeys)
			}

			key = append(key, text)
		}

		keys = append(keys, key)
	}

	return keys, nil
}

// keyComponent returns the canonical JSON text of a component, as requests are compared with it: numbers as ECMAScript writes them,
// nothing escaped that need not be.
func keyComponent(value any) (string, bool) {
	switch v := value.(type) {
	case nil, bool:
	case string:
		if len(v) > 2*maxDetailText || strings.ContainsRune(v, utf8.RuneError) {
			return "", false
		}
	case json.Number:
		number, err := v.Float64()
		if err != nil {
			return "", false
		}

		if number == 0 {
			number = 0 // Cosmos DB knows no negative zero
		}

		value = number
	default:
		return "", false
	}

	var text bytes.Buffer

	encoder := stdjson.NewEncoder(&text)
	encoder.SetEscapeHTML(false)

	if err := encoder.Encode(value); err != nil {
		return "", false
	}

	return strings.TrimSuffix(text.String(), "\n"), true
}
