package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// decoded reads JSON the way results are read.
func decoded(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("reading %s: %v", text, err)
	}
	return value
}

func TestAnExpectationNamesOnlyWhatMatters(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		phrase, expected, found string
		fits                    bool
	}{
		{"what is left out may be anything", `{"status":200}`, `{"status":200,"item":{"id":"a"}}`, true},
		{"a different value does not fit", `{"status":200}`, `{"status":201}`, false},
		{"a missing value does not fit", `{"status":200}`, `{}`, false},
		{"lists have the same length", `{"items":[{"id":"a"}]}`, `{"items":[{"id":"a"},{"id":"b"}]}`, false},
		{"an empty list is not an absent one", `{"items":[]}`, `{}`, false},
		{"the entries of a list may say more", `{"items":[{"id":"a"}]}`, `{"items":[{"id":"a","n":1}]}`, true},
		{"absent is absent", `{"item":"$absent"}`, `{"status":204}`, true},
		{"absent is not there", `{"item":"$absent"}`, `{"item":{}}`, false},
		{"a text contains a part", `{"message":{"$contains":"items/create"}}`, `{"message":"may not items/create here"}`, true},
		{"a text lacks a part", `{"message":{"$contains":"items/create"}}`, `{"message":"no"}`, false},
		{"one of several", `{"status":{"$in":[401,403]}}`, `{"status":403}`, true},
		{"none of several", `{"status":{"$in":[401,403]}}`, `{"status":404}`, false},
	} {
		t.Run(row.phrase, func(t *testing.T) {
			t.Parallel()
			problem := mismatch("step", decoded(t, row.expected), decoded(t, row.found))
			if fits := problem == ""; fits != row.fits {
				t.Errorf("mismatch(%s, %s) = %q", row.expected, row.found, problem)
			}
		})
	}
}

func TestTwoRunsOfTheSameCaseCompareEqual(t *testing.T) {
	t.Parallel()
	sides := make([]any, 0, 2)
	for _, side := range []struct{ run, text string }{
		{"conf-go-direct", `{"id":"conf-go-direct-1","_etag":"\"0a\"","_ts":1,"_rid":"a=","text":"of conf-go-direct-items at https://localhost:4431/ (0f8fad5b-d9cb-469f-a165-70867728950e)"}`},
		{"conf-go-gate", `{"id":"conf-go-gate-1","_etag":"\"0b\"","_ts":2,"_rid":"b=","text":"of conf-go-gate-items at https://localhost:8443/ (7c9e6679-7425-40de-944b-e07fc1f90ae7)"}`},
	} {
		n := newNormaliser(map[string]place{"items": {Container: side.run + "-items", own: true}}, side.run)
		sides = append(sides, n.value(decoded(t, side.text)))
	}
	if diff := cmp.Diff(sides[0], sides[1]); diff != "" {
		t.Errorf("(-direct +gate)\n%s", diff)
	}
}

func TestRecordedCredentialsKeepTheirFormOnly(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"type=aad&ver=1.0&sig=eyJhbGciOi":         "type=aad&ver=1.0&sig=TOKEN",
		"type%3Daad%26ver%3D1.0%26sig%3DeyJhbGci": "type%3Daad%26ver%3D1.0%26sig%3DTOKEN",
		"type%3daad%26ver%3d1.0%26sig%3deyJhbGci": "type%3daad%26ver%3d1.0%26sig%3dTOKEN",
		"type=aad&ver=1.0&sig=":                   "type=aad&ver=1.0&sig=",
		"Bearer eyJhbGciOi":                       "TOKEN",
	} {
		if got := withoutToken(sent); got != want {
			t.Errorf("withoutToken(%q) = %q, want %q", sent, got, want)
		}
	}
}

func TestRecordedRequestsHoldNoToken(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "requests", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "eyJ") {
			t.Errorf("%s holds what looks like a token", file)
		}
	}
}

func TestEveryCaseSaysWhatItExpects(t *testing.T) {
	t.Parallel()
	cases, err := loadCases("cases")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		names[c.Name] = true
		for i, step := range c.Steps {
			if step["expect"] == nil {
				t.Errorf("%s: step %d expects nothing", c.Name, i+1)
			}
		}
	}
}
