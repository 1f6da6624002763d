package directory

import (
	"errors"
	"os"
	"syscall"
)

// syncData syncs a file's content, and of its metadata only what reading that
// needs: where neither size nor place changed, the file system's own journal
// needn't be written.
func syncData(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err //nolint:wrapcheck // the caller says what was tried
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		for {
			if failed = syscall.Fdatasync(int(fd)); !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	}); err != nil {
		return err //nolint:wrapcheck // as above
	}
	return failed //nolint:wrapcheck // as above
}

// madvPopulateRead makes pages present and mapped, from Linux 5.14 on.
const madvPopulateRead = 22

// populate makes a part of a mapped file present, many pages at once, and
// reports whether it could.
func populate(address, length uintptr) bool {
	_, _, errno := syscall.Syscall(syscall.SYS_MADVISE, address, length, madvPopulateRead)
	return errno == 0
}
