package deploy

import (
	"fmt"
	"go/version"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Image is a Dockerfile, in the parts that matter.
type Image struct {
	Stages     []instructions.Stage
	User       string
	Exposed    []string
	Entrypoint []string
	Command    []string
	Health     []string
	BuildRun   string                      // the shell line that builds the binary
	Copies     []*instructions.CopyCommand // of the last stage
	shellForm  bool
}

func (d *Deployment) readImage() error {
	file, err := os.Open(d.path("Dockerfile"))
	if err != nil {
		return fmt.Errorf("reading the Dockerfile: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	parsed, err := parser.Parse(file)
	if err != nil {
		return fmt.Errorf("parsing the Dockerfile: %w", err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return fmt.Errorf("parsing the Dockerfile: %w", err)
	}
	d.Image = Image{Stages: stages}
	for i := range stages {
		for _, c := range stages[i].Commands {
			d.Image.read(c, i == len(stages)-1)
		}
	}
	return nil
}

func (i *Image) read(c instructions.Command, last bool) {
	if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
		i.BuildRun = strings.Join(run.CmdLine, " ")
	}
	if !last {
		return
	}
	switch c := c.(type) {
	case *instructions.UserCommand:
		i.User = c.User
	case *instructions.ExposeCommand:
		i.Exposed = append(i.Exposed, c.Ports...)
	case *instructions.EntrypointCommand:
		i.Entrypoint, i.shellForm = c.CmdLine, i.shellForm || c.PrependShell
	case *instructions.CmdCommand:
		i.Command, i.shellForm = c.CmdLine, i.shellForm || c.PrependShell
	case *instructions.HealthCheckCommand:
		i.Health = c.Health.Test
	case *instructions.CopyCommand:
		i.Copies = append(i.Copies, c)
	}
}

var (
	secretForm  = regexp.MustCompile(`(?i)password|secret|token|api_?key|private`)
	keyFileForm = regexp.MustCompile(`(?i)\.(key|pem|pfx|env)$|\.ssh|id_rsa`)
	outputForm  = regexp.MustCompile(`-o (\S+)`)
)

// CheckImage lints the Dockerfile, and holds it against the compose file.
func (d *Deployment) CheckImage() Faults {
	var f Faults
	i := &d.Image
	for n := range i.Stages {
		d.checkStage(&f, n)
	}
	f.unless(d.toolchainFits(), "Dockerfile: its Go is older than go.mod asks for, and does not download another")
	f.unless(numericUser(i.User), "Dockerfile: user %q is root, or a name", i.User)
	for _, flag := range []string{"CGO_ENABLED=0", "-trimpath", "./cmd/cosmosgate"} {
		f.unless(strings.Contains(i.BuildRun, flag), "Dockerfile: the build lacks %s", flag)
	}
	f.unless(!i.shellForm && len(i.Entrypoint) == 1 && i.has(i.Entrypoint[0]),
		"Dockerfile: entrypoint %v is not a program of the image, in exec form", i.Entrypoint)
	f.unless(len(i.Health) > 1 && i.Health[0] == "CMD" && slices.Equal(i.Health[1:2], i.Entrypoint),
		"Dockerfile: health check %v does not run the gate", i.Health)
	gate := d.Compose.Services[gateService]
	f.unless(slices.Equal(i.Command, gate.Command), "compose runs %v, the image %v", gate.Command, i.Command)
	f.unless(i.User == gate.User, "compose runs as %s, the image as %s", gate.User, i.User)
	state := mount(gate, d.Config.Directory.Path)
	f.unless(state != nil && i.makes(state.Target), "Dockerfile: makes no folder for the volume of the state, so that root would own it")
	if h := gate.HealthCheck; h != nil && len(h.Test) > 1 {
		f.unless(slices.Equal(h.Test[1:2], i.Entrypoint), "compose's health check does not run the gate")
	}
	return f
}

// has says whether a path of the last stage was copied there.
func (i *Image) has(path string) bool {
	return slices.ContainsFunc(i.Copies, func(c *instructions.CopyCommand) bool { return c.DestPath == path })
}

// makes says whether a folder comes, with the image's user as its owner, from inside a folder that the build made. The folder
// that a COPY names is not enough: only what is in it surely takes the owner.
func (i *Image) makes(folder string) bool {
	return slices.ContainsFunc(i.Copies, func(c *instructions.CopyCommand) bool {
		rest, below := strings.CutPrefix(folder, c.DestPath+"/")
		return below && c.Chown == i.User && strings.Contains(i.BuildRun, c.SourcePaths[0]+"/"+rest)
	})
}

func (d *Deployment) checkStage(f *Faults, n int) {
	s := &d.Image.Stages[n]
	earlier := slices.ContainsFunc(d.Image.Stages[:n], func(e instructions.Stage) bool { return e.Name != "" && e.Name == s.BaseName })
	f.unless(s.BaseName == "scratch" || earlier || tagForm.MatchString(s.BaseName), "Dockerfile: base %s is not pinned to a version", s.BaseName)
	for _, c := range s.Commands {
		switch c := c.(type) {
		case *instructions.AddCommand:
			f.add("Dockerfile: uses ADD")
		case *instructions.RunCommand:
			f.unless(s.BaseName != "scratch", "Dockerfile: runs a shell on an empty base")
		case *instructions.CopyCommand:
			d.checkCopy(f, c)
		case *instructions.EnvCommand:
			for _, e := range c.Env {
				f.unless(!secretForm.MatchString(e.Key), "Dockerfile: bakes %s into the image", e.Key)
			}
		case *instructions.ArgCommand:
			for _, a := range c.Args {
				f.unless(!secretForm.MatchString(a.Key), "Dockerfile: takes %s as a build argument, which the image's history keeps", a.Key)
			}
		}
	}
}

// checkCopy wants sources that are there: in the tree, or made by an earlier stage.
func (d *Deployment) checkCopy(f *Faults, c *instructions.CopyCommand) {
	for _, source := range c.SourcePaths {
		f.unless(!keyFileForm.MatchString(source), "Dockerfile: copies %s into the image", source)
		if c.From == "" {
			_, err := os.Stat(d.path(source))
			f.unless(err == nil, "Dockerfile: copies %s, which does not exist", source)
			continue
		}
		_, known := instructions.HasStage(d.Image.Stages, c.From)
		made := !strings.HasPrefix(source, "/out/") || strings.Contains(d.Image.BuildRun, source)
		f.unless(known && made, "Dockerfile: copies %s from stage %s, which does not make it", source, c.From)
	}
}

var (
	golangForm = regexp.MustCompile(`^golang:([0-9.]+)`)
	goForm     = regexp.MustCompile(`(?m)^(?:go|toolchain go) ?([0-9.]+)$`)
)

// toolchainFits says whether the image that builds has a Go that go.mod accepts.
func (d *Deployment) toolchainFits() bool {
	text, err := os.ReadFile(d.path("go.mod"))
	m := golangForm.FindStringSubmatch(d.Image.Stages[0].BaseName)
	if err != nil || m == nil {
		return false
	}
	for _, wanted := range goForm.FindAllStringSubmatch(string(text), -1) {
		if version.Compare("go"+m[1], "go"+wanted[1]) < 0 {
			return false
		}
	}
	return true
}

// Output is where the build puts the binary.
func (i *Image) Output() string {
	if m := outputForm.FindStringSubmatch(i.BuildRun); m != nil {
		return m[1]
	}
	return ""
}
