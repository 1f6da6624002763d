package scim

// ShowAtMost lowers how many members an answer of a connection may hold.
func (s *Server) ShowAtMost(connection string, members int) {
	s.connections[connection].account.mostShown = members
}
