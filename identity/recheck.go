package identity

import (
	"slices"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Recheck returns a caller whom [Authenticator.Authenticate] let in as they are known by now, or an *[Error] if something was taken
// away since: the token or what it descends from, the record, the declaration, the key or who answers for it, or by a lock on any of
// them. It is for answers that take long, and never waits.
//
// It looks at no proofs, and at no time but the end of a virtual key: a token that ends by itself meanwhile was good when its request
// came. Nor does it read the token again: a client that a new policy calls by another name keeps, for this one answer, the name that it
// came under. It must not be all that stands between a request and its being carried out.
func (a *Authenticator) Recheck(p *Principal) (Principal, error) {
	if a.revocations != nil {
		if err := a.revocations.Check(p); err != nil {
			return Principal{}, err
		}
	}

	for _, actor := range p.Actors {
		if lock, locked := a.directory.Locked(directory.Subject{Kind: directory.SubjectAgent, Name: actor.Agent}); locked {
			return Principal{}, shutOut(*p, "agent "+actor.Agent+" is locked: "+lock.Message)
		}
	}

	// Of a token, KeyID is the key that signed it; only of a virtual key is it the credential itself.
	if p.Method == MethodVirtualKey {
		return a.recheckKey(p)
	}

	now := *p

	switch p.Kind {
	case KindPerson:
		link := directory.LinkKey{Connection: p.User.Connection, ExternalID: p.Subject}

		err := a.enterPerson(&verdict{link: link, record: p.Record}, &now)

		return now, err // in a statement of its own: what a return reads first, a variable or a call, is not defined
	case KindApplication:
		declared := a.applications()

		i := slices.IndexFunc(declared, func(known Application) bool { return known.Name == p.Application })
		if i < 0 {
			return Principal{}, shutOut(*p, "application is not declared any more")
		}

		now.Attributes = declared[i].Attributes

		err := a.enterClient(&now, directory.SubjectApplication)

		return now, err
	case KindAgent:
		agent, known := a.declared().agent(p.Application)
		if !known {
			return Principal{}, shutOut(*p, "agent is not declared any more")
		}

		now.Attributes = agent.Attributes

		err := a.enterClient(&now, directory.SubjectAgent)

		return now, err
	default:
		return Principal{}, refuse(SubstatusScope, "nobody")
	}
}

func (a *Authenticator) recheckKey(p *Principal) (Principal, error) {
	if a.keys == nil {
		return Principal{}, refuse(SubstatusKeysDisabled, "account keys are not accepted")
	}

	now := *p

	live := a.keys.kept(p.KeyID)
	if live == nil {
		return Principal{}, shutOut(*p, "key was revoked or has ended")
	}

	if err := a.keys.usable(live, &now); err != nil {
		return Principal{}, err
	}

	err := a.unlocked(&now)

	return now, err
}

// kept returns a key that signed a request, unless it was revoked or has ended since. Unlike [Keys.current] it opens no secrets,
// which may take a while.
func (k *Keys) kept(id string) *liveKey {
	ring := k.ring.Load()
	if ring == nil || ring.byID[id] == nil {
		return nil
	}

	live := ring.byID[id]

	e, found := k.cfg.Entries.Entry(classKeys, live.entry)
	if !found {
		return nil
	}

	stored, err := decodeStoredKey(e.Value)
	if err != nil || stored.ID != id {
		return nil
	}

	if key := stored.key(); !key.alive(k.cfg.Clock()) {
		return nil
	}

	return live
}
