package policy_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

func TestAgentsActOnlyForThoseWhomAGrantNames(t *testing.T) {
	t.Parallel()
	const text = `
{kind: Role, name: reader, identity: reader, rules: [{dataActions: [items/read], resources: ["*/*/*"]}]}
---
{kind: Agent, name: scout, match: {issuer: corp, claims: {client_id: scout}}}
---
{kind: Agent, name: robot, match: {issuer: corp, claims: {client_id: robot}}}
---
{kind: AgentGrant, name: for-readers, subjects: [{agent: scout}], role: reader, onBehalfOf: {groups: [readers], users: [u-olga]}}
---
{kind: AgentGrant, name: for-itself, subjects: [{agent: robot}], role: reader, onBehalfOf: none}
---
{kind: AgentGrant, name: for-a-while, subjects: [{agent: robot}], role: reader, onBehalfOf: {users: [u-ann]}, expires: 2026-12-01T00:00:00Z}
`
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load([]string{file}, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	ann := policy.Principal{ID: "u-ann", Kind: policy.KindPerson, Groups: []policy.Group{{ID: "g-1", ExternalID: "readers"}}}
	olga := policy.Principal{ID: "u-olga", Kind: policy.KindPerson}
	bob := policy.Principal{ID: "u-bob", Kind: policy.KindPerson}
	for _, row := range []struct {
		name   string
		agent  string
		person *policy.Principal
		now    time.Time
		want   bool
	}{
		{"a member of the group", "scout", &ann, now, true},
		{"somebody named", "scout", &olga, now, true},
		{"somebody else", "scout", &bob, now, false},
		{"itself, granted for people", "scout", nil, now, false},
		{"itself", "robot", nil, now, true},
		{"somebody, granted for itself", "robot", &bob, now, false},
		{"until the grant expires", "robot", &ann, now, true},
		{"after it expired", "robot", &ann, now.AddDate(0, 1, 0), false},
		{"an agent that nobody declared", "stranger", &ann, now, false},
	} {
		if got := set.MayActFor(row.agent, row.person, row.now); got != row.want {
			t.Errorf("%s: %t", row.name, got)
		}
	}
	var none *policy.Set
	if none.MayActFor("scout", &ann, now) {
		t.Error("no policy lets an agent act")
	}
}
