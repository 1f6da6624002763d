package emulator

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// offer is the throughput of a database or container.
type offer struct {
	rid        string
	resource   string
	properties document.Value
}

// defaultThroughput is what a container without any wish gets, in request units a second.
const defaultThroughput = 400

// offerFromHeaders records the throughput a create asks for; wanted says to record the default when
// it asks for none.
func (s *store) offerFromHeaders(header http.Header, rid, self string, wanted bool) error {
	var content document.Value
	manual, autopilot := header.Get(headerOfferThroughput), header.Get(headerOfferAutopilot)
	switch {
	case manual != "" && autopilot != "":
		return badRequest("Manual and autoscale throughput exclude each other.")
	case manual != "":
		throughput, err := strconv.Atoi(manual)
		if err != nil || throughput < defaultThroughput || throughput%100 != 0 {
			return badRequest("The offer throughput must be at least 400 and a multiple of 100.")
		}
		content = object(member("offerThroughput", number(throughput)))
	case autopilot != "":
		settings, err := document.Parse([]byte(autopilot))
		if _, ok := settings.Get("maxThroughput").Number(); err != nil || !ok {
			return badRequest("The autoscale settings are invalid.")
		}
		content = object(member("offerAutopilotSettings", settings))
	case wanted:
		content = object(member("offerThroughput", number(defaultThroughput)))
	default:
		return nil
	}
	s.lastOffer++
	const ridBytes = 3
	added := &offer{rid: encodeRID(binary.BigEndian.AppendUint32(nil, 0x5A000000|s.lastOffer<<8)[:ridBytes]), resource: rid}
	id, _ := decodeRID(added.rid)
	added.properties = s.system(object(
		member("resource", text(self)), member("offerType", text("Invalid")), member("offerResourceId", text(rid)),
		member("offerVersion", text("V2")), member("content", content), member("id", text(added.rid)),
	), id, "offers/"+added.rid+"/")
	s.offers = append(s.offers, added)
	return nil
}

func (s *store) hasOffer(resource string) bool {
	return slices.ContainsFunc(s.offers, func(one *offer) bool { return one.resource == resource })
}

func (s *store) removeOffer(resource string) {
	s.offers = slices.DeleteFunc(s.offers, func(one *offer) bool { return one.resource == resource })
}

// offers serves /offers and /offers/{rid}, to the account key only.
func (x *exchange) offers() (*response, error) {
	if err := x.keyOnly(); err != nil {
		return nil, err
	}
	if x.address.feed {
		return x.offerFeed()
	}
	s := x.emulator.store
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.offers, func(one *offer) bool { return one.rid == x.address.leaf })
	if at < 0 {
		return nil, notFound()
	}
	switch x.request.Method {
	case http.MethodGet:
	case http.MethodPut:
		properties, err := x.parseBody()
		if err != nil {
			return nil, err
		}
		content := properties.Get("content")
		_, manual := content.Get("offerThroughput").Number()
		_, autopilot := content.Get("offerAutopilotSettings").Get("maxThroughput").Number()
		if manual == autopilot {
			return nil, badRequest("The offer's content must have either a throughput or autoscale settings.")
		}
		s.offers[at].properties = s.offers[at].properties.With("content", content).With("_etag", text(s.etag()))
	default:
		return nil, methodNotAllowed()
	}
	answer := described(http.StatusOK, s.offers[at].properties)
	answer.header.Set("X-Ms-Cosmos-Min-Throughput", strconv.Itoa(defaultThroughput))
	return answer, nil
}

func (x *exchange) offerFeed() (*response, error) {
	s := x.emulator.store
	s.mu.RLock()
	values := make([]document.Value, len(s.offers))
	for i, one := range s.offers {
		values[i] = one.properties
	}
	s.mu.RUnlock()
	switch {
	case x.request.Method == http.MethodGet:
		return feed("", "Offers", values).charged(metadataCharge), nil
	case x.request.Method == http.MethodPost && x.isQuery():
		return x.queryValues("", "Offers", values)
	default:
		return nil, methodNotAllowed()
	}
}
