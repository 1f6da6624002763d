package replicas_test

import (
	"context"
	"net"
	"sync"
	"testing"
)

// relay carries TCP connections to a target, unless it is told not to.
type relay struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	state state
	open  map[net.Conn]struct{}
}

// state is what a relay does with connections.
type state int

const (
	through state = iota // carries them
	cut                  // ends them, and takes no new ones
	silent               // takes everything, and carries nothing
)

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, target: target, open: map[net.Conn]struct{}{}}
	go r.serve()
	t.Cleanup(func() {
		_ = l.Close()
		r.set(cut)
	})
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

// set changes what becomes of connections, those that are open included.
func (r *relay) set(s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = s
	if s == cut {
		for c := range r.open {
			_ = c.Close()
		}
		clear(r.open)
	}
}

func (r *relay) current() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == cut {
		_ = c.Close()
		return false
	}
	r.open[c] = struct{}{}
	return true
}

func (r *relay) serve() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		if !r.keep(near) {
			continue
		}
		far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.target)
		if err != nil || !r.keep(far) {
			_ = near.Close()
			continue
		}
		go r.carry(near, far)
		go r.carry(far, near)
	}
}

// carry copies one direction; what comes while the relay is silent is lost for good, as in a network that drops packets until
// the connection is given up.
func (r *relay) carry(from, to net.Conn) {
	defer from.Close() //nolint:errcheck // it is over
	defer to.Close()   //nolint:errcheck // it is over
	buffer := make([]byte, 32<<10)
	lost := false
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if lost = lost || r.current() == silent; lost {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
