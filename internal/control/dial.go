package control

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// foreignError says why a socket may be somebody else's than the gate's.
type foreignError struct{ why string }

func (e *foreignError) Error() string { return e.why }

func foreign(format string, args ...any) error {
	return &foreignError{why: fmt.Sprintf(format, args...)}
}

// dialGate connects to the gate's socket and to nobody else's: what is sent holds people's data, and who believes to have locked somebody must
// have. The socket has to belong to the caller or to root, who alone may write to it; root also talks to the gate of a service user,
// whose folder no third person can write to.
func dialGate(ctx context.Context, path string) (net.Conn, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // Client.unreachable explains it
	}
	uid, known := ownerID(info)
	switch {
	case info.Mode().Type() != fs.ModeSocket:
		return nil, foreign("%s is not a socket", path)
	case info.Mode().Perm()&writableOthers != 0:
		return nil, foreign("others may write to %s (mode %04o), and no gate makes such a socket", path, info.Mode().Perm())
	case !known:
	case uid == 0 || uid == os.Geteuid():
	case os.Geteuid() != 0:
		return nil, foreign("%s belongs to another user%s", path, ownerOf(info))
	default:
		if err := folderOf(path, uid); err != nil {
			return nil, err
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	// The path could name another socket by now, so whoever listens is asked as well.
	if peer := peerOf(conn); known && peer.Known && peer.UID != uid && peer.UID != 0 {
		_ = conn.Close() // nothing was said
		return nil, foreign("%s is served by another user (%s) than its owner", path, peer.User())
	}
	return conn, nil
}

// folderOf refuses a service user's socket in a folder where a third person could have put it.
func folderOf(path string, uid int) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return err //nolint:wrapcheck // as above
	}
	owner, known := ownerID(info)
	if known && owner != 0 && owner != uid || info.Mode().Perm()&writableOthers != 0 {
		return foreign("%s is in a folder where others than its owner may put a socket (%s, mode %04o)", path, dir, info.Mode().Perm())
	}
	return nil
}
