package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const (
	ownerOnly      fs.FileMode = 0o600
	ownerFolder    fs.FileMode = 0o700
	writableOthers fs.FileMode = 0o022
	dialPatience               = time.Second
)

// MaxPath is how many bytes the path of a socket may have on this system.
func MaxPath() int {
	if runtime.GOOS == "linux" {
		return 107 //nolint:mnd // sun_path holds 108 bytes with its final NUL
	}
	return 103 //nolint:mnd // 104 with the NUL on macOS and the BSDs
}

// birthplace is the longest name that a socket is born with in its folder, before it is placed.
const birthplace = "/.c4294967295/s"

// CheckPath says whether a socket can have this path.
func CheckPath(path string) error {
	if n := max(len(path), len(filepath.Dir(path))+len(birthplace)); n > MaxPath() {
		return fmt.Errorf("the socket's path takes %d bytes and this system allows %d: set listen.control.socket to a shorter one (%s)",
			n, MaxPath(), path)
	}
	return nil
}

// Listen opens the socket at path, with mode 0600, replacing one that a dead gate left. Its folder is made if it is missing (mode 0700,
// one level); it must belong to the gate's user or root and not be writable for others, who could otherwise put a socket of theirs in
// its place. Closing the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the control socket: %w", err)
	}
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := checkVacant(path); err != nil {
		return nil, err
	}
	// The socket gets its mode in a folder of its own before it appears, so that nobody finds it open.
	private, err := os.MkdirTemp(filepath.Dir(path), ".c")
	if err != nil {
		return nil, fmt.Errorf("making room for the control socket: %w", err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // an empty folder that stays harms nobody
	born := filepath.Join(private, "s")
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", born)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it would remove the name it was born with
	}
	if err := errors.Join(os.Chmod(born, ownerOnly), os.Rename(born, path)); err != nil {
		return nil, fmt.Errorf("placing the control socket: %w", errors.Join(err, l.Close()))
	}
	own, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("placing the control socket: %w", errors.Join(err, l.Close()))
	}
	return &listener{Listener: l, path: path, own: own}, nil
}

// checkFolder makes the folder if it is missing, and looks whether it is safe. Volumes of container platforms are writable for a group or
// for everybody, so that a socket there needs a folder of its own.
func checkFolder(dir string) error {
	if err := os.Mkdir(dir, ownerFolder); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the control socket needs its folder: %w", err)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("the control socket needs its folder: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is no folder: name another place with listen.control.socket", dir)
	case !ownFolder(info):
		return fmt.Errorf("%s belongs to another user%s, who could replace the control socket: name another place with listen.control.socket", dir, ownerOf(info))
	case info.Mode().Perm()&writableOthers != 0:
		return fmt.Errorf("others may write to %s (mode %04o), so they could replace the control socket: chmod go-w %s, or name another place with "+
			"listen.control.socket; a folder that is missing is made", dir, info.Mode().Perm(), dir)
	}
	return nil
}

// checkVacant makes sure that nothing, or a socket nobody listens on, has the path.
func checkVacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking for the control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is not a socket, so it is left alone: move it away, or name another place with listen.control.socket", path)
	}
	conn, err := (&net.Dialer{Timeout: dialPatience}).DialContext(context.Background(), "unix", path)
	if err != nil {
		return nil //nolint:nilerr // nobody listens: a gate that was killed left it
	}
	_ = conn.Close() // nothing was said
	return fmt.Errorf("another gate listens on %s: stop it, or give this one its own listen.control.socket", path)
}

// listener marks connections with who opened them, and removes the socket at the end.
type listener struct {
	net.Listener
	path string
	own  fs.FileInfo
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net's servers compare it
	}
	return &peerConn{Conn: c, peer: peerOf(c)}, nil
}

// Addr names the socket by its path, not by the one it was born with.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close removes the socket, unless another gate has put its own there.
func (l *listener) Close() error {
	if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.own) {
		_ = os.Remove(l.path) // a stale socket is replaced by the next gate
	}
	return l.Listener.Close() //nolint:wrapcheck // net's servers compare it
}
