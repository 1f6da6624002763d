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
	src, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading configuration: %w", err)
	}
	var file struct {
		Listen struct {
			Control Control `yaml:"control"`
		} `yaml:"listen"`
		Directory struct {
			Path string `yaml:"path"`
		} `yaml:"directory"`
	}
	if err := yaml.Unmarshal(src, &file); err != nil {
		return "", fault(path, 0, 0, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	socket := controlSocket(file.Listen.Control.Socket, file.Directory.Path)
	if socket == "" {
		return "", fault(path, 0, 0, "names neither listen.control.socket nor directory.path, so the gate's socket is unknown")
	}
	return socket, nil
}
