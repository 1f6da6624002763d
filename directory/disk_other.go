//go:build !linux

package directory

import "os"

// syncData syncs a file.
func syncData(f *os.File) error { return f.Sync() } //nolint:wrapcheck // the caller says what was tried
