package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"github.com/cosmosgate/cosmosgate/internal/config"
)

// The names of what the compose file and the configuration must agree on.
const (
	gateService         = "gate"
	certificatesService = "certificates"
	configTarget        = "/etc/cosmosgate/cosmosgate.yaml"
	secretVariable      = "DEMO_PASSWORD"
)

// Deployment is everything that is shipped, read and not yet judged.
type Deployment struct {
	Root       string
	Compose    *types.Project
	Config     config.Config
	Realm      Realm
	Image      Image
	Prometheus Prometheus
	Grafana    Grafana
	Scripts    map[string]string // name of a shell script in deploy/compose → its text
}

// Prometheus is the part of its configuration that concerns the gate.
type Prometheus struct {
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string `yaml:"job_name"`
		StaticConfigs []struct {
			Targets []string `yaml:"targets"`
		} `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
	Rules string `yaml:"-"` // the text of the one rule file
}

// Load reads the deployment below root. What cannot be read at all is an error; what is merely wrong is for the checks.
func Load(root string) (*Deployment, error) {
	d := &Deployment{Root: root, Scripts: map[string]string{}}
	var faults []error
	for _, read := range []func() error{d.readCompose, d.readConfig, d.readRealm, d.readImage, d.readPrometheus, d.readGrafana, d.readScripts} {
		faults = append(faults, read())
	}
	return d, errors.Join(faults...)
}

func (d *Deployment) path(parts ...string) string {
	return filepath.Join(append([]string{d.Root}, parts...)...)
}

func (d *Deployment) readCompose() error {
	options, err := cli.NewProjectOptions([]string{d.path("docker-compose.yml")},
		cli.WithWorkingDirectory(d.Root), cli.WithEnv([]string{secretVariable + "=not-a-secret"}))
	if err != nil {
		return fmt.Errorf("preparing compose: %w", err)
	}
	d.Compose, err = options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("reading compose: %w", err)
	}
	return nil
}

func (d *Deployment) readConfig() error {
	var err error
	if d.Config, err = config.Load(d.path("deploy", "compose", "cosmosgate.yaml")); err != nil {
		return fmt.Errorf("reading the gate's configuration: %w", err)
	}
	return nil
}

func (d *Deployment) readRealm() error {
	return decode(d.path("deploy", "compose", "realm.json"), json.Unmarshal, &d.Realm)
}

func (d *Deployment) readPrometheus() error {
	if err := decode(d.path("deploy", "prometheus", "prometheus.yml"), yaml.Unmarshal, &d.Prometheus); err != nil {
		return err
	}
	for _, name := range d.Prometheus.RuleFiles {
		text, err := os.ReadFile(d.path("deploy", "prometheus", name))
		if err != nil {
			return fmt.Errorf("reading a rule file that prometheus.yml names: %w", err)
		}
		d.Prometheus.Rules += string(text)
	}
	return nil
}

func (d *Deployment) readScripts() error {
	names, err := filepath.Glob(d.path("deploy", "compose", "*.sh"))
	if err != nil {
		return fmt.Errorf("finding scripts: %w", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading a script: %w", err)
		}
		d.Scripts[filepath.Base(name)] = string(text)
	}
	return nil
}

func decode(path string, unmarshal func([]byte, any) error, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if err := unmarshal(text, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// Faults collects what is wrong, one sentence each.
type Faults []string

func (f *Faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// unless adds a fault where something does not hold.
func (f *Faults) unless(holds bool, format string, args ...any) {
	if !holds {
		f.add(format, args...)
	}
}

// String lists them.
func (f *Faults) String() string { return strings.Join(*f, "\n") }
