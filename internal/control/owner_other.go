//go:build !unix

package control

import "io/fs"

func ownerOf(fs.FileInfo) string { return "" }

func ownFolder(fs.FileInfo) bool { return true }
