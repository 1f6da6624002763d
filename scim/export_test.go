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
