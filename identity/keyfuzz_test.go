package identity_test

import (
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/identity"
)

func FuzzSignedRequest(f *testing.F) {
	v := newVault(f)
	_, secret := v.mint(f, identity.Minting{})
	good := signed(f, secret, itemLink, v.clock.read())
	f.Add(good.Signature, good.Verb, good.ResourceType, good.Links[0], good.Date)
	f.Add("", "", "", "", "")
	f.Fuzz(func(t *testing.T, signature, verb, resourceType, link, date string) {
		_, err := v.present(t, identity.SignedRequest{
			Signature: signature, Verb: verb, ResourceType: resourceType, Links: []string{link}, Date: date,
		})
		if err != nil {
			verdictOf(t, err)

			return
		}

		same := signature == good.Signature && strings.EqualFold(verb, good.Verb) && strings.EqualFold(resourceType, good.ResourceType) &&
			link == good.Links[0] && strings.EqualFold(date, good.Date)
		if !same {
			t.Fatalf("accepted %q %q %q %q", verb, resourceType, link, date)
		}
	})
}

// BenchmarkVirtualKey is a request with a key: named by its host, and found among as many as may live without.
func BenchmarkVirtualKey(b *testing.B) {
	for name, byHost := range map[string]bool{"named": true, "tried-64": false} {
		b.Run(name, func(b *testing.B) {
			v := newVault(b, func(c *identity.KeysConfig) { c.ByHost = byHost })
			for i := range 32 {
				v.declared = append(v.declared, identity.Application{Name: "app-" + strings.Repeat("x", i), VirtualKeys: true})
			}

			var (
				key    identity.Key
				secret string
			)

			for i := range identity.MaxTriedKeys {
				key, secret = v.mint(b, identity.Minting{Application: v.declared[3+i/2].Name})
			}

			s := signed(b, secret, itemLink, v.clock.read())
			s.KeyID = key.ID

			b.ReportAllocs()

			for b.Loop() {
				if _, err := v.present(b, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
