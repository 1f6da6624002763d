//go:build !unix

package control

import "io/fs"

func ownerOf(fs.FileInfo) string { return "" }

func ownerID(fs.FileInfo) (int, bool) { return 0, false }

func ownFolder(fs.FileInfo) bool { return true }
