package directory

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// sector is the unit that a disk writes whole.
const sector = 512

// TestEveryPowerLossImageHoldsWhatWasAcknowledged cuts the power during commits
// and folds of the embedded log: any part of the changed sectors under the old
// meta pages, or all of them under torn new ones. Every image must open and
// hold everything that was acknowledged before; the commit under way may be
// there or not, but not in part. That data is synced before the meta page is
// bbolt's promise; a test can't cut the power of a real disk.
func TestEveryPowerLossImageHoldsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	meta := 2 * os.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2))
	acknowledged, version := map[string]uint64{}, uint64(0)
	for step := range 24 {
		before := readFile(t, path)
		next := maps.Clone(acknowledged)
		if step%4 == 3 {
			if _, err := l.Fold(3); err != nil {
				t.Fatal(err)
			}
		} else {
			batch := make([]Delta, 0, 6)
			for range 1 + random.IntN(6) {
				version++
				d := Delta{
					Version: version, Time: time.Unix(1, 0), Kind: KindPutUser, Connection: "c", Revision: version,
					Subject: fmt.Sprintf("019aa000-0000-7000-8000-%012d", random.IntN(9)),
					Payload: bytes.Repeat([]byte{byte(version)}, 100+random.IntN(900)),
				}
				if random.IntN(2) == 0 { // up to 300 memberships, so that chunks are split and joined
					d.Kind, d.Payload = []Kind{KindAddMembers, KindAddMembers, KindRemoveMembers}[random.IntN(3)], nil
					for range 1 + random.IntN(300) {
						d.Payload = append(d.Payload, bytes.Repeat([]byte{byte(random.IntN(256))}, idSize)...)
					}
				}
				note(next, d)
				batch = append(batch, d)
			}
			if err := l.Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		after := readFile(t, path)
		for cut := range 6 {
			image := bytes.Clone(before)
			image = append(image, make([]byte, max(0, len(after)-len(before)))...)
			torn := cut >= 4
			for at := 0; at+sector <= len(after); at += sector {
				written := random.IntN(4) <= cut // of the data: a quarter, a half, three quarters, all
				if torn {
					written = at >= meta || random.IntN(2) == 0
				} else if at < meta {
					written = false
				}
				if written {
					copy(image[at:at+sector], after[at:at+sector])
				}
			}
			got := bootImage(t, image)
			if !maps.Equal(got, acknowledged) && (!torn || !maps.Equal(got, next)) {
				t.Fatalf("step %d, cut %d: holds %v, acknowledged %v, under way %v", step, cut, got, acknowledged, next)
			}
		}
		acknowledged = next
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// bootImage opens a disk image and returns what it holds.
func bootImage(t *testing.T, image []byte) map[string]uint64 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got := map[string]uint64{}
	if _, err := l.Tail(t.Context(), 0, func(d Delta) error {
		note(got, d)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// note writes down what a delta leads to: the revisions of users, and
// memberships.
func note(held map[string]uint64, d Delta) {
	switch d.Kind {
	case KindPutUser:
		held[d.Subject] = d.Revision
	case KindAddMembers, KindRemoveMembers:
		for member := range slices.Chunk(d.Payload, idSize) {
			if key := d.Subject + string(member); d.Kind == KindAddMembers {
				held[key] = 1
			} else {
				delete(held, key)
			}
		}
	}
}
