package scim

import "context"

// ShowAtMost lowers how many members an answer of a connection may hold.
func (s *Server) ShowAtMost(connection string, members int) {
	s.connections[connection].account.mostShown = members
}

// AnswerAtMost lowers how many bytes of documents an answer of a connection may
// hold.
func (s *Server) AnswerAtMost(connection string, bytes int) {
	s.connections[connection].account.mostBytes = bytes
}

// RoomFor lowers the memory in bytes that large requests of a connection may
// take.
func (s *Server) RoomFor(connection string, bytes int64) {
	s.connections[connection].account.room.left = bytes
}

// HoldDear takes the one place for dear requests of a connection until it is
// given back.
func (s *Server) HoldDear(connection string) (giveBack func()) {
	dear := s.connections[connection].account.dear
	dear <- struct{}{}
	return func() { <-dear }
}

// Refresh reads what policy may know of a connection's people anew, as
// [Server.Run] does at first.
func (s *Server) Refresh(ctx context.Context, connection string) (changed int, err error) {
	return s.connections[connection].refresh(ctx)
}

// Held is what requests of a connection hold of the places, turns and memory: as
// many as are under way, or a leak.
func (s *Server) Held(connection string) (places, dear, turns int, room int64) {
	a := s.connections[connection].account
	a.room.mu.Lock()
	defer a.room.mu.Unlock()
	a.room.of.mu.Lock()
	defer a.room.of.mu.Unlock()
	return len(a.places), len(a.dear), len(a.turns), ownRoom - a.room.left + allRoom - a.room.of.left
}
