package scim

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
