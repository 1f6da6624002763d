package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is the text of one policy file.
type Source struct {
	// Name is what faults are reported under, such as `policy/orders.yaml`.
	Name string
	Text []byte
}

// maxFiles bounds how many files one policy may have.
const maxFiles = 10_000

// Load reads files, and folders with everything below them that ends in .yaml,
// .yml or .cedar and is not hidden, and returns the checked and compiled policy. On
// any fault of the text the set is nil and the error is a [Faults] that holds
// every one; if a file cannot be read the error says which.
func Load(paths []string, o Options) (*Set, error) {
	var sources []Source
	for _, path := range paths {
		found, err := filesUnder(path)
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			text, err := readFile(name)
			if err != nil {
				return nil, err
			}
			sources = append(sources, Source{Name: name, Text: text})
		}
	}
	return ParseAll(sources, o)
}

// filesUnder lists path itself if it is a file, else the policy files below it.
func filesUnder(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading policy: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var names []string
	// With the separator a link to a folder is walked, not looked at.
	root := path + string(filepath.Separator)
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != root && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return filepath.SkipDir
			}
		case !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", cedarExtension}, filepath.Ext(name)):
			names = append(names, name)
			if len(names) > maxFiles {
				return fmt.Errorf("%s holds more than %d files: %w", path, maxFiles, fs.ErrInvalid)
			}
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s holds no .yaml file: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("reading policy: %w", err)
	}
	return names, nil
}

// readFile reads at most one byte more than a policy file may have, so that a
// huge file is refused without being held.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading policy: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading policy: %w", err)
	}
	return text, nil
}

// Parse is [Load] for one text.
func Parse(name string, text []byte, o Options) (*Set, error) {
	return ParseAll([]Source{{Name: name, Text: text}}, o)
}

// ParseAll is [Load] for texts.
func ParseAll(sources []Source, o Options) (*Set, error) {
	v, err := newValidator()
	if err != nil {
		return nil, err
	}
	r := &reader{conditions: conditions{validator: v, parsed: make(map[string]parsedCondition)}}
	for _, source := range sources {
		if isCedar(source.Name) {
			r.cedar(source)
		} else {
			r.read(source)
		}
	}
	c := &checker{docs: &r.docs, options: o}
	c.check()
	if faults := slices.Concat(r.faults, c.faults).sorted(); len(faults) > 0 {
		return nil, faults
	}
	rank(&r.docs)
	compiled := newCompiler()
	if err := compiled.compile(&r.docs); err != nil {
		return nil, fmt.Errorf("compiling policy: %w", err)
	}
	agents := make(map[string]*agent, len(r.docs.agents))
	for _, a := range r.docs.agents {
		agents[a.name] = a
	}
	return &Set{
		hash:     hashOf(sources),
		agents:   agents,
		docs:     &r.docs,
		warnings: slices.Concat(r.warnings, c.warnings).sorted(),
		compiler: *compiled,
	}, nil
}

// hashOf identifies the texts, in whatever order and under whatever names.
func hashOf(sources []Source) string {
	sums := make([]string, len(sources))
	for i, s := range sources {
		sum := sha256.Sum256(s.Text)
		sums[i] = string(sum[:])
	}
	slices.Sort(sums)
	sum := sha256.Sum256([]byte(strings.Join(sums, "")))
	return "sha256:" + hex.EncodeToString(sum[:])
}
