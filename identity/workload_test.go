package identity_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/identity"
)

func TestDeclarationsThatAreTooWideAreRefused(t *testing.T) {
	t.Parallel()

	type claimed = map[string]string

	pinned := claimed{"repository_owner_id": "1", "repository_id": "2"}
	with := func(name, value string) claimed {
		changed := claimed{name: value}
		maps.Copy(changed, pinned)

		return changed
	}

	for _, row := range []struct {
		name   string
		issuer string
		claims claimed
		want   string // part of the fault; empty: accepted
	}{
		{"GitHub by environment", "github", with("environment", "production"), ""},
		{"GitHub by branches", "github", with("ref", "refs/heads/release/*"), ""},
		{"GitHub by workflow", "github", with("job_workflow_ref", "corp/ci/.github/workflows/x.yml@refs/heads/main"), ""},
		{"GitHub without a run", "github", pinned, "a workflow is known by"},
		{"GitHub without an owner", "github", claimed{"repository_id": "2", "ref": "x"}, "a workflow is known by"},
		{"GitHub by name", "github", claimed{"repository": "corp/shop", "ref": "refs/heads/main"}, "a workflow is known by"},
		{"any repository", "github", claimed{"repository_owner_id": "1", "repository_id": "*", "ref": "x"}, "for nothing else"},
		{"part of a segment", "github", with("ref", "refs/heads/rel*"), "for nothing else"},
		{"any workflow", "github", with("job_workflow_ref", "corp/ci/.github/workflows/x.yml@*"), "for nothing else"},
		{"SPIFFE by its tail", "spiffe", claimed{"sub": "spiffe://corp.example/batch/*"}, ""},
		{"any namespace", "spiffe", claimed{"sub": "spiffe://corp.example/ns/*/sa/x"}, "for nothing else"},
		{"any trust domain", "spiffe", claimed{"sub": "spiffe://*/batch"}, "for nothing else"},
		{"a whole trust domain", "spiffe", claimed{"aud": "gate"}, "exact sub"},
		{"any tenant", "entra-v2", claimed{"tid": "*", "azp": "x"}, "for nothing else"},
		{"any service account", "cluster-a", claimed{"sub": "system:serviceaccount:*:x"}, "for nothing else"},
		{"Entra by secret or certificate", "entra-v2", claimed{"azp": "x", "azpacr": ">=1"}, ""},
		{"Entra v1 by certificate", "entra-v1", claimed{"appid": "x", "appidacr": ">=2"}, ""},
		{"any client authentication", "entra-v2", claimed{"azp": "x", "azpacr": ">=0"}, "as >=1 or >=2"},
		{"a minimum that is no level", "entra-v2", claimed{"azp": "x", "azpacr": ">=12"}, "as >=1 or >=2"},
		{"a minimum of what has no order", "entra-v2", claimed{"azp": ">=1"}, "for nothing else"},
		{"keys only", "", nil, ""},
	} {
		err := identity.CheckApplications(foreignIssuers(), []identity.Application{{Name: "a", Issuer: row.issuer, Claims: row.claims}})
		if (err == nil) != (row.want == "") || (err != nil && !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.want)
		}
	}
}

func TestAWildcardThatCoversAnotherApplicationIsRefused(t *testing.T) {
	t.Parallel()

	wide := identity.Application{Name: "wide", Issuer: "spiffe", Claims: map[string]string{"sub": "spiffe://corp.example/batch/*"}}
	narrow := identity.Application{Name: "narrow", Issuer: "spiffe", Claims: map[string]string{"sub": "spiffe://corp.example/batch/nightly"}}
	elsewhere := identity.Application{Name: "else", Issuer: "spiffe", Claims: map[string]string{"sub": "spiffe://corp.example/jobs/nightly"}}

	err := identity.CheckApplications(foreignIssuers(), []identity.Application{wide, narrow, elsewhere})
	if err == nil || !strings.Contains(err.Error(), "application wide: matches every token of another: narrow") || strings.Contains(err.Error(), "else") {
		t.Errorf("got %v", err)
	}
}

func TestAMinimumThatCoversAnotherApplicationIsRefused(t *testing.T) {
	t.Parallel()

	declare := func(name, azp, level string) identity.Application {
		return identity.Application{Name: name, Issuer: "entra-v2", Claims: map[string]string{"azp": azp, "azpacr": level}}
	}

	err := identity.CheckApplications(foreignIssuers(), []identity.Application{
		declare("any", "x", ">=1"), declare("strict", "x", "2"), declare("strictest", "x", ">=2"), declare("else", "y", "2"),
	})
	for _, want := range []string{
		"application any: matches every token of another: strict\n", "application any: matches every token of another: strictest",
		"application strictest: matches every token of another: strict",
	} {
		if err == nil || !strings.Contains(err.Error()+"\n", want) {
			t.Errorf("%v, want %s", err, want)
		}
	}

	if strings.Contains(err.Error(), "else") || strings.Contains(err.Error(), "application strict:") {
		t.Errorf("too much: %v", err)
	}
}

func TestKeysMayComeFromAFile(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	w.config.Issuers[0].KeysFile = path

	document := `{"keys":[` + marshalKey(t, w.signer) + `]}`
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}

	w.running(t)

	if _, err := w.authenticate(t, w.signer.sign(t, nil, w.person())); err != nil {
		t.Error(err)
	}

	if w.provider.keyFetches() > 0 {
		t.Error("keys were fetched, too")
	}
}

func marshalKey(tb testing.TB, s signer) string {
	tb.Helper()

	text, err := s.public().MarshalJSON()
	if err != nil {
		tb.Fatal(err)
	}

	return string(text)
}
