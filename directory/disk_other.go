//go:build !linux

package directory

import "os"

// syncData syncs a file.
func syncData(f *os.File) error { return f.Sync() } //nolint:wrapcheck // the caller says what was tried

// populate can't make a part of a mapped file present.
func populate(uintptr, uintptr) bool { return false }
