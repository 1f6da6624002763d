package emulator_test

import (
	"strings"
	"testing"
)

func TestAnswersAreCompressedForWhoAccepts(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	text := strings.Repeat("x", 4096)
	s.create(t, "e", "large", `,"text":"`+text+`"`)
	s.create(t, "e", "small", "")
	for _, row := range []struct {
		name, id, accepted string
		want               string
	}{
		{"a large item", "large", "deflate, gzip;q=0.9", "gzip"},
		{"nothing accepted", "large", "", ""},
		{"another coding", "large", "br", ""},
		{"gzip refused", "large", "gzip; q=0", ""},
		{"a small item", "small", "gzip", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			header := keyed(`["e"]`)
			if row.accepted != "" {
				header["Accept-Encoding"] = row.accepted
			}
			answer := s.do(t, call{method: "GET", path: orders + "/" + row.id, header: header})
			if got := answer.Header.Get("Content-Encoding"); got != row.want {
				t.Fatalf("encoding %q, want %q", got, row.want)
			}
		})
	}
}
