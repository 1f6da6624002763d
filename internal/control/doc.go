// Package control is how an operator's commands reach a running gate: a Unix socket that only the gate's own user and root can open,
// and small JSON requests over it. There is no administration over the network.
//
// [Listen] opens the socket, a [Mux] holds the acts, and a [Client] asks for them. Every request is recorded before it is answered,
// with who asked as the operating system knows them; what cannot be recorded is not done.
package control
