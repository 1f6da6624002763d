package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/cosmosgate/cosmosgate/credential"
)

// explain adds to a refusal what the engineer may do in the container: what the gate tells them about themselves, never a policy.
func (q *query) explain(ctx context.Context, c *credential.Credential, refusal *failure) error {
	who, err := c.WhoAmI(ctx)
	if err != nil {
		return withHint(err)
	}
	if err := notLetIn(who); err != nil {
		return err
	}
	account := q.account
	if account == "" {
		g, err := c.Guide(ctx)
		if err != nil {
			return withHint(err)
		}
		account = accountAt(g, c.Endpoint())
	}
	here := reachable(who.Access, account, q.database, q.container)
	var note strings.Builder
	if len(here) == 0 {
		refusal.note = fmt.Sprintf("no role of yours gives you anything in %s/%s\n", q.database, q.container)
		refusal.hint = "run cosmosgate whoami to see what you may reach"
		return refusal
	}
	fmt.Fprintf(&note, "what you may do in %s/%s:\n", q.database, q.container)
	if err := accessTable(here).write(&note); err != nil {
		return err
	}
	refusal.note, refusal.hint = note.String(), q.way(here)
	return refusal
}

// whyNot asks the gate why it takes somebody for nobody: the data plane tells callers no more than that they are refused. Somebody whom
// the directory does not let in gets that as the failure; any other is what it was.
func whyNot(ctx context.Context, c *credential.Credential, refusal *failure) error {
	who, err := c.WhoAmI(ctx)
	if err != nil {
		return refusal
	}
	if err := notLetIn(who); err != nil {
		return err
	}
	return refusal
}

// way is what the engineer can change about the command.
func (q *query) way(here []credential.Reach) string {
	for i := range here {
		r := &here[i]
		if len(r.PartitionKey) == 0 {
			continue
		}
		if len(q.keys) > 0 {
			return "your role " + plainCell(r.Role) + " is confined to the partition key " + keyCell(r.PartitionKey)
		}
		flags := make([]string, len(r.PartitionKey))
		for level, value := range r.PartitionKey {
			flags[level] = "--pk " + keyFlag(string(value))
		}
		return "name the partition key: " + strings.Join(flags, " ")
	}
	return "ask an administrator of the gate for the action that is missing"
}

// keyFlag is a value as it is typed after --pk: text without quotes, unless it would be taken for something else then.
func keyFlag(value string) string {
	text, ok := literal(value).(string)
	if !ok {
		return value
	}
	if _, same := literal(text).(string); !same || strings.ContainsAny(text, " '\"$`\\") || text == "" {
		return "'" + value + "'"
	}
	return plainCell(text)
}

// accountAt is the name of the account at an endpoint; * if it is not published under it.
func accountAt(g *credential.Guide, endpoint string) string {
	for i := range g.Accounts {
		if u, err := credential.GateURL(g.Accounts[i].Endpoint); err == nil && u.String() == endpoint {
			return g.Accounts[i].Name
		}
	}
	return "*"
}

// reachable is the access that holds in one container. The most exact entries win: a * stands for what nothing else names.
func reachable(access []credential.Reach, account, database, container string) []credential.Reach {
	best := -1
	var found []credential.Reach
	for i := range access {
		r := &access[i]
		exact, ok := 0, true
		for _, pair := range [][2]string{{r.Account, account}, {r.Database, database}, {r.Container, container}} {
			switch {
			case pair[0] == pair[1]:
				exact++
			case pair[0] != "*" && pair[1] != "*":
				ok = false
			}
		}
		if !ok || exact < best {
			continue
		}
		if exact > best {
			best, found = exact, nil
		}
		found = append(found, *r)
	}
	return found
}
