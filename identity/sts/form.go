package sts

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxBodyBytes bounds a form.
const maxBodyBytes = 64 << 10

// form is the parameters of a request, each given once (RFC 6749 section 3.2).
type form map[string]string

// readForm reads the body. Nothing is ever read from the query: it ends up in logs.
func readForm(w http.ResponseWriter, r *http.Request) (form, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, refuse(codeInvalidRequest, "send a form: application/x-www-form-urlencoded")
	}

	if r.URL.RawQuery != "" {
		return nil, refuse(codeInvalidRequest, "parameters belong into the body")
	}

	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			e := refuse(codeInvalidRequest, "the form is larger than 64 KB")
			e.Status = http.StatusRequestEntityTooLarge

			return nil, e
		}

		return nil, refuse(codeInvalidRequest, "the form can't be read")
	}

	return parseForm(string(body))
}

// parseForm decodes a form. A parameter without value is treated as if it were not there (RFC 6749 section 3.2), but may not be repeated
// either.
func parseForm(body string) (form, error) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, refuse(codeInvalidRequest, "the form can't be read")
	}

	f := form{}

	for name, given := range values {
		if len(given) > 1 {
			return nil, refuse(codeInvalidRequest, "a parameter is given twice")
		}

		if value := given[0]; value != "" {
			if !printable(name) || !printable(value) {
				return nil, refuse(codeInvalidRequest, "a parameter holds control characters")
			}

			f[name] = value
		}
	}

	return f, nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < ' ' && r != '\t' && r != '\n' && r != '\r') || r == 0x7f || r == '\uFFFD'
	})
}

// source is the caller's address without port.
func source(r *http.Request) string {
	host := r.RemoteAddr
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}

	return strings.Trim(host, "[]")
}
