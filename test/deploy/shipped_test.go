package deploy_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/test/deploy"
)

// root is the tree, seen from this folder.
const root = "../.."

func load(t *testing.T, dir string) *deploy.Deployment {
	t.Helper()
	absolute, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	d, err := deploy.Load(absolute)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// certificates runs the script that the stack runs, and returns the folder it filled.
func certificates(t *testing.T, dir string) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatal("these tests need openssl:", err)
	}
	made := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, "deploy", "compose", "certificates.sh"), made).CombinedOutput()
	if err != nil {
		t.Fatalf("certificates.sh: %v\n%s", err, out)
	}
	return made
}

// judge runs every check that needs no running gate.
func judge(d *deploy.Deployment, made string) deploy.Faults {
	var f deploy.Faults
	for _, check := range []func() deploy.Faults{
		d.CheckServices, d.CheckEnvironment, d.CheckWiring, d.CheckImage, d.CheckRealm, d.CheckBoards, d.CheckPage,
	} {
		f = append(f, check()...)
	}
	return append(append(f, d.CheckFiles(made)...), d.CheckCertificates(made)...)
}

func TestShippedFilesFitTogether(t *testing.T) {
	t.Parallel()
	if f := judge(load(t, root), certificates(t, root)); len(f) > 0 {
		t.Error(f.String())
	}
}

func TestEachCheckFindsItsFault(t *testing.T) {
	t.Parallel()
	const compose, dockerfile, gate = "docker-compose.yml", "Dockerfile", "deploy/compose/cosmosgate.yaml"
	const realm, board = "deploy/compose/realm.json", "deploy/grafana/dashboards/cosmosgate.json"
	made := certificates(t, root)
	for _, c := range []struct{ name, file, old, new, want string }{
		{"an image that floats", compose, "prom/prometheus:v3.15.0", "prom/prometheus:latest", `prometheus: image "prom/prometheus:latest" is not pinned`},
		{"an image without a tag", compose, "grafana/grafana:13.2.3", "grafana/grafana", `grafana: image "grafana/grafana" is not pinned`},
		{"a gate that can write its root", compose, "    read_only: true\n    pids_limit", "    pids_limit", "gate: its root can be written"},
		{"a gate that runs as root", compose, `user: "65532:65532"` + "\n    read_only: true\n    pids", `user: "0:0"` + "\n    read_only: true\n    pids", `gate: user "0:0" is root`},
		{"capabilities that are kept", compose, "cap_drop: [ALL]", "cap_drop: [NET_RAW]", "gate: keeps capabilities"},
		{"privileges that can be gained", compose, `security_opt: ["no-new-privileges:true"]` + "\n\n", "\n", "gate: may gain privileges"},
		{"a port open to the network", compose, `"127.0.0.1:8443:8443"`, `"8443:8443"`, "gate: port 8443 is published beyond loopback"},
		{"an emulator that can be reached past the gate", compose, `expose: ["8081"]`, `ports: ["127.0.0.1:8081:8081"]`, "cosmos: published"},
		{"a data port other than the listener's", compose, `"127.0.0.1:8443:8443"`, `"127.0.0.1:8443:9443"`, "listen.data :8443 is published as"},
		{"a public URL under another port", gate, "public_url: https://localhost:8443/", "public_url: https://localhost:8445/", "its public URL is https://localhost:8445/"},
		{"an admin listener that is published", compose, `"127.0.0.1:8444:8444"   # SCIM`, `"127.0.0.1:8444:8444"` + "\n    - \"127.0.0.1:9090:9090\"", "gate: the admin listener is published"},
		{"a health check of the wrong port", compose, "http://127.0.0.1:9090\", --probe", "http://127.0.0.1:9092\", --probe", "gate: health check asks port"},
		{"a health check of a port that nobody has", compose, "http://127.0.0.1:3000/api/health", "http://127.0.0.1:3001/api/health", "grafana: health check asks port"},
		{"a service without a health check", compose, "      test: [CMD, wget, --quiet, --spider, \"http://127.0.0.1:9090/-/ready\"]\n", "      disable: true\n", "prometheus: keeps running without a health check"},
		{"an upstream that is not there", gate, "upstream: https://cosmos:8081/", "upstream: https://cosmosdb:8081/", "no service on its networks is called cosmosdb"},
		{"an upstream under the wrong port", gate, "upstream: https://cosmos:8081/", "upstream: https://cosmos:8082/", "cosmos has no port 8082"},
		{"networks that do not meet", compose, "networks: [data, metrics]", "networks: [data]", "prometheus: no service on its networks is called gate"},
		{"a scrape of the wrong port", "deploy/prometheus/prometheus.yml", "gate:9090", "gate:8443", "gate:8443 is not the admin listener"},
		{"a data source that is not there", "deploy/grafana/provisioning/datasources/prometheus.yaml", "http://prometheus:9090", "http://mimir:9090", "grafana: no service on its networks is called mimir"},
		{"a key without a variable", compose, "COSMOS_EMULATOR_KEY: &emulator-key", "EMULATOR_KEY: &emulator-key", "variable COSMOS_EMULATOR_KEY leads to nothing"},
		{"a password without a variable", compose, "DEMO_PASSWORD: ${DEMO_PASSWORD:?}   #", "OTHER: ${DEMO_PASSWORD:?}   #", "realm.json: variable DEMO_PASSWORD leads to nothing"},
		{"a drain that is cut short", compose, "stop_grace_period: 40s", "stop_grace_period: 10s", "is killed before limits.drain"},
		{"a mount of nothing", compose, "./deploy/compose/policy:", "./deploy/compose/policies:", "deploy/compose/policies does not exist"},
		{"a configuration that can be written from inside", compose, "/etc/cosmosgate/policy:ro", "/etc/cosmosgate/policy", "could be written from inside"},
		{"a certificate that nobody makes", gate, "certificate: /run/cosmosgate/tls.crt, key: /run/cosmosgate/tls.key}}\n  scim", "certificate: /run/cosmosgate/gate.crt, key: /run/cosmosgate/tls.key}}\n  scim", "gate: /run/cosmosgate/gate.crt"},
		{"a policy outside every mount", gate, "path: /etc/cosmosgate/policy", "path: /etc/policy", `nothing is mounted at "/etc/policy"`},
		{"state on a read-only mount", gate, "path: /var/lib/cosmosgate/directory.db", "path: /run/cosmosgate/directory.db", "is not on a volume that can be written"},
		{"dashboards mounted elsewhere", "deploy/grafana/provisioning/dashboards/cosmosgate.yaml", "/var/lib/cosmosgate/dashboards", "/dashboards", "where no dashboard is mounted"},
		{"a base that floats", dockerfile, "golang:1.26.8-bookworm", "golang:latest", "base golang:latest is not pinned"},
		{"a Go that is too old", dockerfile, "golang:1.26.8", "golang:1.25.3", "its Go is older than go.mod asks for"},
		{"a container of root", dockerfile, "USER 65532:65532\n", "", `user "" is root`},
		{"a container of a named user", dockerfile, "USER 65532:65532", "USER nonroot", `user "nonroot" is root, or a name`},
		{"a download into the image", dockerfile, "COPY . .", "ADD https://example.com/src.tar.gz /src", "Dockerfile: uses ADD"},
		{"a secret in the environment", dockerfile, "USER 65532", "ENV SCIM_TOKEN=x\nUSER 65532", "bakes SCIM_TOKEN into the image"},
		{"a secret as build argument", dockerfile, "WORKDIR /src", "ARG NPM_TOKEN\nWORKDIR /src", "takes NPM_TOKEN as a build argument"},
		{"a key in the image", dockerfile, "USER 65532", "COPY server.key /tls/\nUSER 65532", "copies server.key into the image"},
		{"a binary that needs a C library", dockerfile, "CGO_ENABLED=0 ", "", "the build lacks CGO_ENABLED=0"},
		{"a binary that nobody makes", dockerfile, "-o /out/cosmosgate ", "-o /out/gate ", "copies /out/cosmosgate from stage build, which does not make it"},
		{"an entrypoint that is not there", dockerfile, `ENTRYPOINT ["/cosmosgate"]`, `ENTRYPOINT ["/bin/cosmosgate"]`, "entrypoint [/bin/cosmosgate] is not a program of the image"},
		{"an entrypoint through a shell", dockerfile, `ENTRYPOINT ["/cosmosgate"]`, `ENTRYPOINT /cosmosgate`, "is not a program of the image, in exec form"},
		{"no health check in the image", dockerfile, "HEALTHCHECK", "# HEALTHCHECK", "health check [] does not run the gate"},
		{"two command lines", dockerfile, `CMD ["serve", "--config"`, `CMD ["serve", "-c"`, "compose runs [serve --config"},
		{"a state folder elsewhere", dockerfile, "/out/lib/cosmosgate", "/out/lib/gate", "makes no folder for the volume of the state"},
		{"a state folder of root", dockerfile, "--chown=65532:65532 /out/lib", "/out/lib", "makes no folder for the volume of the state"},
		{"another realm", realm, `"realm": "cosmosgate"`, `"realm": "corp"`, "tokens name https://keycloak.localhost:9443/realms/corp"},
		{"another client", realm, `"clientId": "cosmosgate-cli"`, `"clientId": "cli"`, "realm: has no client cosmosgate-cli"},
		{"another audience", realm, `"api://cosmosgate"`, `"api://other"`, "audience is [api://other]"},
		{"an audience in ID tokens only", realm, `"included.custom.audience": "api://cosmosgate",` + "\n            \"access.token.claim\": \"true\"", `"included.custom.audience": "api://cosmosgate"`, "audience is []"},
		{"no subject", realm, "oidc-sub-mapper", "oidc-acr-mapper", "tokens lack the claim sub"},
		{"a password grant", realm, `"directAccessGrantsEnabled": false`, `"directAccessGrantsEnabled": true`, "hand over passwords"},
		{"no PKCE", realm, `"S256"`, `"plain"`, "does not demand PKCE"},
		{"a redirect to the world", realm, `"http://127.0.0.1/*"`, `"*"`, "redirects to *"},
		{"a password in the file", realm, `"${DEMO_PASSWORD}"`, `"hunter2"`, "the password of ann is in the file"},
		{"a person that the seed does not know", realm, "7c9e6679-7425-40de-944b-e07fc1f90001", "7c9e6679-7425-40de-944b-e07fc1f90009", "user ann is not the one that seed.sh pushes"},
		{"a group that the seed does not know", realm, `"id": "2f6e1c5a-7b0d-4c39-9f8e-1d2c3b4a5002"`, `"id": "2f6e1c5a-7b0d-4c39-9f8e-1d2c3b4a5003"`, "group shop-writers is not the one that seed.sh pushes"},
		{"a panel without a source", board, `"uid": "prometheus"`, `"uid": "other"`, "variable instance asks an unknown source"},
		{"a port that the page does not explain", compose, `"127.0.0.1:9091:9090"`, `"127.0.0.1:9095:9090"`, "does not say what is on port 9095"},
		{"a page that names a lost file", "docs/deploy.md", "certificates.sh", "certs.sh", "names deploy/compose/certs.sh, which does not exist"},
		{"panels on top of each other", board, `"x": 8,`, `"x": 0,`, "lies on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := judge(load(t, breakTree(t, c.file, c.old, c.new)), made)
			if !strings.Contains(f.String(), c.want) {
				t.Errorf("want a fault with %q, got:\n%s", c.want, f.String())
			}
		})
	}
}

func TestACertificateWithoutAServersNameIsFound(t *testing.T) {
	t.Parallel()
	dir := breakTree(t, "deploy/compose/certificates.sh", "DNS:$1,DNS:$1.localhost,", "")
	f := load(t, dir).CheckCertificates(certificates(t, dir))
	for _, want := range []string{"gate: its certificate is not good for gate", "keycloak: its certificate is not good for keycloak.localhost"} {
		if !strings.Contains(f.String(), want) {
			t.Errorf("want a fault with %q, got:\n%s", want, f.String())
		}
	}
}

// breakTree copies the deployment's files with one text replaced where it first stands.
func breakTree(t *testing.T, file, old, replacement string) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"docker-compose.yml", "Dockerfile", ".dockerignore", "deploy", "docs/deploy.md"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			to := filepath.Join(dir, strings.TrimPrefix(path, root))
			if entry.IsDir() {
				return os.MkdirAll(to, 0o700)
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(to, text, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} { // what the Dockerfile copies by name
		if err := os.WriteFile(filepath.Join(dir, name), []byte("go 1.26.0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
