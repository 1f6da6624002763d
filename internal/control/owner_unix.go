//go:build unix

package control

import (
	"io/fs"
	"os"
	"syscall"
)

// ownFolder reports whether nobody but the gate's user and root can change a folder's mode.
func ownFolder(info fs.FileInfo) bool {
	uid, ok := ownerID(info)
	return !ok || uid == 0 || uid == os.Geteuid()
}

// ownerID is the user id of a file's owner.
func ownerID(info fs.FileInfo) (int, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}

func ownerOf(info fs.FileInfo) string {
	if uid, ok := ownerID(info); ok {
		return " (" + Peer{Known: true, UID: uid}.User() + ")"
	}
	return ""
}
