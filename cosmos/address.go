package cosmos

import "strings"

// resource is what a path addresses, by position of its keywords. The zero value is no known resource.
type resource uint8

const (
	resUnknown resource = iota
	resAccount
	resDatabases
	resDatabase
	resContainers
	resContainer
	resItems
	resItem
	resRanges
	resScripts
	resStoredProcedure
	resConflicts
	resConflict
	resUsers
	resEncryptionKeys
	resEncryptionKey
	resMaintenance
	resOffers
	resAddresses
	resTelemetry
)

// address is a parsed path. Either every part of it is a name, or every part is a RID and each contains the next.
type address struct {
	resource resource
	// keyword is the canonical keyword of a child of a container ("docs"), and of the users and keys of a database.
	keyword string
	// database, container and id are once-decoded names; RIDs in canonical text where rids is true.
	database, container, id string
	rids                    bool
	databaseRID             RID
	containerRID            RID
}

// maxSegments is the length of the longest known path, /dbs/{db}/colls/{coll}/docs/{id}.
const maxSegments = 6

// Keywords, in the spelling that is sent.
const (
	keyDatabases      = "dbs"
	keyContainers     = "colls"
	keyItems          = "docs"
	keyRanges         = "pkranges"
	keyProcedures     = "sprocs"
	keyTriggers       = "triggers"
	keyFunctions      = "udfs"
	keyConflicts      = "conflicts"
	keyUsers          = "users"
	keyEncryptionKeys = "clientencryptionkeys"
	keyOperations     = "operations"
	keyOffers         = "offers"
	keyAddresses      = "addresses"
	keyClientConfigs  = "clientconfigs"
	keyProbe          = "connectivity-probe"
)

// parse reads an escaped path. Empty segments are dropped: Python sends //dbs/… and trailing slashes.
func (a *address) parse(escaped string) *Error {
	var segments [maxSegments]string

	n := 0

	for escaped != "" {
		var segment string

		segment, escaped, _ = strings.Cut(escaped, "/")
		if segment == "" {
			continue
		}

		if n == maxSegments {
			return errUnknownPath()
		}

		segments[n] = segment
		n++
	}

	return a.parseRoot(segments[:n])
}

func (a *address) parseRoot(segments []string) *Error {
	if len(segments) == 0 {
		a.resource = resAccount

		return nil
	}

	switch keyword(segments[0]) {
	case keyDatabases:
		return a.parseDatabase(segments[1:])
	case keyOffers:
		return a.leaf(resOffers, keyOffers, len(segments) <= len([...]string{keyOffers, "rid"}))
	case keyAddresses:
		return a.leaf(resAddresses, keyAddresses, len(segments) == 1)
	case keyClientConfigs, keyProbe:
		return a.leaf(resTelemetry, "", len(segments) == 1)
	case keyOperations:
		return a.leaf(resMaintenance, keyOperations, true)
	default:
		return errUnknownPath()
	}
}

// leaf ends a path at a resource whose further segments do not matter, because it is never forwarded.
func (a *address) leaf(r resource, key string, known bool) *Error {
	if !known {
		return errUnknownPath()
	}

	a.resource, a.keyword = r, key

	return nil
}

func (a *address) parseDatabase(segments []string) *Error {
	if len(segments) == 0 {
		a.resource = resDatabases

		return nil
	}

	name, err := decodeName(segments[0])
	if err != nil {
		return err
	}

	a.database = name
	if err := a.detectRIDs(name); err != nil {
		return err
	}

	if len(segments) == 1 {
		a.resource = resDatabase

		return nil
	}

	switch keyword(segments[1]) {
	case keyContainers:
		return a.parseContainer(segments[2:])
	case keyUsers:
		return a.leaf(resUsers, keyUsers, true)
	case keyEncryptionKeys:
		return a.parseEncryptionKey(segments[2:])
	default:
		return errUnknownPath()
	}
}

// detectRIDs applies the service's rule: a first segment that decodes to four bytes makes the whole path RID-addressed.
func (a *address) detectRIDs(database string) *Error {
	if !strings.HasSuffix(database, "=") {
		return nil
	}

	// The service's decoder skips white space, so a name that becomes a RID without it reads two ways.
	if strings.ContainsRune(database, ' ') {
		if rid, ok := decodeRID(strings.ReplaceAll(database, " ", "")); ok && rid.Kind() == DatabaseRID {
			return errMixedPath()
		}
	}

	rid, ok := decodeRID(database)
	if !ok {
		return nil
	}

	// Whether the service looks at the length before it takes the path for RID-addressed is not documented.
	if rid.Kind() != DatabaseRID {
		return errMixedPath()
	}

	a.rids, a.databaseRID, a.database = true, rid, rid.String()

	return nil
}

func (a *address) parseEncryptionKey(segments []string) *Error {
	a.keyword = keyEncryptionKeys

	switch {
	case len(segments) == 0:
		a.resource = resEncryptionKeys

		return nil
	case len(segments) > 1:
		return errUnknownPath()
	case a.rids:
		return errMixedPath()
	}

	name, err := decodeName(segments[0])
	a.resource, a.id = resEncryptionKey, name

	return err
}

func (a *address) parseContainer(segments []string) *Error {
	if len(segments) == 0 {
		a.resource = resContainers

		return nil
	}

	name, err := decodeName(segments[0])
	if err != nil {
		return err
	}

	// A container's RID ends in padding: any other name is spared the decoding.
	var rid RID

	isRID := strings.HasSuffix(name, "=")
	if isRID {
		rid, isRID = decodeRID(name)
		isRID = isRID && rid.Kind() == ContainerRID
	}

	if a.rids {
		if !isRID || !a.databaseRID.Contains(rid) {
			return errMixedPath()
		}

		a.containerRID, name = rid, rid.String()
	} else if isRID {
		return errMixedPath()
	}

	a.container = name

	if len(segments) == 1 {
		a.resource = resContainer

		return nil
	}

	return a.parseChild(segments[1], segments[2:])
}

// parseChild reads what follows a container.
func (a *address) parseChild(key string, rest []string) *Error {
	a.keyword = keyword(key)
	isFeed := len(rest) == 0

	if len(rest) > 1 {
		return errUnknownPath()
	}

	switch a.keyword {
	case keyItems:
		if isFeed {
			return a.leaf(resItems, keyItems, true)
		}

		return a.child(resItem, ItemRID, rest[0])
	case keyConflicts:
		if isFeed {
			return a.leaf(resConflicts, keyConflicts, true)
		}

		return a.child(resConflict, ConflictRID, rest[0])
	case keyProcedures:
		if isFeed {
			return a.leaf(resScripts, keyProcedures, true)
		}

		return a.child(resStoredProcedure, StoredProcedureRID, rest[0])
	case keyRanges:
		return a.leaf(resRanges, keyRanges, isFeed)
	case keyTriggers, keyFunctions:
		return a.leaf(resScripts, a.keyword, true)
	case keyOperations:
		return a.leaf(resMaintenance, keyOperations, !isFeed)
	default:
		return errUnknownPath()
	}
}

// child reads the last segment of a path below a container.
func (a *address) child(r resource, kind RIDKind, segment string) *Error {
	decode := decodeName
	if r == resItem {
		decode = decodeItemID
	}

	id, err := decode(segment)
	if err != nil {
		return err
	}

	if a.rids {
		rid, ok := decodeRID(id)
		if !ok || rid.Kind() != kind || !a.containerRID.Contains(rid) {
			return errMixedPath()
		}

		id = rid.String()
	}

	a.resource, a.id = r, id

	return nil
}

// keyword returns the canonical spelling of a segment that is a keyword in any ASCII case, or "".
func keyword(segment string) string {
	switch segment {
	case keyDatabases, keyContainers, keyItems, keyRanges, keyProcedures, keyTriggers, keyFunctions, keyConflicts, keyUsers,
		keyEncryptionKeys, keyOperations, keyOffers, keyAddresses, keyClientConfigs, keyProbe:
		return segment
	}

	lower := lowerASCII(segment)
	if lower == segment {
		return ""
	}

	return keyword(lower)
}

// lowerASCII leaves everything but A to Z alone: Unicode has letters whose lower case is an ASCII one.
func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			lower := []byte(s)
			for j := i; j < len(lower); j++ {
				if 'A' <= lower[j] && lower[j] <= 'Z' {
					lower[j] += 'a' - 'A'
				}
			}

			return string(lower)
		}
	}

	return s
}

func errUnknownPath() *Error { return Malformed("the path is not one of the data plane") }

func errMixedPath() *Error {
	return Malformed("the path mixes names with resource ids, or resource ids that do not contain each other")
}

func errDotSegments() *Error { return Malformed("the path holds dot segments or empty ones") }
