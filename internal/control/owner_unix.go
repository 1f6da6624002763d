//go:build unix

package control

import (
	"io/fs"
	"os"
	"syscall"
)

// ownFolder reports whether nobody but the gate's user and root can change a folder's mode.
func ownFolder(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return !ok || s.Uid == 0 || int(s.Uid) == os.Geteuid()
}

func ownerOf(info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return " (" + Peer{Known: true, UID: int(s.Uid)}.User() + ")"
	}
	return ""
}
