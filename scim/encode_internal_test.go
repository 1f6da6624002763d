package scim

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
)

// FuzzEncodeJSON holds the encoder to what encoding/json writes, and the parser
// to reading it back.
func FuzzEncodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1,-2.5e3,true,null,"x",[],{}],"a":{"":"é\u2028<&>","\"\\":"\t"}}`, `[]`, `"\u0000"`, `1e400`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		value, err := parseJSON(body)
		if err != nil {
			return
		}
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(value); err != nil {
			t.Fatalf("encoding/json refuses what was parsed: %v", err)
		}
		got, err := encodeJSON(value)
		if err != nil || !bytes.Equal(append(got, '\n'), want.Bytes()) {
			t.Fatalf("got %s, %v, want %s", got, err, want.Bytes())
		}
		again, err := parseJSON(got)
		if err != nil {
			t.Fatalf("%s is not read back: %v", got, err)
		}
		if twice, err := encodeJSON(again); err != nil || !bytes.Equal(twice, got[:len(twice)]) {
			t.Fatalf("got %s, %v after reading back, want %s", twice, err, got)
		}
	})
}

func TestValuesOfOtherTypesAreEncodedAsEncodingJSONDoes(t *testing.T) {
	t.Parallel()
	for _, value := range []any{
		7, uint64(8), json.Number("1.0"), []string{"a"}, []any(nil), map[string]any(nil),
		map[string]any{"n": map[string]int{"a": 1}}, struct {
			A string `json:"a"`
		}{"<b>"},
	} {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(value); err != nil {
			t.Fatal(err)
		}
		if got, err := encodeJSON(value); err != nil || string(got)+"\n" != want.String() {
			t.Errorf("%#v: got %s, %v, want %s", value, got, err, want.String())
		}
	}
	if got, err := encodeJSON(map[string]any{"a": func() {}}); err == nil {
		t.Errorf("a function is encoded as %s", got)
	}
}

func TestABufferThatMayStillBeSentIsNobodyElses(t *testing.T) {
	t.Parallel()
	var shared buffers
	var stillSent []byte
	err := shared.encode("the answer to one", func(body []byte) error {
		stillSent = body
		return errors.New("stream closed")
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := shared.encode("the answer to another", func([]byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(stillSent); got != `"the answer to one"` {
		t.Errorf("it became %s", got)
	}
}
