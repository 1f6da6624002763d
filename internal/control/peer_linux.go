package control

import (
	"net"
	"syscall"
)

// peerOf asks the kernel who opened the connection (SO_PEERCRED, unix(7)).
func peerOf(c net.Conn) Peer {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Peer{}
	}
	var cred *syscall.Ucred
	err = raw.Control(func(fd uintptr) {
		cred, _ = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || cred == nil {
		return Peer{}
	}
	return Peer{Known: true, UID: int(cred.Uid), PID: int(cred.Pid)}
}
