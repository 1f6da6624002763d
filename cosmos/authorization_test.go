package cosmos_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

func TestCredentialsAreReadInTheFormsThatSDKsSend(t *testing.T) {
	t.Parallel()

	const (
		token     = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln-_"
		signature = "abc+/def=="
	)

	aad := cosmos.Authorization{Type: cosmos.AAD, Token: token}
	master := cosmos.Authorization{Type: cosmos.Master, Signature: signature}

	for _, row := range []struct {
		name, header string
		want         cosmos.Authorization
	}{
		{"Go, JavaScript, Python: plain", "type=aad&ver=1.0&sig=" + token, aad},
		{"Java, Rust: encoded", url.QueryEscape("type=aad&ver=1.0&sig=" + token), aad},
		{".NET: encoded in lower case", "type%3daad%26ver%3d1.0%26sig%3d" + token, aad},
		{"the gate's own", cosmos.TokenAuthorization(token), aad},
		{"a key: encoded", url.QueryEscape("type=master&ver=1.0&sig=" + signature), master},
		{"a key: plain, where plus is plus", "type=master&ver=1.0&sig=" + signature, master},
		{"a key: plus left alone by the encoder", "type%3Dmaster%26ver%3D1.0%26sig%3Dabc+/def%3D%3D", master},
		{"curl", "Bearer " + token, cosmos.Authorization{Type: cosmos.Bearer, Token: token}},
		{"curl in lower case", "bearer " + token, cosmos.Authorization{Type: cosmos.Bearer, Token: token}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			got, err := cosmos.ParseAuthorization(http.Header{"Authorization": {row.header}})
			if err != nil {
				t.Fatal(err)
			}

			if got != row.want {
				t.Errorf("got another credential than the one sent")
			}
		})
	}
}

func TestCredentialsThatReadTwoWaysAreRefused(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name      string
		headers   []string
		substatus int
	}{
		{"none", nil, 5000},
		{"an empty one", []string{""}, 5000},
		{"two", []string{"type=aad&ver=1.0&sig=a", "type=aad&ver=1.0&sig=b"}, 5001},
		{"a resource token", []string{"type=resource&ver=1.0&sig=a"}, 5001},
		{"a shared access signature", []string{"type=sas&ver=1.0&sig=a"}, 5001},
		{"another version", []string{"type=aad&ver=2.0&sig=a"}, 5001},
		{"another order", []string{"ver=1.0&type=aad&sig=a"}, 5001},
		{"no signature", []string{"type=aad&ver=1.0"}, 5001},
		{"an empty signature", []string{"type=aad&ver=1.0&sig="}, 5001},
		{"a type in capitals", []string{"type=AAD&ver=1.0&sig=a"}, 5001},
		{"a fourth part", []string{"type=aad&ver=1.0&sig=a&sig=b"}, 5001},
		{"encoded twice", []string{"type%253Daad%2526ver%253D1.0%2526sig%253Da"}, 5001},
		{"a broken encoding", []string{"type%3Daad%26ver%3D1.0%26sig%3Da%"}, 5001},
		{"a line break", []string{"type%3Daad%26ver%3D1.0%26sig%3Da%0d%0aX: 1"}, 5001},
		{"a password", []string{"Basic dTpw"}, 5001},
		{"an empty bearer", []string{"Bearer "}, 5001},
		{"two bearers in one", []string{"Bearer a, Bearer b"}, 5001},
		{"17 KB", []string{"Bearer " + strings.Repeat("a", 17<<10)}, 5001},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			_, err := cosmos.ParseAuthorization(http.Header{"Authorization": row.headers})
			native := nativeError(t, err)

			if diff := cmp.Diff([]int{401, row.substatus}, []int{native.Status, native.Substatus}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCredentialsDoNotPrint(t *testing.T) {
	t.Parallel()

	for _, credential := range []cosmos.Authorization{
		{Type: cosmos.AAD, Token: "secret"}, {Type: cosmos.Master, Signature: "secret"}, {Type: cosmos.Bearer, Token: "secret"}, {},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(verb, credential); strings.Contains(text, "secret") || !strings.Contains(text, "redacted") {
				t.Errorf("%s prints %q", verb, text)
			}
		}
	}
}
