package main

import (
	"strings"
	"testing"
	"time"
)

func TestAConnectionThatIsAboutToLoseItsLastTokenSaysWhatToType(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Now()
	token := func(kind string, ends time.Duration) tokenEntry {
		return tokenEntry{Kind: kind, Live: ends > 0, Expires: now.Add(ends)}
	}
	for name, row := range map[string]struct {
		tokens []tokenEntry
		want   string
	}{
		"none":                        {nil, "cosmosgate scim token create corp"},
		"one that ended":              {[]tokenEntry{token(kindBearer, -day)}, "cosmosgate scim token create corp"},
		"an access token alone":       {[]tokenEntry{token(kindAccess, day)}, "cosmosgate scim token create corp"},
		"one near its end":            {[]tokenEntry{token(kindBearer, day)}, "cosmosgate scim token rotate corp"},
		"one near its end and a long": {[]tokenEntry{token(kindBearer, day), token(kindSecret, 90*day)}, ""},
	} {
		var got string
		for _, w := range tokenWarnings("corp", row.tokens, now) {
			got += w.Text
		}
		if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q in it", name, got, row.want)
		}
	}
}

func TestMoreTokensThanOneCanKeepAnEyeOnAreWarnedOf(t *testing.T) {
	t.Parallel()
	two := []tokenEntry{{Kind: kindBearer, Live: true}, {Kind: kindBearer, Live: true}, {Kind: kindBearer}, {Kind: kindSecret, Live: true}}
	if got := crowdWarnings(two); len(got) != 0 {
		t.Errorf("two that are live: %v", got)
	}
	if got := crowdWarnings(append(two, tokenEntry{Kind: kindBearer, Live: true})); len(got) != 1 || !strings.HasPrefix(got[0].Text, "3 bearer tokens are live") {
		t.Errorf("three: %v", got)
	}
}
