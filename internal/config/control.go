package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ControlSocket is the path of the socket of administration.
func (c *Config) ControlSocket() string {
	return controlSocket(c.Listen.Control.Socket, c.Directory.Path)
}

func controlSocket(socket, directory string) string {
	if socket != "" || directory == "" {
		return socket
	}
	return filepath.Join(strings.TrimSuffix(directory, filepath.Ext(directory))+".control", "gate.sock")
}

// FindControlSocket reads from the file at path where the gate's socket is, and nothing else: an operator must be able to suspend
// somebody also while the rest of the file is being edited.
func FindControlSocket(path string) (string, error) {
	file, err := outline(path)
	if err != nil {
		return "", err
	}
	socket := controlSocket(file.Listen.Control.Socket, file.Directory.Path)
	if socket == "" {
		return "", fault(path, 0, 0, "names neither listen.control.socket nor directory.path, so the gate's socket is unknown")
	}
	return socket, nil
}

// FindPolicy reads from the file at path where the policy is, and nothing else, so that a faulty configuration does not hide the faults of
// the policy. It is empty if the file does not say.
func FindPolicy(path string) string {
	file, err := outline(path)
	if err != nil {
		return "" // whoever loads the file is told
	}
	return file.Policy.Path
}

// FindConnections reads the names of the SCIM connections from the file at path, for completion. There are none in a file that cannot be read.
func FindConnections(path string) (names []string) {
	file, err := outline(path)
	if err != nil {
		return nil
	}
	for i := range file.Connections {
		names = append(names, file.Connections[i].Name)
	}
	return names
}

// paths are what can be found in a file that has faults elsewhere.
type paths struct {
	Listen struct {
		Control Control `yaml:"control"`
	} `yaml:"listen"`
	Connections []struct {
		Name string `yaml:"name"`
	} `yaml:"connections"`
	Directory struct {
		Path string `yaml:"path"`
	} `yaml:"directory"`
	Policy struct {
		Path string `yaml:"path"`
	} `yaml:"policy"`
}

func outline(path string) (p paths, err error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return p, fmt.Errorf("reading configuration: %w", err)
	}
	if err := yaml.Unmarshal(src, &p); err != nil {
		return p, fault(path, 0, 0, "is no configuration file that can be read: cosmosgate check names every fault")
	}
	return p, nil
}
