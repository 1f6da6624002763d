package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Entries is the part of the directory that keeps small named values: durable, and shared by all gates of one directory.
// A [*directory.Directory] is one.
type Entries interface {
	// Entry returns an entry that has not expired. It is asked on the request path.
	Entry(class, name string) (directory.Entry, bool)
	// Entries lists the live entries of a class.
	Entries(class string) []directory.Entry
	// EntryGeneration moves with every change of a class, after the change can be read.
	EntryGeneration(class string) uint64
	// PutEntry creates or replaces an entry.
	PutEntry(ctx context.Context, e directory.Entry, ifRevision uint64) (directory.Entry, error)
	// DeleteEntry takes an entry away.
	DeleteEntry(ctx context.Context, class, name string, ifRevision uint64) error
}

// entryName names an entry after what others chose: of fixed length, whatever they sent, and readable by its prefix only.
// Neither prefix nor realm may hold a zero byte.
func entryName(prefix, realm, name string) string {
	sum := sha256.Sum256([]byte(prefix + "\x00" + realm + "\x00" + name))

	return prefix + "." + base64.RawURLEncoding.EncodeToString(sum[:])
}
