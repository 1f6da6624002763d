package main

import (
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

// standing reports whether a caller whose request is being answered has kept the directory's word: active, neither they nor
// anybody who acts for them suspended, and what they came with not revoked.
func (g *gate) standing(p *identity.Principal) bool {
	if g.revoked.Check(p) != nil {
		return false
	}
	for _, actor := range p.Actors {
		if g.locked(directory.SubjectAgent, actor.Agent) {
			return false
		}
	}
	// Of a token, KeyID is the key that signed it; only of a virtual key is it the credential itself.
	if p.Method == identity.MethodVirtualKey && (g.locked(directory.SubjectKey, p.KeyID) || g.keys.Ended(p.KeyID)) {
		return false
	}
	switch p.Kind {
	case identity.KindPerson:
		user, known := g.directory.User(p.User.Connection, p.Record)
		return known && user.Active && !g.locked(directory.SubjectUser, string(p.Record))
	case identity.KindAgent:
		return !g.locked(directory.SubjectAgent, p.Application)
	default:
		return !g.locked(directory.SubjectApplication, p.Application)
	}
}

func (g *gate) locked(kind directory.SubjectKind, name string) bool {
	_, locked := g.directory.Locked(directory.Subject{Kind: kind, Name: name})
	return locked
}
