package directory

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
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

// willNeed has the system read a part of a file, without waiting for it, and
// reports whether it could.
func willNeed(f *os.File, at, length int64) bool {
	return unix.Fadvise(int(f.Fd()), at, length, unix.FADV_WILLNEED) == nil
}

// populate makes a part of a mapped file present, many pages at once, and
// reports whether it could: from Linux 5.14 on.
func populate(address, length uintptr) bool {
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, address, length, unix.MADV_POPULATE_READ)
	return errno == 0
}
