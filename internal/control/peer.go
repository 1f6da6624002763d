package control

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
)

// Peer is who opened a connection, as the operating system says.
type Peer struct {
	// Known is false where the system does not tell.
	Known bool
	// UID and PID are the process's user and id.
	UID, PID int
}

// User names the peer for the record: the account's name where there is one, else uid:N.
func (p Peer) User() string {
	if !p.Known {
		return ""
	}
	if u, err := user.LookupId(strconv.Itoa(p.UID)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid:%d", p.UID)
}

// permitted reports whether the peer is the gate's own user, or root. The socket's mode says the same; a socket that was passed
// on, or a file system that ignores modes, is no way round it.
func (p Peer) permitted() bool { return !p.Known || p.UID == os.Geteuid() || p.UID == 0 }

// peerConn tells net/http who is on the other side: requests carry it as their remote address.
type peerConn struct {
	net.Conn
	peer Peer
}

func (c *peerConn) RemoteAddr() net.Addr { return peerAddr(c.peer) }

type peerAddr Peer

func (peerAddr) Network() string { return "unix" }

func (a peerAddr) String() string {
	if !a.Known {
		return ""
	}
	return fmt.Sprintf("uid:%d,pid:%d", a.UID, a.PID)
}

// parsePeer reads what peerAddr wrote.
func parsePeer(address string) Peer {
	p := Peer{}
	if n, err := fmt.Sscanf(address, "uid:%d,pid:%d", &p.UID, &p.PID); err != nil || n != 2 {
		return Peer{}
	}
	p.Known = true
	return p
}
