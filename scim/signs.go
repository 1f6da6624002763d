package scim

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// ContactEntries is the class of the directory's entries that say when
// providers were last heard of.
const ContactEntries = "scim.contact"

const (
	// tellEvery is how much later a contact must be than the one that the
	// directory holds to be kept there too; less if silence is an alarm sooner.
	tellEvery = 5 * time.Minute
	tellParts = 8
)

// signs are a provider's signs of life that outlive this process, and are seen
// by every gate of the directory: a provider that reaches another gate is not
// silent, and what it wrote there is to be surveyed here.
type signs struct {
	Last  time.Time `json:"last"`
	Write time.Time `json:"write,omitzero"`
}

// signs returns what the directory holds, and its revision for the next.
func (c *connection) signs() (signs, uint64) {
	var s signs
	e, found := c.directory.Entry(ContactEntries, c.Name)
	if !found || json.Unmarshal(e.Value, &s) != nil {
		return signs{}, directory.CreateOnly
	}
	return s, e.Revision
}

// times returns the last contact and the last write, with any gate.
func (c *connection) times() (last, write time.Time) {
	known, _ := c.signs()
	last, write = c.contact.times()
	return latest(last, known.Last), latest(write, known.Write)
}

// tell keeps in the directory that the provider was here. Another gate that
// tells at the same moment has told enough.
func (c *connection) tell(ctx context.Context) {
	known, revision := c.signs()
	last, write := c.contact.times()
	if last.Sub(known.Last) < min(tellEvery, c.silentAfter()/tellParts) && !write.After(known.Write) {
		return
	}
	value, err := json.Marshal(signs{Last: latest(last, known.Last), Write: latest(write, known.Write)})
	if err != nil {
		return
	}
	// A directory that takes no writes says so itself.
	_, _ = c.directory.PutEntry(ctx, directory.Entry{Class: ContactEntries, Name: c.Name, Value: value}, revision)
}
