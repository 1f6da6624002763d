package emulator

import (
	"encoding/binary"
	"net/http"
	"slices"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// The one physical partition that every container has: its id and the ends of the hash space.
const (
	onlyRange = "0"
	lowestEPK = ""
	topEPK    = "FF"
)

// ranges serves /dbs/{db}/colls/{container}/pkranges. The list never changes, so its entity tag
// doesn't either.
func (x *exchange) ranges() (*response, error) {
	if x.request.Method != http.MethodGet {
		return nil, methodNotAllowed()
	}
	if err := x.require(actionReadMetadata); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.container(&x.address)
	if !ok {
		return nil, notFound()
	}
	const etag = `"1"`
	if x.request.Header.Get("If-None-Match") == etag {
		answer := newResponse(http.StatusNotModified, nil).charged(1)
		answer.header.Set("Etag", etag)
		return answer, nil
	}
	const rangeType = 0x50 << 56
	rid := binary.LittleEndian.AppendUint64(slices.Clone(found.rid), rangeType|2)
	created := found.properties.Get("_ts")
	only := object(
		member("_rid", text(encodeRID(rid))),
		member("id", text(onlyRange)),
		member("_etag", found.properties.Get("_etag")),
		member("minInclusive", text(lowestEPK)),
		member("maxExclusive", text(topEPK)),
		member("ridPrefix", number(0)),
		member("_self", text(found.self()+"pkranges/"+encodeRID(rid)+"/")),
		member("throughputFraction", number(1)),
		member("status", text("online")),
		member("parents", document.ArrayValue(nil)),
		member("ownedArchivalPKRangeIds", document.ArrayValue(nil)),
		member("_ts", created),
		member("lsn", number(found.lsn)),
	)
	answer := feed(encodeRID(found.rid), "PartitionKeyRanges", []document.Value{only}).charged(1)
	answer.header.Set("Etag", etag)
	answer.header.Set(headerSession, sessionToken(max(found.lsn, 1)))
	return answer, nil
}

// conflicts serves the conflicts of a container. With one write region there are none.
func (x *exchange) conflicts() (*response, error) {
	if err := x.require(actionConflicts); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.container(&x.address)
	if !ok || !x.address.feed {
		return nil, notFound()
	}
	return feed(encodeRID(found.rid), "Conflicts", nil).charged(1), nil
}
