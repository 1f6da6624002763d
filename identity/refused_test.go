package identity_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

func TestARefusalOfAGenuineTokenSaysWhoseItWas(t *testing.T) {
	t.Parallel()

	type named struct {
		Subject, Record, Application string
	}

	for name, row := range map[string]struct {
		change func(*world)
		token  func(*world) object
		want   named
	}{
		"a person whom the directory does not know": {
			change: func(w *world) { w.people.remove(annKey()) },
			token:  (*world).person,
			want:   named{Subject: annSubject},
		},
		"a deactivated person": {
			change: func(w *world) {
				gone := ann()
				gone.Active = false
				w.people.set(annKey(), gone)
			},
			token: (*world).person,
			want:  named{Subject: annSubject, Record: string(ann().ID)},
		},
		"a locked application": {
			change: func(w *world) {
				w.people.lock(directory.Subject{Kind: directory.SubjectApplication, Name: "checkout"})
			},
			token: (*world).application,
			want:  named{Subject: "checkout", Application: "checkout"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t).start(t)
				row.change(w)

				who, err := w.authenticate(t, w.signer.sign(t, nil, row.token(w)))

				var refusal *identity.Error
				if !asError(err, &refusal) || refusal.Refused == nil {
					t.Fatalf("error = %v, want a refusal that names its owner", err)
				}

				if diff := cmp.Diff(identity.Principal{}.Kind, who.Kind); diff != "" {
					t.Errorf("a refused caller is a principal:\n%s", diff)
				}

				got := named{refusal.Refused.Subject, string(refusal.Refused.Record), refusal.Refused.Application}
				if diff := cmp.Diff(row.want, got); diff != "" {
					t.Errorf("refused (-want +got):\n%s", diff)
				}
			})
		})
	}
}
