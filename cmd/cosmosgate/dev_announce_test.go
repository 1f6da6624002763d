package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheProgramsThatDevPrintsAreTheFilesItKeeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &ready{
		Gate: readyGate{Endpoint: "https://localhost:1/"}, CA: "/ca.pem", Config: filepath.Join(dir, "cosmosgate.yaml"),
		TokenCommand: []string{"/bin/cosmosgate", "dev", "token", "--state", dir},
	}
	var printed bytes.Buffer
	if err := announce(&printed, r); err != nil {
		t.Fatal(err)
	}
	if err := writeSnippets(r, snippetFolder(r)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(snippetFolder(r))
	if err != nil {
		t.Fatal(err)
	}
	const languages = 4
	if len(files) != languages {
		t.Errorf("%d programs were kept, want one for each of %d languages", len(files), languages)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(snippetFolder(r), f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(printed.String(), strings.TrimSpace(string(text))) {
			t.Errorf("%s is not among what was printed", f.Name())
		}
		if strings.Contains(string(text), "{{") || strings.Contains(string(text), "<no value>") {
			t.Errorf("%s has gaps:\n%s", f.Name(), text)
		}
	}
}
