package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/control"
)

// The acts of this family.
const (
	actKeyMint   = "key.mint"
	actKeyRotate = "key.rotate"
	actKeyRevoke = "key.revoke"
	actKeys      = "key.ls"
)

// keyOrder asks for a key: a new one, or with ID one in place of another.
type keyOrder struct {
	ID          string        `json:"id,omitempty"`
	Application string        `json:"application,omitempty"`
	Owner       keyOwner      `json:"owner,omitzero"`
	Account     string        `json:"account,omitempty"`
	TTL         time.Duration `json:"ttl,omitempty"`
	Overlap     time.Duration `json:"overlap,omitempty"`
	Networks    []string      `json:"networks,omitempty"`
}

// keyOwner names who answers for a key: exactly one of a person and a group.
type keyOwner struct {
	Person     string `json:"person,omitempty"`
	Group      string `json:"group,omitempty"`
	Connection string `json:"connection,omitempty"`
}

// keyEntry is one key, as commands print it. Connection is there once, when the key is made.
type keyEntry struct {
	ID          string    `json:"id"`
	Application string    `json:"application"`
	Owner       string    `json:"owner"`
	Fingerprint string    `json:"fingerprint"`
	Networks    []string  `json:"networks,omitempty"`
	Created     time.Time `json:"created"`
	By          string    `json:"by,omitempty"`
	Expires     time.Time `json:"expires"`
	LastUsed    time.Time `json:"last_used,omitzero"`
	State       string    `json:"state"`
	// EndsSoon says that the key is live and in the time before its end in which the gate warns.
	EndsSoon bool `json:"ends_soon,omitempty"`
	// Connections are ready connection strings, by account.
	Connections map[string]string `json:"connection_strings,omitempty"`
}

func (g *gate) keyActs(m *control.Mux) {
	control.Handle(m, actKeyMint, g.mintKey)
	control.Handle(m, actKeyRotate, g.rotateKey)
	control.Handle(m, actKeyRevoke, func(ctx context.Context, c *control.Call, id string) (keyEntry, error) {
		c.Target("key %s", id)
		if g.keys == nil {
			return keyEntry{}, errNoKeys()
		}
		key, err := g.keys.Revoke(ctx, id, c.Peer.User())
		if err != nil {
			return keyEntry{}, keyFault(err)
		}
		key.State = identity.KeyRevoked
		return g.keyEntry(&key), nil
	})
	control.Handle(m, actKeys, func(ctx context.Context, _ *control.Call, _ struct{}) ([]keyEntry, error) {
		if g.keys == nil {
			return nil, errNoKeys()
		}
		entries := []keyEntry{}
		for _, key := range g.keys.List(ctx) {
			entries = append(entries, g.keyEntry(&key))
		}
		return entries, nil
	})
}

func (g *gate) mintKey(ctx context.Context, c *control.Call, order keyOrder) (keyEntry, error) {
	if g.keys == nil {
		return keyEntry{}, errNoKeys()
	}
	owner, errOwner := g.keyOwner(order.Owner)
	networks, errNetworks := prefixes(order.Networks)
	if err := errors.Join(errOwner, errNetworks, g.knownAccount(order.Account)); err != nil {
		return keyEntry{}, joined(err)
	}
	c.Target("application %s, owner %s %s", order.Application, owner.Kind, owner.Name)
	key, secret, err := g.keys.Mint(ctx, identity.Minting{
		Application: order.Application, Owner: owner, Life: order.TTL, Networks: networks, By: c.Peer.User(),
	})
	if err != nil {
		return keyEntry{}, keyFault(err)
	}
	c.Target("key %s, application %s, owner %s %s", key.ID, key.Application, owner.Kind, owner.Name)
	return g.newKeyEntry(&key, secret, order.Account), nil
}

func (g *gate) rotateKey(ctx context.Context, c *control.Call, order keyOrder) (keyEntry, error) {
	c.Target("key %s", order.ID)
	if g.keys == nil {
		return keyEntry{}, errNoKeys()
	}
	if err := g.knownAccount(order.Account); err != nil {
		return keyEntry{}, err
	}
	key, secret, err := g.keys.Rotate(ctx, order.ID, order.Overlap, order.TTL, c.Peer.User())
	if err != nil {
		return keyEntry{}, keyFault(err)
	}
	c.Target("key %s in place of %s", key.ID, order.ID)
	return g.newKeyEntry(&key, secret, order.Account), nil
}

// newKeyEntry shows a key that was just made, with its secret in ready connection strings.
func (g *gate) newKeyEntry(key *identity.Key, secret, account string) keyEntry {
	key.State = identity.KeyLive
	e := g.keyEntry(key)
	e.Connections = map[string]string{}
	for i := range g.cfg.Accounts {
		a := &g.cfg.Accounts[i]
		if account != "" && account != a.Name {
			continue
		}
		endpoint := a.PublicURL
		if g.cfg.Keys.ByHost {
			endpoint = strings.Replace(endpoint, "://", "://"+key.ID+".keys.", 1)
		}
		if u, err := url.Parse(endpoint); err == nil && u.Path == "" {
			endpoint += "/"
		}
		e.Connections[a.Name] = "AccountEndpoint=" + endpoint + ";AccountKey=" + secret + ";"
	}
	return e
}

func (g *gate) keyEntry(key *identity.Key) keyEntry {
	e := keyEntry{
		ID: key.ID, Application: key.Application, Owner: key.Owner.Kind + " " + key.Owner.Name, Fingerprint: key.Fingerprint,
		Created: key.Created, By: key.By, Expires: key.Expires, LastUsed: key.LastUsed, State: string(key.State),
	}
	for _, network := range key.Networks {
		e.Networks = append(e.Networks, network.String())
	}
	e.EndsSoon = key.State == identity.KeyLive && time.Until(key.Expires) <= g.cfg.Keys.WarnBefore
	return e
}

// keyOwner finds who answers for a key.
func (g *gate) keyOwner(named keyOwner) (identity.KeyOwner, error) {
	switch {
	case (named.Person == "") == (named.Group == ""):
		return identity.KeyOwner{}, control.Invalid("a key needs one owner", "give --owner PERSON or --owner-group GROUP")
	case named.Person != "":
		u, err := g.findUser(named.Person, named.Connection)
		if err != nil {
			return identity.KeyOwner{}, err
		}
		return identity.KeyOwner{
			Kind: identity.OwnerUser, Connection: u.Connection, ID: u.ID, ExternalID: u.ExternalID, Name: u.UserName,
		}, nil
	default:
		r, err := g.findGroup(named.Group, named.Connection)
		return identity.KeyOwner{Kind: identity.OwnerGroup, Connection: r.Connection, ID: r.ID, Name: r.DisplayName}, err
	}
}

// findGroup finds the one group that a name means: an id, a displayName or an externalId, in one connection or in all.
func (g *gate) findGroup(name, connection string) (directory.GroupRecord, error) {
	var found []directory.GroupRecord
	for i := range g.cfg.Connections {
		c := g.cfg.Connections[i].Name
		if connection != "" && connection != c {
			continue
		}
		byID, ok1 := g.directory.Group(c, directory.ID(name))
		byName, ok2 := g.directory.GroupByName(c, name)
		byExternal, ok3 := g.directory.GroupByExternalID(c, name)
		for n, r := range []directory.GroupRecord{byID, byName, byExternal} {
			if []bool{ok1, ok2, ok3}[n] && !slices.ContainsFunc(found, func(f directory.GroupRecord) bool { return f.ID == r.ID }) {
				found = append(found, r)
			}
		}
	}
	switch len(found) {
	case 0:
		return directory.GroupRecord{}, control.NotFound(fmt.Sprintf("no group has the id, displayName or externalId %q", name),
			"names are compared whole; cosmosgate directory export lists all groups")
	case 1:
		return found[0], nil
	default:
		return directory.GroupRecord{}, control.Conflict(fmt.Sprintf("%q means several groups", name), "give the id of one, or --connection")
	}
}

func (g *gate) knownAccount(name string) error {
	var names []string
	for i := range g.cfg.Accounts {
		names = append(names, g.cfg.Accounts[i].Name)
	}
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return control.NotFound(fmt.Sprintf("there is no account %q", name), "there is "+listed(names))
}

func prefixes(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, errAddress := netip.ParseAddr(text)
			if errAddress != nil {
				return nil, control.Invalid(fmt.Sprintf("%q is no network", text), "write 192.0.2.0/24 or one address")
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		all = append(all, network.Masked())
	}
	return all, nil
}

func errNoKeys() error {
	return control.Conflict("this gate takes no virtual keys", "set keys.enabled and secrets.keys in its configuration: docs/keys.md")
}

// joined makes one answer of several faults.
func joined(err error) error {
	first, ok := errors.AsType[*control.Error](err)
	if !ok {
		return err
	}
	return &control.Error{Status: first.Status, Reason: first.Reason, Message: strings.ReplaceAll(err.Error(), "\n", "; "), Hint: first.Hint}
}

// keyFault tells an operator why there is no key.
func keyFault(err error) error {
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	switch {
	case errors.Is(err, identity.ErrNoKey):
		return control.NotFound(message, "cosmosgate key ls lists the keys")
	case errors.Is(err, identity.ErrKeyDeclared):
		return control.Conflict(message, "declare it in the policy: kind: Application, name: …, virtualKeys: true")
	case errors.Is(err, identity.ErrKeyLimit):
		return control.Conflict(message, "an application has at most two live keys: cosmosgate key ls, cosmosgate key revoke ID")
	case errors.Is(err, identity.ErrKeyDead):
		return control.Conflict(message, "cosmosgate key mint makes another")
	case errors.Is(err, identity.ErrKeyOwner):
		return control.Conflict(message, "")
	case errors.Is(err, identity.ErrKeyLife), errors.Is(err, identity.ErrKeyNetworks):
		return control.Invalid(message, "")
	default:
		return directoryFault(err)
	}
}
