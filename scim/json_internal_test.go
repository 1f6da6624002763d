package scim

import "testing"

func TestEscapesThatAreNoCharacterAreFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`"\ud83d\ude00"`: false, `"a\uD83D\uDE00b"`: false, `"\\ud800"`: false, `"\ufffd"`: false, `"\u00e9\n"`: false,
		`"\ud83d"`: true, `"\ude00"`: true, `"\ud83dx"`: true, `"\ud83d\n"`: true, `"\ude00\ud83d"`: true, `"\\\ud800"`: true, `"\ufffd\ud800"`: true,
	} {
		if got := halfPair(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
