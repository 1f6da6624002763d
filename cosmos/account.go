package cosmos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Publication is how an account appears to callers. Every field is required.
type Publication struct {
	// ID is the alias of the account.
	ID string
	// Endpoint is the base URL for the name that the request arrived on, from configuration: scheme and host only.
	Endpoint string
	// Region is the name of the one published location.
	Region string
	// UpstreamHost is the upstream's host[:port]; it must not occur in the document, nor may any host of the upstream's
	// own locations.
	UpstreamHost string
}

// ErrUnpublishable is wrapped by every error of [AccountDocument].
var ErrUnpublishable = errors.New("account document cannot be published")

// accountDocument is what callers see: no other field exists for them. Thin client locations in particular would send
// .NET, Java and Rust past the gate.
type accountDocument struct {
	Self        string            `json:"_self"`
	ID          string            `json:"id"`
	RID         string            `json:"_rid"`
	Media       string            `json:"media"`
	Addresses   string            `json:"addresses"`
	Databases   string            `json:"_dbs"`
	Writable    []accountLocation `json:"writableLocations"`
	Readable    []accountLocation `json:"readableLocations"`
	MultiWrite  bool              `json:"enableMultipleWriteLocations"`
	PerRange    bool              `json:"enablePerPartitionFailoverBehavior"`
	Replication replication       `json:"userReplicationPolicy"`
	Consistency consistency       `json:"userConsistencyPolicy"`
	System      systemReplication `json:"systemReplicationPolicy"`
	Read        readPolicy        `json:"readPolicy"`
	// QueryEngine is a JSON document inside a JSON string.
	QueryEngine      string `json:"queryEngineConfiguration"`
	ContinuousBackup bool   `json:"continuousBackupEnabled"`
}

type accountLocation struct {
	Name     string `json:"name"`
	Endpoint string `json:"databaseAccountEndpoint"`
}

type replication struct {
	Async bool `json:"asyncReplication"`
	Min   int  `json:"minReplicaSetSize"`
	Max   int  `json:"maxReplicasetSize"`
}

type systemReplication struct {
	Min int `json:"minReplicaSetSize"`
	Max int `json:"maxReplicasetSize"`
}

type consistency struct {
	Level     string `json:"defaultConsistencyLevel"`
	Staleness int    `json:"maxStalenessPrefix,omitempty"`
	Interval  int    `json:"maxIntervalInSeconds,omitempty"`
}

type readPolicy struct {
	Primary   int `json:"primaryReadCoefficient"`
	Secondary int `json:"secondaryReadCoefficient"`
}

// AccountDocument builds the answer to GET / from the allow-listed fields of the upstream's, with the published endpoint
// as its only location: SDKs send everything, credentials included, to the locations they find there.
func AccountDocument(upstream []byte, p Publication) ([]byte, error) {
	endpoint, err := p.endpoint()
	if err != nil {
		return nil, err
	}

	var document accountDocument
	if err := json.Unmarshal(upstream, &document); err != nil {
		return nil, fmt.Errorf("%w: reading the upstream's: %w", ErrUnpublishable, err)
	}

	if document.Consistency.Level == "" {
		return nil, fmt.Errorf("%w: the upstream's names no default consistency level", ErrUnpublishable)
	}

	if !json.Valid([]byte(document.QueryEngine)) {
		document.QueryEngine = "{}"
	}

	hidden := document.hosts(p.UpstreamHost)
	location := []accountLocation{{Name: p.Region, Endpoint: endpoint.String()}}

	document.Self, document.ID, document.RID = "", p.ID, p.ID
	document.Media, document.Addresses, document.Databases = "//media/", "//addresses/", "//dbs/"
	document.Writable, document.Readable = location, location
	document.MultiWrite, document.PerRange = false, false

	published, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("%w: writing it: %w", ErrUnpublishable, err)
	}

	for _, host := range hidden {
		if host != strings.ToLower(endpoint.Host) && strings.Contains(strings.ToLower(string(published)), host) {
			return nil, fmt.Errorf("%w: it would name the upstream host", ErrUnpublishable)
		}
	}

	return published, nil
}

// endpoint checks the publication. A path would be lost: Go keeps only the host of a location.
func (p Publication) endpoint() (*url.URL, error) {
	if p.ID == "" || p.Region == "" || p.UpstreamHost == "" {
		return nil, fmt.Errorf("%w: id, region and upstream host are required", ErrUnpublishable)
	}

	u, err := url.Parse(p.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("%w: parsing the endpoint: %w", ErrUnpublishable, err)
	}

	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: the endpoint is not a URL of scheme and host only", ErrUnpublishable)
	}

	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, nil
}

// hosts are the names that the upstream goes by, in lower case, without a default port.
func (d *accountDocument) hosts(upstream string) []string {
	hosts := []string{strings.TrimSuffix(strings.ToLower(upstream), ":443")}

	for _, locations := range [][]accountLocation{d.Writable, d.Readable} {
		for _, location := range locations {
			if u, err := url.Parse(location.Endpoint); err == nil && u.Host != "" {
				hosts = append(hosts, strings.TrimSuffix(strings.ToLower(u.Host), ":443"))
			}
		}
	}

	return hosts
}
