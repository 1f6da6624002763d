package deploy

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

var (
	tagForm      = regexp.MustCompile(`^.+:[^:/@]*[0-9][^:/@]*(@sha256:[0-9a-f]{64})?$`)
	variableForm = regexp.MustCompile(`\$\{?([A-Z][A-Z0-9_]*)`)
)

// CheckServices judges the services by themselves: images, privileges, health checks, what is published.
func (d *Deployment) CheckServices() Faults {
	var f Faults
	for name := range d.Compose.Services {
		s := d.Compose.Services[name]
		checkImage(&f, &s)
		checkPrivileges(&f, &s)
		checkPublished(&f, &s)
		d.checkHealth(&f, &s)
	}
	f.unless(len(d.Compose.Services["cosmos"].Ports) == 0, "cosmos: published, which is a way round the gate")
	return f
}

func checkImage(f *Faults, s *types.ServiceConfig) {
	if s.Build != nil {
		return
	}
	f.unless(tagForm.MatchString(s.Image), "%s: image %q is not pinned to a version", s.Name, s.Image)
}

func checkPrivileges(f *Faults, s *types.ServiceConfig) {
	f.unless(!s.Privileged, "%s: is privileged", s.Name)
	asItComes := s.Name == "cosmos" // how the emulator's image starts its parts is not documented
	f.unless(asItComes || slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "%s: may gain privileges", s.Name)
	for _, v := range s.Volumes {
		f.unless(!strings.Contains(v.Source, "docker.sock"), "%s: can command the container engine", s.Name)
	}
	if s.Name != gateService {
		return
	}
	f.unless(s.ReadOnly, "gate: its root can be written")
	f.unless(slices.Equal(s.CapDrop, []string{"ALL"}) && len(s.CapAdd) == 0, "gate: keeps capabilities")
	f.unless(numericUser(s.User), "gate: user %q is root, or a name that the empty image does not know", s.User)
}

// numericUser says whether a user is given by number and is not root.
func numericUser(user string) bool {
	return regexp.MustCompile(`^[1-9][0-9]*(:[1-9][0-9]*)?$`).MatchString(user)
}

func checkPublished(f *Faults, s *types.ServiceConfig) {
	for _, p := range s.Ports {
		f.unless(p.HostIP == "127.0.0.1", "%s: port %s is published beyond loopback", s.Name, p.Published)
	}
}

// checkHealth wants a health check of whatever keeps running, and of whatever somebody waits for.
func (d *Deployment) checkHealth(f *Faults, s *types.ServiceConfig) {
	checked := s.HealthCheck != nil && len(s.HealthCheck.Test) > 1 && !s.HealthCheck.Disable
	f.unless(checked || s.Restart == "", "%s: keeps running without a health check", s.Name)
	for on, condition := range s.DependsOn {
		other, ok := d.Compose.Services[on]
		switch {
		case !ok:
			f.add("%s: waits for %s, which does not exist", s.Name, on)
		case condition.Condition == types.ServiceConditionHealthy:
			f.unless(other.HealthCheck != nil, "%s: waits for the health of %s, which has no check", s.Name, on)
		case condition.Condition == types.ServiceConditionCompletedSuccessfully:
			f.unless(other.Restart == "", "%s: waits for the end of %s, which is restarted", s.Name, on)
		}
	}
	if checked {
		f.unless(slices.Contains([]string{"CMD", "CMD-SHELL"}, s.HealthCheck.Test[0]), "%s: health check is neither CMD nor CMD-SHELL", s.Name)
		f.unless(listens(s, healthPort(s)), "%s: health check asks port %q, on which nothing listens", s.Name, healthPort(s))
	}
}

var portForm = regexp.MustCompile(`127\.0\.0\.1[:/](\d+)`)

func healthPort(s *types.ServiceConfig) string {
	if m := portForm.FindStringSubmatch(strings.Join(s.HealthCheck.Test, " ")); m != nil {
		return m[1]
	}
	return ""
}

// listens says whether a service has a port: the documented ones of the images, and the gate's own, which CheckWiring holds
// against the configuration.
func listens(s *types.ServiceConfig, port string) bool {
	known := map[string][]string{
		gateService: {"8443", "8444", "9090"}, "cosmos": {"8080", "8081"}, "keycloak": {"9000", value(s, "KC_HTTPS_PORT")},
		"prometheus": {"9090"}, "grafana": {"3000"},
	}
	return slices.Contains(known[s.Name], port)
}

// CheckEnvironment judges references to variables: each must lead to something.
func (d *Deployment) CheckEnvironment() Faults {
	var f Faults
	gate := environment(d, gateService)
	for i := range d.Config.Accounts {
		want(&f, "configuration: accounts.insecure_master_key", gate, d.Config.Accounts[i].InsecureMasterKey.Env)
	}
	for i := range d.Config.Connections {
		for _, t := range d.Config.Connections[i].Tokens {
			want(&f, "configuration: connections.tokens", gate, t.Value.Env)
		}
	}
	want(&f, "configuration: audit.hash_key", gate, d.Config.Audit.HashKey.Env)
	for _, name := range d.Realm.placeholders() {
		want(&f, "realm.json", environment(d, "keycloak"), name)
	}
	for _, m := range variableForm.FindAllStringSubmatch(d.Scripts["seed.sh"], -1) {
		want(&f, "seed.sh", environment(d, "seed"), m[1])
	}
	a, b := environment(d, gateService)["COSMOS_EMULATOR_KEY"], environment(d, "seed")["COSMOS_EMULATOR_KEY"]
	f.unless(a != nil && b != nil && *a == *b, "gate and seed have different account keys")
	drain := d.Config.Limits.Drain
	stop := d.Compose.Services[gateService].StopGracePeriod
	f.unless(stop != nil && time.Duration(*stop) > drain, "gate: is killed before limits.drain (%s) has passed", drain)
	return f
}

func environment(d *Deployment, service string) types.MappingWithEquals {
	return d.Compose.Services[service].Environment
}

func want(f *Faults, where string, env types.MappingWithEquals, name string) {
	if name == "" {
		return
	}
	value, ok := env[name]
	f.unless(ok && value != nil && *value != "", "%s: variable %s leads to nothing", where, name)
}

func value(s *types.ServiceConfig, name string) string {
	if v := s.Environment[name]; v != nil {
		return *v
	}
	return ""
}
