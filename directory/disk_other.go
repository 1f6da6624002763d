//go:build !linux

package directory

import "os"

// syncData syncs a file.
func syncData(f *os.File) error { return f.Sync() } //nolint:wrapcheck // the caller says what was tried

// willNeed can't have a part of a file read without waiting for it.
func willNeed(*os.File, int64, int64) bool { return false }

// populate can't make a part of a mapped file present.
func populate(uintptr, uintptr) bool { return false }
