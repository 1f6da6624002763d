package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Token is a connection's SCIM bearer token without its secret.
type Token struct {
	// ID names the token in listings and revocations.
	ID         string
	Connection string
	Created    time.Time
	Expires    time.Time
	// LastUsed is when the token was last seen, zero for never: exactly if by this
	// process since its start, otherwise as [Directory.NoteUse] has kept it.
	LastUsed time.Time
}

// tokenRecord is what is stored: the SHA-256 of the secret, which has 256
// random bits, so that a slow hash would protect nothing.
type tokenRecord struct {
	Token

	hash [sha256.Size]byte
	used atomic.Int64 // Unix milliseconds
}

const (
	// maxLiveTokens lets a connection rotate by overlap and no more.
	maxLiveTokens = 2
	secretBytes   = 32
	tokenIDBytes  = 6
)

// CreateToken makes a bearer token for a connection and returns its secret,
// which is shown once and never stored. A connection has at most two live
// tokens; a third is refused with [ErrLimit].
func (d *Directory) CreateToken(ctx context.Context, connection string, life time.Duration) (Token, string, error) {
	if connection == "" || life <= 0 {
		return Token{}, "", fmt.Errorf("creating a token: %w: connection and lifetime are required", errPlan)
	}
	return d.makeToken(ctx, connection, life, func(*batch, *tokenRecord) error { return nil })
}

// RotateToken makes a bearer token as [Directory.CreateToken] does, and has the
// live one, if there is one, end after overlap, unless it ends before.
func (d *Directory) RotateToken(ctx context.Context, connection string, life, overlap time.Duration) (Token, string, error) {
	if connection == "" || life <= 0 || overlap < 0 {
		return Token{}, "", fmt.Errorf("rotating a token: %w: connection, lifetime and overlap are required", errPlan)
	}
	return d.makeToken(ctx, connection, life, func(b *batch, old *tokenRecord) error {
		end := b.now.Add(overlap)
		if !end.Before(old.Expires) {
			return nil
		}
		shorter := &tokenRecord{Token: old.Token, hash: old.hash}
		shorter.Expires = end
		return b.putToken(shorter)
	})
}

// makeToken draws a token and puts it, after retire has seen the live one.
func (d *Directory) makeToken(
	ctx context.Context, connection string, life time.Duration, retire func(*batch, *tokenRecord) error,
) (Token, string, error) {
	random := make([]byte, tokenIDBytes+secretBytes)
	if _, err := io.ReadFull(d.config.Random, random); err != nil {
		return Token{}, "", fmt.Errorf("drawing a token: %w", err)
	}
	secret := "scim_" + connection + "_" + base64.RawURLEncoding.EncodeToString(random[tokenIDBytes:])
	token := &tokenRecord{hash: sha256.Sum256([]byte(secret))}
	err := d.submit(ctx, func(b *batch) error {
		token.Token = Token{
			ID: hex.EncodeToString(random[:tokenIDBytes]), Connection: connection, Created: b.now, Expires: b.now.Add(life),
		}
		live := b.liveTokens(connection)
		if len(live) >= maxLiveTokens {
			return fmt.Errorf("creating a token: %w: %s has %d live ones", ErrLimit, connection, maxLiveTokens)
		}
		for _, old := range live {
			if err := retire(b, old); err != nil {
				return err
			}
		}
		return b.putToken(token)
	})
	if err != nil {
		return Token{}, "", err
	}
	return token.Token, secret, nil
}

func (b *batch) putToken(t *tokenRecord) error {
	return b.emit(Delta{Kind: KindPutToken, Connection: t.Connection, Subject: t.ID, Payload: encodeToken(t)})
}

// RevokeToken ends a token at once.
func (d *Directory) RevokeToken(ctx context.Context, id string) error {
	return d.submit(ctx, func(b *batch) error {
		token := b.token(id)
		if token == nil {
			return fmt.Errorf("revoking token %s: %w", id, ErrNotFound)
		}
		return b.emit(Delta{Kind: KindDeleteToken, Connection: token.Connection, Subject: id})
	})
}

// Tokens lists a connection's tokens, expired ones too, oldest first.
func (d *Directory) Tokens(connection string) []Token {
	var tokens []Token
	for _, t := range *d.state.tokens.Load() {
		if t.Connection != connection {
			continue
		}
		token := t.Token
		used, _ := d.noted(t.ID)
		if used = max(used, t.used.Load()); used != 0 {
			token.LastUsed = time.UnixMilli(used).UTC()
		}
		tokens = append(tokens, token)
	}
	slices.SortFunc(tokens, func(a, b Token) int {
		return cmp.Or(a.Created.Compare(b.Created), a.Expires.Compare(b.Expires), cmp.Compare(a.ID, b.ID))
	})
	return tokens
}

// VerifyToken reports whether secret is a live token of the connection. It
// compares hashes in constant time.
func (d *Directory) VerifyToken(connection, secret string) bool {
	_, ok := d.FindToken(connection, secret)
	return ok
}

// FindToken returns the live token of the connection that secret belongs to.
func (d *Directory) FindToken(connection, secret string) (Token, bool) {
	if !strings.HasPrefix(secret, "scim_") {
		return Token{}, false
	}
	hash := sha256.Sum256([]byte(secret))
	now := d.config.Clock()
	for _, t := range *d.state.tokens.Load() {
		if subtle.ConstantTimeCompare(t.hash[:], hash[:]) == 1 {
			t.used.Store(now.UnixMilli())
			return t.Token, t.Connection == connection && now.Before(t.Expires)
		}
	}
	return Token{}, false
}

// useEntries is the class of entries that say when tokens were last used, in
// Unix milliseconds.
const useEntries = "token.used"

// useEvery is how much later a use must be than the one that is kept.
const useEvery = time.Hour

// NoteUse keeps when tokens were last used, to within an hour, for the other
// directories of a shared log and for the next start. Call it now and then.
func (d *Directory) NoteUse(ctx context.Context) error {
	now := d.config.Clock()
	for _, t := range *d.state.tokens.Load() {
		known, revision := d.noted(t.ID)
		used := t.used.Load()
		if used-known < useEvery.Milliseconds() || !now.Before(t.Expires) { // what is noted ends with the token
			continue
		}
		e := Entry{Class: useEntries, Name: t.ID, Expires: t.Expires, Value: binary.BigEndian.AppendUint64(nil, uint64(used))} //nolint:gosec // after 1970
		_, err := d.PutEntry(ctx, e, revision)
		if err != nil && !errors.Is(err, ErrExists) && !errors.Is(err, ErrRevision) { // another directory has noted it just now
			return fmt.Errorf("noting the use of token %s: %w", t.ID, err)
		}
	}
	return nil
}

// noted returns when a token was last used, as it is kept, and the revision for
// the next note.
func (d *Directory) noted(id string) (used int64, revision uint64) {
	e, found := d.Entry(useEntries, id)
	if !found || len(e.Value) != binary.Size(used) {
		return 0, CreateOnly
	}
	return int64(binary.BigEndian.Uint64(e.Value)), e.Revision //nolint:gosec // as it was put
}

func (b *batch) token(id string) *tokenRecord {
	if t, ok := b.tokens[id]; ok {
		return t
	}
	return (*b.state.tokens.Load())[id]
}

// liveTokens returns a connection's unexpired tokens as the batch will leave them.
func (b *batch) liveTokens(connection string) []*tokenRecord {
	all := maps.Clone(*b.state.tokens.Load())
	maps.Copy(all, b.tokens)
	var live []*tokenRecord
	for _, t := range all {
		if t != nil && t.Connection == connection && b.now.Before(t.Expires) {
			live = append(live, t)
		}
	}
	return live
}

func (b *batch) changeToken(d Delta) error {
	if d.Kind == KindDeleteToken {
		record(b, b.tokens, d.Subject, nil)
		return nil
	}
	r := reader{rest: d.Payload}
	token := &tokenRecord{Token: Token{ID: d.Subject, Connection: d.Connection}}
	copy(token.hash[:], r.take(sha256.Size))
	token.Created, token.Expires = r.milliseconds(), r.milliseconds()
	if old := b.token(d.Subject); old != nil {
		token.used.Store(old.used.Load())
	}
	record(b, b.tokens, d.Subject, token)
	return r.err(d)
}

func encodeToken(t *tokenRecord) []byte {
	payload := slices.Clone(t.hash[:])
	payload = binary.BigEndian.AppendUint64(payload, uint64(t.Created.UnixMilli()))
	return binary.BigEndian.AppendUint64(payload, uint64(t.Expires.UnixMilli()))
}

func (s *state) publishTokens(b *batch) {
	if len(b.tokens) == 0 {
		return
	}
	next := maps.Clone(*s.tokens.Load())
	for id, token := range b.tokens {
		if token == nil {
			delete(next, id)
		} else {
			next[id] = token
		}
	}
	s.tokens.Store(&next)
}
