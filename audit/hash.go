package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

const (
	// hashBytes is what is kept of a hash: 128 bits are beyond accidental collision, and half as long to store.
	hashBytes = 16
	// maxIdle digests, each with a text buffer of at most maxScratch bytes, are kept for the next records.
	maxIdle    = 64
	maxScratch = 4096
)

// hashes makes the quoted hashes that stand for partition keys and ids.
type hashes struct {
	scheme string
	create func() hash.Hash
	idle   chan *digest
}

// digest is a hash function with room for the text that it is about to read and for its sum.
type digest struct {
	hash.Hash

	text []byte
	sum  []byte
}

func newHashes(key []byte) *hashes {
	h := &hashes{scheme: "sha256:", create: sha256.New, idle: make(chan *digest, maxIdle)}
	if own := bytes.Clone(key); len(own) > 0 {
		h.scheme = "hmac:"
		h.create = func() hash.Hash { return hmac.New(sha256.New, own) }
	}
	return h
}

// appendKey hashes a partition key: the compact JSON array of its components.
func (h *hashes) appendKey(dst []byte, components []string) []byte {
	d := h.take()
	d.text = append(d.text[:0], '[')
	for i, c := range components {
		if i > 0 {
			d.text = append(d.text, ',')
		}
		d.text = append(d.text, c...)
	}
	d.text = append(d.text, ']')
	return h.finish(dst, d)
}

// appendItem hashes an item's id as it is.
func (h *hashes) appendItem(dst []byte, id string) []byte {
	d := h.take()
	d.text = append(d.text[:0], id...)
	return h.finish(dst, d)
}

func (h *hashes) take() *digest {
	select {
	case d := <-h.idle:
		return d
	default:
		return &digest{Hash: h.create()}
	}
}

func (h *hashes) finish(dst []byte, d *digest) []byte {
	d.Reset()
	_, _ = d.Write(d.text) // a hash never fails
	d.sum = d.Sum(d.sum[:0])
	dst = append(dst, '"')
	dst = append(dst, h.scheme...)
	dst = hex.AppendEncode(dst, d.sum[:hashBytes])
	h.give(d)
	return append(dst, '"')
}

func (h *hashes) give(d *digest) {
	if cap(d.text) > maxScratch {
		return
	}
	select {
	case h.idle <- d:
	default:
	}
}
