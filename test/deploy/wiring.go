package deploy

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// CheckWiring judges how services reach one another and the host: addresses and ports of the configuration against those of the
// compose file.
func (d *Deployment) CheckWiring() Faults {
	var f Faults
	gate := d.Compose.Services[gateService]
	d.checkListeners(&f, &gate)
	for i := range d.Config.Accounts {
		a := &d.Config.Accounts[i]
		d.reach(&f, gateService, a.Upstream)
		for _, host := range a.Hosts {
			d.reach(&f, "seed", "https://"+host)
		}
	}
	for i := range d.Config.Issuers {
		d.reach(&f, gateService, d.Config.Issuers[i].URL)
	}
	for _, s := range d.Prometheus.ScrapeConfigs {
		for _, targets := range s.StaticConfigs {
			for _, target := range targets.Targets {
				d.reach(&f, "prometheus", "http://"+target)
				f.unless(target == gateService+":"+port(d.Config.Listen.Admin.Address), "prometheus: %s is not the admin listener", target)
			}
		}
	}
	for _, source := range d.Grafana.Sources {
		d.reach(&f, "grafana", source.URL)
	}
	seed := d.Compose.Services["seed"]
	d.reach(&f, "seed", value(&seed, "COSMOS_URL"))
	d.reach(&f, "seed", value(&seed, "SCIM_URL"))
	f.unless(strings.HasSuffix(value(&seed, "SCIM_URL"), "/scim/v2/"+d.Config.Connections[0].Name), "seed: SCIM_URL is not that of the connection")
	return f
}

// checkListeners wants data and SCIM published under the port of their public URL, and admin not published.
func (d *Deployment) checkListeners(f *Faults, gate *types.ServiceConfig) {
	published := map[string]string{}
	for _, p := range gate.Ports {
		published[fmt.Sprint(p.Target)] = p.Published
	}
	for name, l := range map[string]struct{ address, public string }{
		"data": {d.Config.Listen.Data.Address, d.Config.Accounts[0].PublicURL},
		"scim": {d.Config.Listen.SCIM.Address, d.Config.SCIM.PublicURL},
	} {
		u, err := url.Parse(l.public)
		f.unless(err == nil && u.Hostname() == "localhost" && u.Port() == published[port(l.address)],
			"gate: listen.%s %s is published as %q, but its public URL is %s", name, l.address, published[port(l.address)], l.public)
	}
	admin := port(d.Config.Listen.Admin.Address)
	f.unless(published[admin] == "", "gate: the admin listener is published")
	f.unless(healthPort(gate) == admin, "gate: health check asks port %s, the admin listener is %s", healthPort(gate), d.Config.Listen.Admin.Address)
	for _, want := range []string{port(d.Config.Listen.Data.Address), port(d.Config.Listen.SCIM.Address), admin} {
		f.unless(slices.Contains(d.Image.Exposed, want), "Dockerfile: does not expose port %s", want)
	}
}

func port(address string) string {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return p
}

// reach wants a URL's host to be a service, or an alias, on a network that both are on, and the port to be one of its.
func (d *Deployment) reach(f *Faults, from, to string) {
	u, err := url.Parse(to)
	if err != nil {
		f.add("%s: %q is not a URL", from, to)
		return
	}
	for name := range d.Compose.Services {
		s := d.Compose.Services[name]
		for network, at := range s.Networks {
			_, shared := d.Compose.Services[from].Networks[network]
			named := name == u.Hostname() || (at != nil && slices.Contains(at.Aliases, u.Hostname()))
			if shared && named {
				f.unless(listens(&s, u.Port()), "%s: %s has no port %s", from, name, u.Port())
				return
			}
		}
	}
	f.add("%s: no service on its networks is called %s", from, u.Hostname())
}

// CheckFiles judges volumes: what is mounted exists, and every file that the configuration names lies under a mount that fits.
// made is a folder that certificates.sh has filled.
func (d *Deployment) CheckFiles(made string) Faults {
	var f Faults
	for name := range d.Compose.Services {
		s := d.Compose.Services[name]
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				_, err := os.Stat(v.Source)
				f.unless(err == nil && v.ReadOnly, "%s: %s does not exist, or could be written from inside", name, v.Source)
			}
		}
	}
	for _, file := range d.filesRead() {
		on, err := d.HostPath(file.service, file.path, made)
		if err == nil {
			_, err = os.Stat(on)
		}
		f.unless(err == nil, "%s: %s: %v", file.service, file.path, err)
	}
	for _, file := range []string{d.Config.Directory.Path, d.Config.Audit.Path} {
		v := mount(d.Compose.Services[gateService], file)
		f.unless(v != nil && !v.ReadOnly && v.Type == types.VolumeTypeVolume, "gate: %s is not on a volume that can be written", file)
	}
	gate := d.Compose.Services[gateService]
	f.unless(slices.Contains(gate.Command, configTarget), "gate: command does not name %s", configTarget)
	return f
}

type readFile struct{ service, path string }

// filesRead lists every file that a service is told to read.
func (d *Deployment) filesRead() []readFile {
	c := &d.Config
	files := []readFile{{gateService, configTarget}}
	for _, p := range []string{
		c.Listen.Data.TLS.Certificate, c.Listen.Data.TLS.Key, c.Listen.SCIM.TLS.Certificate, c.Listen.SCIM.TLS.Key,
		c.Trust.Upstream, c.Trust.Issuers, c.Policy.Path, c.Audit.HashKey.File, c.Connections[0].Tokens[0].Value.File,
	} {
		files = append(files, readFile{gateService, p})
	}
	keycloak, cosmos, seed := d.Compose.Services["keycloak"], d.Compose.Services["cosmos"], d.Compose.Services["seed"]
	files = append(files,
		readFile{"keycloak", value(&keycloak, "KC_HTTPS_CERTIFICATE_FILE")}, readFile{"keycloak", value(&keycloak, "KC_HTTPS_CERTIFICATE_KEY_FILE")},
		readFile{"cosmos", value(&cosmos, "CERT_PATH")},
		readFile{"seed", path.Join(value(&seed, "SEED_FOLDER"), "ca.pem")}, readFile{"seed", path.Join(value(&seed, "SEED_FOLDER"), "scim-token")},
		readFile{"prometheus", "/etc/prometheus/prometheus.yml"}, readFile{"grafana", "/etc/grafana/provisioning"},
		readFile{"seed", seed.Command[len(seed.Command)-1]}, readFile{certificatesService, d.Compose.Services[certificatesService].Command[1]},
	)
	for _, p := range d.Grafana.Providers {
		files = append(files, readFile{"grafana", p.Options.Path})
	}
	return files
}

// HostPath says where a file of a service is outside the container: in the tree, or in made for the volumes that
// certificates.sh fills.
func (d *Deployment) HostPath(service, file, made string) (string, error) {
	v := mount(d.Compose.Services[service], file)
	if v == nil {
		return "", fmt.Errorf("nothing is mounted at %q: %w", file, os.ErrNotExist)
	}
	rest := strings.TrimPrefix(file, v.Target)
	if v.Type == types.VolumeTypeBind {
		return v.Source + rest, nil
	}
	for _, out := range d.Compose.Services[certificatesService].Volumes {
		if out.Source == v.Source {
			return filepath.Join(made, strings.TrimPrefix(out.Target, "/out"), rest), nil
		}
	}
	return "", fmt.Errorf("nothing fills volume %s with %q: %w", v.Source, file, os.ErrNotExist)
}

// mount returns the mount that a path lies under, the innermost.
func mount(s types.ServiceConfig, file string) *types.ServiceVolumeConfig {
	var best *types.ServiceVolumeConfig
	for i := range s.Volumes {
		v := &s.Volumes[i]
		if (file == v.Target || strings.HasPrefix(file, v.Target+"/")) && (best == nil || len(v.Target) > len(best.Target)) {
			best = v
		}
	}
	return best
}
