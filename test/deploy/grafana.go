package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Grafana is what is provisioned.
type Grafana struct {
	Sources   []GrafanaSource
	Providers []GrafanaProvider
	Boards    []Board
}

// GrafanaSource is a data source.
type GrafanaSource struct {
	UID  string `yaml:"uid"`
	Type string `yaml:"type"`
	URL  string `yaml:"url"`
}

// GrafanaProvider is a folder of dashboards.
type GrafanaProvider struct {
	Name    string `yaml:"name"`
	Options struct {
		Path string `yaml:"path"`
	} `yaml:"options"`
}

// Board is a dashboard.
type Board struct {
	UID        string  `json:"uid"`
	Title      string  `json:"title"`
	Panels     []Panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string    `json:"name"`
			Definition string    `json:"definition"`
			Source     reference `json:"datasource"`
		} `json:"list"`
	} `json:"templating"`
}

// Panel is one panel of a dashboard, or the title of a row.
type Panel struct {
	ID      int       `json:"id"`
	Type    string    `json:"type"`
	Title   string    `json:"title"`
	Source  reference `json:"datasource"`
	GridPos struct {
		H int `json:"h"`
		W int `json:"w"`
		X int `json:"x"`
		Y int `json:"y"`
	} `json:"gridPos"`
	Targets []struct {
		Source reference `json:"datasource"`
		Expr   string    `json:"expr"`
		Legend string    `json:"legendFormat"`
	} `json:"targets"`
}

type reference struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

func (d *Deployment) readGrafana() error {
	base := d.path("deploy", "grafana")
	var sources struct {
		List []GrafanaSource `yaml:"datasources"`
	}
	var providers struct {
		List []GrafanaProvider `yaml:"providers"`
	}
	err := errors.Join(
		decode(filepath.Join(base, "provisioning", "datasources", "prometheus.yaml"), yaml.Unmarshal, &sources),
		decode(filepath.Join(base, "provisioning", "dashboards", "cosmosgate.yaml"), yaml.Unmarshal, &providers))
	d.Grafana = Grafana{Sources: sources.List, Providers: providers.List}
	names, globErr := filepath.Glob(filepath.Join(base, "dashboards", "*.json"))
	if err = errors.Join(err, globErr); err != nil {
		return err
	}
	for _, name := range names {
		var b Board
		if err := decode(name, json.Unmarshal, &b); err != nil {
			return err
		}
		d.Grafana.Boards = append(d.Grafana.Boards, b)
	}
	return nil
}

// CheckBoards judges dashboards apart from their queries: they are found, and each panel has its own place and source.
func (d *Deployment) CheckBoards() Faults {
	var f Faults
	f.unless(len(d.Grafana.Boards) > 0, "grafana: there is no dashboard")
	known := func(r reference) bool {
		return slices.ContainsFunc(d.Grafana.Sources, func(s GrafanaSource) bool { return s.UID == r.UID && s.Type == r.Type })
	}
	for _, p := range d.Grafana.Providers {
		on, err := d.HostPath("grafana", p.Options.Path, "")
		f.unless(err == nil && on == d.path("deploy", "grafana", "dashboards"), "grafana: provider %s reads %s, where no dashboard is mounted", p.Name, p.Options.Path)
	}
	for i := range d.Grafana.Boards {
		b := &d.Grafana.Boards[i]
		for _, v := range b.Templating.List {
			f.unless(known(v.Source), "%s: variable %s asks an unknown source", b.Title, v.Name)
		}
		places, ids := map[string]string{}, map[int]bool{}
		for n := range b.Panels {
			p := &b.Panels[n]
			f.unless(!ids[p.ID], "%s: panel %q has the id of another", b.Title, p.Title)
			ids[p.ID] = true
			place := path.Join(fmt.Sprint(p.GridPos.X), fmt.Sprint(p.GridPos.Y))
			f.unless(places[place] == "" && p.GridPos.X+p.GridPos.W <= 24, "%s: panel %q lies on %q", b.Title, p.Title, places[place])
			places[place] = p.Title
			f.unless(p.Type == "row" || known(p.Source), "%s: panel %q has no known source", b.Title, p.Title)
			for _, t := range p.Targets {
				f.unless(known(t.Source), "%s: panel %q asks an unknown source", b.Title, p.Title)
			}
			f.unless(p.Type == "row" || len(p.Targets) > 0, "%s: panel %q asks nothing", b.Title, p.Title)
		}
	}
	return f
}
