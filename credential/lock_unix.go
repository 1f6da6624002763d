//go:build unix

package credential

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes a lock that ends when the file is closed or the process dies.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err //nolint:wrapcheck // the caller says what was locked
}
