package main

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"text/template"
)

//go:embed snippets/*.tmpl
var snippetFiles embed.FS

// snippet is a complete program for one language, ready to be pasted.
type snippet struct{ language, file, text string }

// snippets renders every language's program for a running gate.
func snippets(r *ready) ([]snippet, error) {
	all := []snippet{
		{language: "curl", file: "try.sh"}, {language: "Go", file: "main.go"},
		{language: "JavaScript", file: "try.mjs"}, {language: "Python", file: "try.py"},
	}
	t, err := template.ParseFS(snippetFiles, "snippets/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("reading the snippets: %w", err)
	}
	for i := range all {
		var b strings.Builder
		if err := t.ExecuteTemplate(&b, strings.ToLower(all[i].language)+".tmpl", r); err != nil {
			return nil, fmt.Errorf("writing the %s snippet: %w", all[i].language, err)
		}
		all[i].text = b.String()
	}
	return all, nil
}

// writeSnippets keeps the programs that announce prints as files, too.
func writeSnippets(r *ready, dir string) error {
	all, err := snippets(r)
	if err != nil {
		return err
	}
	const oursOnly = 0o700
	if err := os.MkdirAll(dir, oursOnly); err != nil {
		return fmt.Errorf("making the folder of snippets: %w", err)
	}
	for _, s := range all {
		if err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.text), ownerOnly); err != nil {
			return fmt.Errorf("writing the %s snippet: %w", s.language, err)
		}
	}
	return nil
}

// announce tells a person where everything is and what to try first.
func announce(w io.Writer, r *ready) error {
	all, err := snippets(r)
	if err != nil {
		return err
	}
	out := &printer{w: w}
	out.table([][]string{
		{"gate", r.Gate.Endpoint, "point a Cosmos SDK here"},
		{"certificate", r.CA, "the authority to trust"},
		{"sign-in", r.Issuer, "development identity provider"},
		{"token service", r.TokenService, "delegated tokens for agents"},
		{"SCIM", r.SCIM.URL, "token: " + filepath.Join(filepath.Dir(r.Config), "scim-token")},
		{"stand-in", r.Emulator.Endpoint, "what the gate forwards to; account key: the emulators' well-known one"},
		{"health, metrics", r.Gate.Admin, "readyz, metrics"},
		{"policy", r.Policy, "edit it: the gate obeys within a second"},
		{"record", r.Audit, "one JSON line for every request"},
	})
	out.line("\nWho there is:")
	var people [][]string
	for _, p := range r.People {
		people = append(people, []string{p.Name, p.May})
	}
	for _, a := range r.Applications {
		people = append(people, []string{a.Name, a.May})
	}
	if r.Agent != nil {
		people = append(people, []string{r.Agent.Name, r.Agent.May})
	}
	out.table(people)
	out.line("\nIn another terminal, sign in as one of them and query (two commands to a result):\n")
	for _, command := range firstCommands(r) {
		out.line("  %s", command)
	}
	out.line("\nA token for one of them:  %s NAME", strings.Join(r.TokenCommand, " "))
	if r.Agent != nil {
		out.line("One by which %s acts for ann:  %s ann --agent %s", r.Agent.Name, strings.Join(r.TokenCommand, " "), r.Agent.Name)
	}
	out.line("Operator commands (lock, key, scim, sts, directory) need --config %s, such as", r.Config)
	out.line("  %s lock ann@shop.example --config %s", r.TokenCommand[0], r.Config)
	for _, s := range all {
		out.line("\n--- %s %s", s.language, strings.Repeat("-", 100-len(s.language)))
		out.line("%s", strings.TrimRight(s.text, "\n"))
	}
	out.line("\nThe same programs are files in %s. Stop with Ctrl-C.", snippetFolder(r))
	return out.done()
}

// firstCommands are what a newcomer pastes: signing in opens the page on which to pick a person.
func firstCommands(r *ready) []string {
	binary := r.TokenCommand[0]
	return []string{
		binary + " login --gate " + r.Gate.Endpoint + " --ca " + r.CA,
		binary + ` query shop/orders "SELECT c.id, c.customer, c.total FROM c" --pk emea`,
	}
}

func snippetFolder(r *ready) string { return filepath.Join(filepath.Dir(r.Config), "snippets") }

// printer writes to a person and remembers the first fault.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	_, err := fmt.Fprintf(p.w, format+"\n", args...)
	p.err = errors.Join(p.err, err)
}

func (p *printer) table(rows [][]string) {
	const padding = 2
	t := tabwriter.NewWriter(p.w, 0, 0, padding, ' ', 0)
	for _, r := range rows {
		_, err := fmt.Fprintln(t, "  "+strings.Join(r, "\t"))
		p.err = errors.Join(p.err, err)
	}
	p.err = errors.Join(p.err, t.Flush())
}

func (p *printer) done() error { return wrapOutput(p.err) }
