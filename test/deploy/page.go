package deploy

import (
	"os"
	"regexp"
	"strings"
)

var pathForm = regexp.MustCompile("`?(deploy/[a-z/_-]+\\.[a-z]+)")

// CheckPage wants docs/deploy.md to name every published port, and no file that does not exist.
func (d *Deployment) CheckPage() Faults {
	var f Faults
	page, err := os.ReadFile(d.path("docs", "deploy.md"))
	if err != nil {
		f.add("docs/deploy.md: %v", err)
		return f
	}
	text := string(page)
	for name := range d.Compose.Services {
		for _, p := range d.Compose.Services[name].Ports {
			f.unless(strings.Contains(text, "localhost:"+p.Published), "docs/deploy.md: does not say what is on port %s", p.Published)
		}
	}
	f.unless(strings.Contains(text, "export "+secretVariable+"="), "docs/deploy.md: does not say to choose %s", secretVariable)
	for _, m := range pathForm.FindAllStringSubmatch(text, -1) {
		_, err := os.Stat(d.path(m[1])) //nolint:gosec // a page of this tree
		f.unless(err == nil, "docs/deploy.md: names %s, which does not exist", m[1])
	}
	return f
}
