package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

func TestWhoseTokenIsRevokedMeanwhileDoesNotStand(t *testing.T) {
	t.Parallel()
	d, err := directory.Open(directory.Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &gate{directory: d}
	if g.revoked, err = identity.NewRevocations(identity.RevocationConfig{Entries: d, Clock: time.Now}); err != nil {
		t.Fatal(err)
	}
	who := identity.Principal{
		Kind: identity.KindApplication, Issuer: "https://login.example.com", Subject: "checkout", Application: "checkout", TokenID: "t1",
		KeyID: "signing-key-1", Method: identity.MethodWorkload, // no virtual key, of which this gate has none
		IssuedAt: time.Now(), Expiry: time.Now().Add(time.Minute),
	}
	if !g.standing(&who) {
		t.Fatal("a caller whom nothing was taken from does not stand")
	}
	err = g.revoked.Revoke(t.Context(), identity.Revocation{Kind: identity.RevokeToken, Issuer: who.Issuer, Name: who.TokenID})
	if err != nil {
		t.Fatal(err)
	}
	if g.standing(&who) {
		t.Error("the token was revoked, and its caller stands")
	}
}
