package cosmos

import "strings"

// appendTo writes the canonical escaped path.
func (a *address) appendTo(path []byte) []byte {
	if a.resource == resAccount {
		return append(path, '/')
	}

	if a.resource == resOffers || a.resource == resAddresses {
		return append(append(path, '/'), a.keyword...)
	}

	path = append(path, "/"+keyDatabases...)
	if a.resource == resDatabases {
		return path
	}

	path = appendEscaped(append(path, '/'), a.database)

	if a.resource == resContainers || a.container != "" {
		path = append(path, "/"+keyContainers...)
	}

	if a.container != "" {
		path = appendEscaped(append(path, '/'), a.container)
	}

	if a.keyword != "" {
		path = append(append(path, '/'), a.keyword...)
	}

	if a.id != "" {
		path = appendEscaped(append(path, '/'), a.id)
	}

	return path
}

// link is the unescaped path of the resource itself, or of the parent of a feed, without a leading slash.
func (a *address) link() string {
	var link strings.Builder

	link.Grow(len(a.database) + len(a.container) + len(a.id) + len("dbs//colls//docs/"))

	if a.database != "" {
		link.WriteString(keyDatabases + "/")
		link.WriteString(a.database)
	}

	if a.container != "" {
		link.WriteString("/" + keyContainers + "/")
		link.WriteString(a.container)
	}

	if a.id != "" {
		link.WriteByte('/')
		link.WriteString(a.keyword)
		link.WriteByte('/')
		link.WriteString(a.id)
	}

	return link.String()
}

// signing returns the resource type and the link that a master key signs. A RID-addressed request signs the RID of its
// leaf alone, in lower case.
func (a *address) signing() (resourceType, link string) {
	link = a.link()
	if a.rids {
		link = strings.ToLower(a.leafRID())
	}

	switch a.resource {
	case resAccount, resUnknown, resTelemetry, resAddresses:
		return "", ""
	case resDatabases, resDatabase:
		return keyDatabases, link
	case resContainers, resContainer:
		return keyContainers, link
	case resItems, resItem, resRanges, resScripts, resStoredProcedure, resConflicts, resConflict, resUsers, resEncryptionKeys,
		resEncryptionKey, resMaintenance, resOffers:
		return a.keyword, link
	default:
		return "", ""
	}
}

func (a *address) leafRID() string {
	switch {
	case a.id != "":
		return a.id
	case a.container != "":
		return a.container
	default:
		return a.database
	}
}
