package server

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// Unreadable is a request that net/http could not read, and therefore never showed to a handler: a malformed request line or header,
// an escape in the path that is none, a header beyond MaxHeaderBytes.
type Unreadable struct {
	Status int    // what net/http would answer: 400, 431 or 501
	Reason string // what it would say, a text of its own without anything from the request
	Source string // network address of the client, with its port
}

// Refuse makes the answer to a request that could not be read. Content-Length and Connection are added to the header.
type Refuse func(Unreadable) (header http.Header, body []byte)

// net/http writes its own refusals in a single write, as a status line, these headers, and the text once more.
// No response of a handler looks like it: those have a Date.
const refusalHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// replace returns what to write instead of p if p is net/http's own refusal, and nil if it is not.
func (refuse Refuse) replace(p []byte, source string) []byte {
	rest, ok := bytes.CutPrefix(p, []byte("HTTP/1.1 "))
	if !ok || refuse == nil {
		return nil
	}
	line, _, ok := bytes.Cut(rest, []byte("\r\n"))
	if !ok || !bytes.HasPrefix(rest[len(line):], []byte(refusalHeaders)) {
		return nil
	}
	code, text, _ := strings.Cut(string(line), " ")
	status, err := strconv.Atoi(code)
	if err != nil {
		return nil
	}
	return refuse.answer(Unreadable{Status: status, Reason: text, Source: source})
}

func (refuse Refuse) answer(u Unreadable) []byte {
	header, body := refuse(u)
	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Connection", "close")
	var answer bytes.Buffer
	answer.WriteString("HTTP/1.1 " + strconv.Itoa(u.Status) + " " + http.StatusText(u.Status) + "\r\n")
	_ = header.Write(&answer) // a buffer never fails
	answer.WriteString("\r\n")
	answer.Write(body)
	return answer.Bytes()
}
