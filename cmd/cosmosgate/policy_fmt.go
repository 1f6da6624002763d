package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

var errUnformatted = errors.New("not in canonical form")

// formatMode is what is done with a file whose canonical form differs.
type formatMode struct{ write, check bool }

func newPolicyFormat() *cobra.Command {
	var mode formatMode
	cmd := &cobra.Command{
		Use:   "fmt PATH...",
		Short: "Write policy files in their canonical form",
		Long: `Puts keys in the order of the documentation, indents by two spaces and removes empty lines. Comments stay with what they are
about. The meaning never changes: a file that cannot be written without losing a comment or a value is reported and left
as it is (exit code 3).

A single "-" formats standard input. Without -w and --check one file is printed. With --check the files that differ are
listed and the exit code is 1.`,
		Example: "  cosmosgate policy fmt -w policy/\n  cosmosgate policy fmt --check policy/\n  cosmosgate policy fmt - < roles.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if len(paths) == 1 && paths[0] == "-" {
				return formatInput(cmd)
			}
			files, err := policyFiles(paths)
			if err != nil {
				return err
			}
			if len(files) != 1 && !mode.write && !mode.check {
				return errOneFile
			}
			return mode.run(cmd.OutOrStdout(), files)
		},
	}
	cmd.Flags().BoolVarP(&mode.write, "write", "w", false, "write the files instead of printing")
	cmd.Flags().BoolVar(&mode.check, "check", false, "only list the files that differ")
	cmd.MarkFlagsMutuallyExclusive("write", "check")
	return cmd
}

var errOneFile = errors.New("several files need -w or --check")

// policyFiles lists what a gate would read of the paths.
func policyFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		found, err := policy.Files(path)
		if err != nil {
			return nil, badConfig(err, policyHint(err))
		}
		for _, name := range found {
			if filepath.Ext(name) != ".cedar" {
				files = append(files, name)
			}
		}
	}
	return files, nil
}

func formatInput(cmd *cobra.Command) error {
	text, err := io.ReadAll(cmd.InOrStdin())
	if err != nil {
		return failed(fmt.Errorf("reading standard input: %w", err), "")
	}
	formatted, err := policy.Format("standard input", text)
	if err != nil {
		return badConfig(err, "")
	}
	_, err = cmd.OutOrStdout().Write(formatted)
	return wrapOutput(err)
}

// run treats every file, also after one that cannot be formatted.
func (m formatMode) run(w io.Writer, files []string) error {
	var faults, different []error
	for _, name := range files {
		changed, err := m.file(w, name)
		if err != nil {
			faults = append(faults, err)
		} else if changed && m.check {
			different = append(different, fmt.Errorf("%s: %w", name, errUnformatted))
		}
	}
	switch {
	case len(faults) > 0:
		return badConfig(errors.Join(append(faults, different...)...), "")
	case len(different) > 0:
		return failed(errors.Join(different...), "cosmosgate policy fmt -w writes them")
	default:
		return nil
	}
}

func (m formatMode) file(w io.Writer, name string) (changed bool, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, fmt.Errorf("reading policy: %w", err)
	}
	formatted, err := policy.Format(name, text)
	if err != nil {
		return false, err //nolint:wrapcheck // each line begins with its file
	}
	changed = !bytes.Equal(text, formatted)
	out := &printer{w: w}
	switch {
	case m.check && changed:
		out.line("%s", name)
	case m.write && changed:
		if err := replaceFile(name, formatted); err != nil {
			return false, err
		}
		out.line("%s", name)
	case !m.write && !m.check:
		_, err := w.Write(formatted)
		return changed, wrapOutput(err)
	}
	return changed, out.done()
}

// replaceFile writes a file whole or not at all, with the permissions that it had: a gate may be reading it.
func replaceFile(name string, text []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return fmt.Errorf("writing policy: %w", err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("writing policy: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(name), ".fmt-*")
	if err != nil {
		return fmt.Errorf("writing policy: %w", err)
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Chmod(info.Mode().Perm()), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("writing policy: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
