package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsShowCommandsThatExist reads every command line of the documents: the command exists, and has the flags.
func TestDocumentsShowCommandsThatExist(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../deploy/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			for _, line := range commandLines(t, page) {
				if fault := wrong(line); fault != "" {
					t.Errorf("%s: %s: %s", page, strings.Join(line, " "), fault)
				}
				checked++
			}
		}
	}
	if checked < 80 {
		t.Errorf("only %d command lines were found", checked)
	}
}

// commandLines are the calls of cosmosgate in a page's blocks of shell and in its text, in words.
func commandLines(t *testing.T, page string) [][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found [][]string
	call := regexp.MustCompile(`(?m)(?:^(?:\$ )?|\(|[;&|] |-- )(?:\./bin/)?cosmosgate ([^\n]*)`)
	inText := regexp.MustCompile("`cosmosgate ([^`|…*]+)`")
	word := regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s"']+`)
	for _, match := range inText.FindAllStringSubmatch(string(text), -1) {
		found = append(found, strings.Fields(match[1]))
	}
	for _, block := range blocks(string(text), "sh") {
		for _, match := range call.FindAllStringSubmatch(strings.ReplaceAll(block, "\\\n", " "), -1) {
			var words []string
			for _, w := range word.FindAllString(match[1], -1) {
				if strings.ContainsAny(w[:1], "#>|&<)") {
					break
				}
				words = append(words, strings.Trim(strings.TrimSuffix(w, ")"), `"'`))
			}
			found = append(found, words)
		}
	}
	return found
}

// wrong says what is wrong with a command line, empty if nothing.
func wrong(words []string) string {
	root := newRoot()
	root.InitDefaultCompletionCmd("")
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err.Error()
	}
	if cmd.HasAvailableSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return "there is no such command"
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err.Error()
	}
	return ""
}

// blocks are the fenced blocks of a language.
func blocks(text, language string) []string {
	var all []string
	for _, rest := range strings.Split(text, "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		all = append(all, block)
	}
	return all
}

// TestTheProductionPageIsValid checks the configuration and the policy of docs/production.md, its tests included, and exports the rights
// that it says the identities get.
func TestTheProductionPageIsValid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	yaml := blocks(string(text), "yaml")
	if len(yaml) != 2 {
		t.Fatalf("%d blocks of YAML", len(yaml))
	}
	file := filepath.Join(folder, "cosmosgate.yaml")
	for path, content := range map[string]string{
		file:                           strings.ReplaceAll(yaml[0], "/etc/cosmosgate/policy", filepath.Join(folder, "policy")),
		folder + "/policy/orders.yaml": yaml[1],
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), ownerOnly); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []struct {
		args []string
		want []string
	}{
		{[]string{"check", "--config", file}, []string{
			"is valid", "account     prod: https://cosmos.corp.example/ -> https://corp-prod.documents.azure.com/, 3 identities",
			"connection  corp-entra: people of issuer corp, pushed to https://scim.corp.example/scim/v2/corp-entra",
		}},
		{[]string{"policy", "test", folder + "/policy"}, nil},
		{
			[]string{"policy", "export", folder + "/policy", "--config", file, "--format", "az"},
			[]string{`"$PRINCIPAL_PROD_ORDERS_RO" --scope '/dbs/shop/colls/orders'`, `"$PRINCIPAL_PROD_ORDERS_RW" --scope '/dbs/shop/colls/orders'`},
		},
	} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), line.args, &stdout, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d\n%s%s", strings.Join(line.args, " "), code, stdout.String(), stderr.String())
		}
		for _, part := range line.want {
			if !strings.Contains(stdout.String(), part) {
				t.Errorf("%s lacks %q:\n%s", strings.Join(line.args, " "), part, stdout.String())
			}
		}
		if warned := stderr.String(); strings.Contains(warned, "warning") {
			t.Errorf("%s: %s", strings.Join(line.args, " "), warned)
		}
	}
}

// TestTheChangelogSaysNothingTwice finds lines that a merge left standing beside their successors.
func TestTheChangelogSaysNothingTwice(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	const beginning = 30
	seen := map[string]int{}
	for i, line := range strings.Split(string(text), "\n") {
		if len(line) < beginning {
			continue
		}
		if first, twice := seen[line[:beginning]]; twice {
			t.Errorf("lines %d and %d begin alike: %s", first, i+1, line)
		}
		seen[line[:beginning]] = i + 1
	}
}
