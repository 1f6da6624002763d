//go:build unix

package control

import (
	"io/fs"
	"syscall"
)

func ownerOf(info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return " (" + Peer{Known: true, UID: int(s.Uid)}.User() + ")"
	}
	return ""
}
