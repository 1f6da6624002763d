package cosmos_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// TestTargetsThatNameTwoHostsAreRefused is about HTTP/2, whose requests name their host in up to three places.
func TestTargetsThatNameTwoHostsAreRefused(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, target string
		header       http.Header
		want         int // status; 0 passes
	}{
		{"a path alone", item, nil, 0},
		{"the absolute form of the same host", "https://gate.example" + item, nil, 0},
		{"the absolute form of another host", "https://other.example" + item, nil, http.StatusBadRequest},
		{"Host agrees with :authority", item, http.Header{"Host": {"GATE.example"}}, 0},
		{"Host differs from :authority", item, http.Header{"Host": {"other.example"}}, http.StatusBadRequest},
		{"two lengths", item, http.Header{"Content-Length": {"0", "5"}}, http.StatusBadRequest},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, row.target, nil)
			if err != nil {
				t.Fatal(err)
			}

			r.Host = "gate.example"
			if row.header != nil {
				r.Header = row.header
			}

			got := 0
			if _, err := cosmos.Sanitize(r); err != nil {
				got = nativeError(t, err).Status
			}

			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("status (-want +got)\n%s", diff)
			}
		})
	}
}

// TestADenialDoesNotTellTheNameBehindARID keeps names from those who may not use what they name.
func TestADenialDoesNotTellTheNameBehindARID(t *testing.T) {
	t.Parallel()

	op := classified(t, sent{method: http.MethodGet, target: "/dbs/" + databaseRID})
	op.Resolve("payroll", "")

	const want = "Request blocked by Auth prod : Request is blocked because principal [ann] does not have required RBAC permissions to " +
		"perform action [Microsoft.DocumentDB/databaseAccounts/readMetadata] on resource [dbs/" + databaseRID + "]."

	got := cosmos.Denied(op, cosmos.Denial{Account: "prod", Principal: "ann"}).Message
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
