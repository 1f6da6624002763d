package emulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

func decodeKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decoding base64: %w", err)
	}
	return key, nil
}

func unauthorized(substatus int, format string, args ...any) *failure {
	return refuse(http.StatusUnauthorized, format, args...).with(substatus)
}

// authenticate reads the Authorization header, which is `type=…&ver=1.0&sig=…`, usually
// percent-encoded as a whole.
func (x *exchange) authenticate() error {
	values := x.request.Header.Values("Authorization")
	if len(values) != 1 || values[0] == "" {
		return unauthorized(substatusMissingToken, "Required Header authorization is missing. Ensure a valid Authorization token is passed.")
	}
	text := values[0]
	if strings.Contains(strings.ToUpper(text), "%3D") {
		decoded, err := url.PathUnescape(text)
		if err != nil {
			return unauthorized(substatusMalformedToken, "Authorization header doesn't confirm to the required format. Please verify and try again.")
		}
		text = decoded
	}
	fields := strings.SplitN(text, "&", 3)
	if len(fields) != 3 || fields[1] != "ver=1.0" || !strings.HasPrefix(fields[2], "sig=") {
		return unauthorized(substatusMalformedToken, "Authorization header doesn't confirm to the required format. Please verify and try again.")
	}
	signature := strings.TrimPrefix(fields[2], "sig=")
	switch fields[0] {
	case "type=master":
		return x.verifyKey(signature)
	case "type=aad":
		return x.verifyToken(signature)
	default:
		return unauthorized(substatusMalformedToken, "The authorization token type is not supported.")
	}
}

// clockSkew is how far a signed date may be from the account's clock.
const clockSkew = 15 * time.Minute

// verifyKey checks a master-key signature over verb, resource type, resource link and date.
func (x *exchange) verifyKey(signature string) error {
	if len(x.emulator.key) == 0 {
		return unauthorized(substatusKeysDisabled, "Local Authorization is disabled. Use an AAD token to authorize all requests.")
	}
	date := x.request.Header.Get("X-Ms-Date")
	if date == "" {
		date = x.request.Header.Get("Date")
	}
	when, err := parseDate(date)
	if err != nil {
		return unauthorized(0, "The request date header is missing or malformed: '%s'.", date)
	}
	if now := x.emulator.clock(); when.Before(now.Add(-clockSkew)) || when.After(now.Add(clockSkew)) {
		return refuse(http.StatusForbidden, "The authorization token is not valid at the current time. Request date: '%s'.", date)
	}
	got, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return unauthorized(substatusMalformedToken, "The signature is not base64.")
	}
	for _, link := range x.address.links() {
		text := strings.ToLower(x.request.Method) + "\n" + string(x.address.kind) + "\n" + link + "\n" + strings.ToLower(date) + "\n\n"
		mac := hmac.New(sha256.New, x.emulator.key)
		mac.Write([]byte(text))
		if hmac.Equal(mac.Sum(nil), got) {
			x.master, x.principal = true, masterPrincipal
			return x.routable()
		}
	}
	return unauthorized(0, "The input authorization token can't serve the request. The wrong key is being used or the expected payload is not built as per the protocol. For more info: https://aka.ms/cosmosdb-tsg-unauthorized. Server used the following payload to sign: '%s\n%s\n%s\n%s\n\n'",
		strings.ToLower(x.request.Method), x.address.kind, x.address.links()[0], strings.ToLower(date))
}

// parseDate reads an HTTP date in any case: some clients send it as they sign it, in lower case.
func parseDate(text string) (time.Time, error) {
	const zone = "GMT"
	if cut := len(text) - len(zone); cut > 0 && strings.EqualFold(text[cut:], zone) {
		text = text[:cut] + zone
	}
	when, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the date: %w", err)
	}
	return when, nil
}

// routable mimics, where configured, the routing gateway of the service: it rebuilds the signed
// link from a path it has decoded too often, so key signatures over some ids never verify.
func (x *exchange) routable() error {
	if !x.emulator.config.RoutingGateway || x.address.kind != resourceItem || x.address.feed || x.address.rids {
		return nil
	}
	id := x.address.id
	if strings.ContainsAny(id, "\r\n\t") {
		return badRequest("The request URI has an invalid character.")
	}
	unescaped, err := url.PathUnescape(id)
	if strings.ContainsAny(id, `/\#`) || strings.HasSuffix(id, " ") || err != nil || unescaped != id {
		return unauthorized(0, "The input authorization token can't serve the request. Please check that the expected payload is built as per the protocol.")
	}
	return nil
}
