package scim

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Status is what an administrator sees of one connection.
type Status struct {
	Connection string `json:"connection"`
	// LastContact is the last request with a valid token, LastWrite the last
	// that changed something; zero for never since the start.
	LastContact time.Time `json:"lastContact"`
	LastWrite   time.Time `json:"lastWrite"`
	// Client is the provider's User-Agent, shortened.
	Client string `json:"client,omitempty"`
	// Failures are the most recent refusals, oldest first.
	Failures []Failure `json:"failures,omitempty"`
	// Counts are the records that the connection owns.
	Counts directory.Counts `json:"counts"`
	// ForeignLinks is the number of linked users whose externalId doesn't look
	// like the provider's immutable id: under Entra, anything but a GUID means
	// that the default mapping was not changed to objectId.
	ForeignLinks int `json:"foreignLinks"`
}

// Failure is one refused request, without its body.
type Failure struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Status int       `json:"status"`
	Kind   Kind      `json:"scimType,omitempty"`
	Detail string    `json:"detail"`
}

// maxFailures is how many refusals are remembered.
const maxFailures = 20

// contact remembers when and how a provider came by.
type contact struct {
	mu          sync.Mutex
	last, write time.Time
	client      string
	failures    []Failure
}

func (c *contact) seen(now time.Time, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.client = now, clip(r.UserAgent())
}

func (c *contact) wrote(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = now
}

// times returns the last contact and the last write.
func (c *contact) times() (time.Time, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.write
}

func (c *contact) failed(now time.Time, method, path string, e *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) >= maxFailures {
		c.failures = append(c.failures[:0], c.failures[1:]...)
	}
	c.failures = append(c.failures, Failure{
		Time: now, Method: knownMethod(method), Path: strings.ToValidUTF8(clip(path), "?"),
		Status: e.Status, Kind: e.Kind, Detail: e.Detail,
	})
}

// Status reports on every connection, in the order of the configuration.
func (s *Server) Status() []Status {
	all := make([]Status, 0, len(s.config.Connections))
	for _, configured := range s.config.Connections {
		c := s.connections[configured.Name]
		status := Status{Connection: c.Name, Counts: c.directory.Counts(c.Name)}
		if c.Dialect == "entra" {
			for u := range c.directory.Users(c.Name, "") {
				if u.ExternalID != "" && !guid(u.ExternalID) {
					status.ForeignLinks++
				}
			}
		}
		c.contact.mu.Lock()
		status.LastContact, status.LastWrite, status.Client = c.contact.last, c.contact.write, c.contact.client
		status.Failures = append(status.Failures, c.contact.failures...)
		c.contact.mu.Unlock()
		all = append(all, status)
	}
	return all
}

// guid reports whether s has the shape of an Entra objectId.
func guid(s string) bool {
	const length = 36
	if len(s) != length {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(s[i])) {
				return false
			}
		}
	}
	return true
}
