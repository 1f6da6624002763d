package identity

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// claims are a token's decoded claims. Names are exact. Numbers are kept as they were written.
type claims map[string]any

// has reports whether the claim is there at all, whatever its value.
func (c claims) has(name string) bool {
	_, found := c[name]

	return found
}

// text returns a claim that is a non-empty string, else "". A number is not a string: numeric ids never become subjects. A
// value with U+FFFD is no value: JSON decoders put it where an escape made no character.
func (c claims) text(name string) string {
	value, ok := c[name].(string)
	if !ok || strings.ContainsRune(value, utf8.RuneError) {
		return ""
	}

	return value
}

// list returns a claim that is a string or an array of strings; nil if it is neither.
func (c claims) list(name string) []string {
	switch value := c[name].(type) {
	case string:
		return []string{value}
	case []any:
		values := make([]string, 0, len(value))

		for _, element := range value {
			text, ok := element.(string)
			if !ok {
				return nil
			}

			values = append(values, text)
		}

		return values
	default:
		return nil
	}
}

// scopes returns scp or scope, which issuers write as an array or as words between spaces.
func (c claims) scopes() []string {
	for _, name := range []string{"scp", "scope"} {
		var scopes []string
		for _, value := range c.list(name) {
			scopes = append(scopes, strings.Fields(value)...)
		}

		if len(scopes) > 0 {
			return scopes
		}
	}

	return nil
}

// clientClaims are the names under which issuers put the client.
func clientClaims() []string { return []string{"azp", "appid", "cid", "client_id"} }

var errClients = errors.New("azp, appid, cid and client_id differ")

// client returns the client the token was issued to, under whichever name the issuer uses; "" if it names none.
func (c claims) client() (string, error) {
	client := ""

	for _, name := range clientClaims() {
		if !c.has(name) {
			continue
		}

		value := c.text(name)
		if value == "" || (client != "" && client != value) {
			return "", errClients
		}

		client = value
	}

	return client, nil
}

var errNumericDate = errors.New("not a NumericDate")

// date returns a NumericDate claim (RFC 7519 section 2), whole seconds; the zero time if it is absent.
func (c claims) date(name string) (time.Time, error) {
	// latest is about the year 36,800; differences beyond time.Duration saturate, and so exceed every cap.
	const latest = 1 << 40

	value, found := c[name]
	if !found {
		return time.Time{}, nil
	}

	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, errNumericDate
	}

	seconds, err := number.Float64()
	if err != nil || !(seconds > 0 && seconds < latest) {
		return time.Time{}, errNumericDate
	}

	return time.Unix(int64(seconds), 0).UTC(), nil
}
