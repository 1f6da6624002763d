// Package profile is the file in which an engineer's commands remember their gates: addresses, authorities to trust, where to
// sign in. It never holds a secret: sessions are kept by the credential package.
package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Profile is the whole file.
type Profile struct {
	// Current is the URL of the gate that commands mean when they are told none.
	Current string `yaml:"current,omitempty"`
	// Gates are those that somebody has signed in to.
	Gates []Gate `yaml:"gates,omitempty"`
}

// Gate is one gate.
type Gate struct {
	// URL is its base, https://host[:port]/.
	URL string `yaml:"url"`
	// SignIn names the place to sign in, if it is not the usual one.
	SignIn string `yaml:"sign_in,omitempty"`
	// Authorities are PEM certificates to trust besides the system's.
	Authorities string `yaml:"certificate_authorities,omitempty"`
}

const (
	preface   = "# Written by cosmosgate login. It holds no secrets.\n"
	largest   = 1 << 20
	ownerOnly = 0o600
	folder    = 0o700
)

var errTooLarge = errors.New("is larger than 1 MiB")

// Path is where the file is if nobody says otherwise: in the user's configuration folder.
func Path() (string, error) {
	if path := os.Getenv("COSMOSGATE_PROFILE"); path != "" {
		return path, nil
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the configuration folder: %w", err)
	}
	return filepath.Join(config, "cosmosgate", "profile.yaml"), nil
}

// Load reads a profile. A file that does not exist is an empty profile; unknown keys are errors.
func Load(path string) (*Profile, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Profile{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the profile: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err != nil {
		return nil, fmt.Errorf("reading the profile: %w", err)
	}
	if len(text) > largest {
		return nil, fmt.Errorf("%s %w", path, errTooLarge)
	}
	return parse(path, text)
}

func parse(path string, text []byte) (*Profile, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	p := &Profile{}
	if err := decoder.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the profile %s: %w", path, err)
	}
	return p, nil
}

// Find returns what is known about a gate; nil if that is nothing.
func (p *Profile) Find(url string) *Gate {
	for i := range p.Gates {
		if p.Gates[i].URL == url {
			return &p.Gates[i]
		}
	}
	return nil
}

// Use remembers a gate and makes it the current one.
func (p *Profile) Use(g Gate) {
	p.Current = g.URL
	if known := p.Find(g.URL); known != nil {
		*known = g
		return
	}
	p.Gates = append(p.Gates, g)
}

// Save writes the file, whole or not at all.
func (p *Profile) Save(path string) error {
	var text bytes.Buffer
	text.WriteString(preface)
	encoder := yaml.NewEncoder(&text)
	if err := errors.Join(encoder.Encode(p), encoder.Close()); err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), folder); err != nil {
		return fmt.Errorf("making the profile's folder: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".profile-*")
	if err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	_, err = f.Write(text.Bytes())
	err = errors.Join(err, f.Chmod(ownerOnly), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing the profile: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
