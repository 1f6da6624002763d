package proxy_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

func TestTheRecordNamesWhoWasShutOutAndWhatTheyWanted(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{authenticate: func(ctx context.Context, c identity.Credential) (identity.Principal, error) {
		who, err := ann(ctx, c)
		if err != nil {
			return who, err
		}
		who.User = directory.UserView{UserName: "ann@corp.example"}
		return identity.Principal{}, &identity.Error{Substatus: identity.SubstatusRevoked, Reason: "directory record is inactive", Refused: &who}
	}})
	if got := g.get(); got.Status != http.StatusUnauthorized {
		t.Fatalf("status = %d, want 401", got.Status)
	}
	r := g.ledger.next(t)
	want := audit.Record{
		Principal: audit.Principal{Kind: "person", Issuer: "https://idp.example", Subject: "ann", Record: "0199-ann", UserName: "ann@corp.example"},
		Database:  "shop", Container: "orders", Decision: audit.Deny, Substatus: identity.SubstatusRevoked,
	}
	got := audit.Record{Principal: r.Principal, Database: r.Database, Container: r.Container, Decision: r.Decision, Substatus: r.Substatus}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if requests := g.service.seen(); len(requests) != 0 {
		t.Errorf("upstream received %d requests, want none", len(requests))
	}
}
