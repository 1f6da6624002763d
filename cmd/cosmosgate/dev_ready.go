package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ready is what a running `cosmosgate dev` writes for programs: where everything is. It holds development secrets, mode 0600.
type ready struct {
	Gate         readyGate     `json:"gate"`
	CA           string        `json:"ca"`
	Account      string        `json:"account"`
	SCIM         readySCIM     `json:"scim"`
	Issuer       string        `json:"issuer"`
	Audience     string        `json:"audience"`
	ClientID     string        `json:"client_id"`
	People       []readyPerson `json:"people"`
	Applications []readyClient `json:"applications"`
	Groups       []readyGroup  `json:"groups"`
	// Agent acts for people with tokens of TokenService; nil without a gate.
	Agent        *readyAgent   `json:"agent,omitempty"`
	TokenService string        `json:"token_service,omitempty"`
	Emulator     readyEmulator `json:"emulator"`
	// HostIdentity is how a process on a host with managed identities gets their tokens; only without a gate.
	HostIdentity *readyHost `json:"host_identity,omitempty"`
	Config       string     `json:"config"`
	Policy       string     `json:"policy"`
	Audit        string     `json:"audit"`
	TokenCommand []string   `json:"token_command"`
	PID          int        `json:"pid"`
}

type readyGate struct {
	Endpoint string `json:"endpoint"`
	Admin    string `json:"admin"`
}

type readySCIM struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

type readyPerson struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"` // the directory's; empty if it does not know the person
	ExternalID string `json:"external_id"`
	Department string `json:"department"`
	Group      string `json:"group"`
	May        string `json:"may"`
}

type readyClient struct {
	Name     string `json:"name"`
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret"`
	May      string `json:"may"`
}

type readyGroup struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	ExternalID string `json:"external_id"`
}

type readyEmulator struct {
	Endpoint string `json:"endpoint"`
	Key      string `json:"key"`
}

// readyHost holds what App Service tells to a process on it.
type readyHost struct {
	Endpoint   string          `json:"endpoint"`
	Header     string          `json:"header"`
	Identities []readyIdentity `json:"identities"`
}

type readyIdentity struct {
	Name     string `json:"name"`
	ClientID string `json:"client_id"`
	May      string `json:"may"`
}

var errNotRunning = errors.New("no development gate is running here")

// write puts the file in place at once, so that whoever waits for it never reads half of it.
func (r *ready) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the ready file: %w", err)
	}
	const ours = 0o600
	next := path + ".new"
	if err := os.WriteFile(next, append(b, '\n'), ours); err != nil {
		return fmt.Errorf("writing the ready file: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("writing the ready file: %w", err)
	}
	return nil
}

func readReady(path string) (*ready, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", errNotRunning, path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ready file: %w", err)
	}
	r := new(ready)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("reading the ready file %s: %w", path, err)
	}
	return r, nil
}

// currentReady is the ready file of the development gate last started, for commands that are not told another.
func currentReady() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	dir := filepath.Join(cache, "cosmosgate")
	const oursOnly = 0o700
	if err := os.MkdirAll(dir, oursOnly); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	return filepath.Join(dir, "dev.json"), nil
}

// readyFile finds the ready file for a state folder, or the current one.
func readyFile(state string) (string, error) {
	if state != "" {
		return filepath.Join(state, "ready.json"), nil
	}
	return currentReady()
}
