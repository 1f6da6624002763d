package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// Secret is a reference to a secret, never the secret: {file: PATH} or {env: NAME}.
// It prints as its reference.
type Secret struct {
	// File is the path of a file whose content, less a final newline, is the secret.
	File string `yaml:"file"`
	// Env is the name of an environment variable.
	Env string `yaml:"env"`
}

// errEmptySecret is returned for a reference that leads to nothing.
var errEmptySecret = errors.New("is empty")

// Set reports whether there is a reference at all.
func (s Secret) Set() bool { return s.File != "" || s.Env != "" }

// String names the reference.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file:" + s.File
	case s.Env != "":
		return "env:" + s.Env
	default:
		return ""
	}
}

// LogValue keeps a log line to the reference.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Resolve reads the secret. An empty secret is an error: it would be a password that anybody knows.
func (s Secret) Resolve() (string, error) {
	var value string
	if s.File != "" {
		b, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("reading secret: %w", err)
		}
		value = strings.TrimRight(string(b), "\r\n")
	} else {
		value = os.Getenv(s.Env)
	}
	if value == "" {
		return "", fmt.Errorf("secret %s %w", s, errEmptySecret)
	}
	return value, nil
}
