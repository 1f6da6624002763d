package deploy

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"regexp"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// Metric is one series name as a gate exposes it.
type Metric struct {
	Counter bool
	Labels  map[string]map[string]bool // label → the values seen
}

// Exposed is what gates expose, by series name.
type Exposed map[string]*Metric

// Add reads one answer of /metrics.
func (e Exposed) Add(text io.Reader) error {
	read := expfmt.NewTextParser(model.LegacyValidation)
	families, err := read.TextToMetricFamilies(text)
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			switch kind := family.GetType(); kind {
			case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
				e.series(name+"_bucket", m, true)["le"] = nil
				e.series(name+"_sum", m, true)
				e.series(name+"_count", m, true)
			case dto.MetricType_SUMMARY:
				e.series(name, m, false)["quantile"] = nil
				e.series(name+"_sum", m, true)
				e.series(name+"_count", m, true)
			case dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_UNTYPED:
				e.series(name, m, kind == dto.MetricType_COUNTER)
			}
		}
	}
	return nil
}

func (e Exposed) series(name string, m *dto.Metric, counter bool) map[string]map[string]bool {
	if e[name] == nil {
		e[name] = &Metric{Counter: counter, Labels: map[string]map[string]bool{}}
	}
	seen := e[name].Labels
	for _, l := range m.GetLabel() {
		if seen[l.GetName()] == nil {
			seen[l.GetName()] = map[string]bool{}
		}
		seen[l.GetName()][l.GetValue()] = true
	}
	return seen
}

// scraped adds what Prometheus adds: up, and the labels of the target.
func (d *Deployment) scraped(e Exposed) Exposed {
	out := Exposed{"up": {Labels: map[string]map[string]bool{}}}
	for name, m := range e {
		out[name] = &Metric{Counter: m.Counter, Labels: map[string]map[string]bool{}}
		maps.Copy(out[name].Labels, m.Labels)
	}
	for _, m := range out {
		m.Labels["instance"], m.Labels["job"] = nil, map[string]bool{}
		for _, s := range d.Prometheus.ScrapeConfigs {
			m.Labels["job"][s.JobName] = true
		}
	}
	return out
}

var (
	legendForm     = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	annotationForm = regexp.MustCompile(`\$labels\.(\w+)`)
	variables      = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".+")
	labelValues    = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)
)

// CheckQueries holds every query of dashboards and alerts against what gates expose: series, labels, and values asked for.
func (d *Deployment) CheckQueries(e Exposed) Faults {
	var f Faults
	e = d.scraped(e)
	for i := range d.Grafana.Boards {
		b := &d.Grafana.Boards[i]
		for n := range b.Panels {
			for _, t := range b.Panels[n].Targets {
				e.check(&f, "panel "+b.Panels[n].Title, t.Expr, legendForm.FindAllStringSubmatch(t.Legend, -1))
			}
		}
		for _, v := range b.Templating.List {
			m := labelValues.FindStringSubmatch(v.Definition)
			if m == nil {
				f.add("variable %s: %q is not label_values(series, label)", v.Name, v.Definition)
				continue
			}
			e.check(&f, "variable "+v.Name, m[1], [][]string{{"", m[2]}})
		}
	}
	return append(f, d.checkRules(e)...)
}

func (d *Deployment) checkRules(e Exposed) Faults {
	var f Faults
	groups, errs := rulefmt.Parse([]byte(d.Prometheus.Rules), false, model.LegacyValidation, promQL(), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		f.add("alerts: %v", err)
	}
	if groups == nil {
		return f
	}
	rules := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			rules++
			e.check(&f, "alert "+r.Alert, r.Expr, annotationForm.FindAllStringSubmatch(r.Annotations["summary"], -1))
			f.unless(r.Annotations["summary"] != "" && r.Labels["severity"] != "", "alert %s: has no summary or severity", r.Alert)
		}
	}
	f.unless(rules > 0, "alerts: there is no rule")
	return f
}

func promQL() parser.Parser { return parser.NewParser(parser.Options{}) }

// check judges one query; shown are the labels that its legend or text names.
func (e Exposed) check(f *Faults, where, text string, shown [][]string) {
	expr, err := promQL().ParseExpr(variables.Replace(text))
	if err != nil {
		f.add("%s: %v", where, err)
		return
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			e.checkSelector(f, where, n)
		case *parser.Call:
			e.checkCall(f, where, n)
		case *parser.AggregateExpr:
			have := e.labels(n.Expr)
			for _, l := range n.Grouping {
				f.unless(n.Without || have[l], "%s: groups by %s, which %s does not have", where, l, n.Expr)
			}
		}
		return nil
	})
	have := e.labels(expr)
	for _, m := range shown {
		f.unless(have[m[1]], "%s: shows label %s, which the result does not have", where, m[1])
	}
}

func (e Exposed) checkSelector(f *Faults, where string, s *parser.VectorSelector) {
	metric := e[s.Name]
	if metric == nil {
		f.add("%s: no gate exposes %s", where, s.Name)
		return
	}
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		values, ok := metric.Labels[m.Name]
		f.unless(ok, "%s: %s has no label %s", where, s.Name, m.Name)
		if ok && values != nil && m.Type == labels.MatchEqual {
			f.unless(values[m.Value], "%s: %s never has %s=%q", where, s.Name, m.Name, m.Value)
		}
	}
}

// checkCall wants rates of counters only, and quantiles of buckets.
func (e Exposed) checkCall(f *Faults, where string, c *parser.Call) {
	switch c.Func.Name {
	case "rate", "increase", "irate":
		if m, ok := c.Args[0].(*parser.MatrixSelector); ok {
			s, ok := m.VectorSelector.(*parser.VectorSelector)
			f.unless(!ok || e[s.Name] == nil || e[s.Name].Counter, "%s: takes the %s of %s, which is not a counter", where, c.Func.Name, m.VectorSelector)
		}
	case "histogram_quantile":
		f.unless(e.labels(c.Args[1])["le"], "%s: takes a quantile without le", where)
	}
}

// labels returns the labels that the result of an expression has.
func (e Exposed) labels(x parser.Expr) map[string]bool {
	have := map[string]bool{}
	switch x := x.(type) {
	case *parser.VectorSelector:
		if m := e[x.Name]; m != nil {
			for l := range m.Labels {
				have[l] = true
			}
		}
	case *parser.AggregateExpr:
		return e.aggregated(x)
	default:
		for n := range parser.ChildrenIter(x) {
			if child, ok := n.(parser.Expr); ok {
				maps.Copy(have, e.labels(child))
			}
		}
	}
	return have
}

// aggregated returns the labels that an aggregation leaves.
func (e Exposed) aggregated(x *parser.AggregateExpr) map[string]bool {
	have := map[string]bool{}
	if x.Without || x.Op == parser.TOPK || x.Op == parser.BOTTOMK {
		have = e.labels(x.Expr)
	}
	for _, l := range x.Grouping {
		if x.Without {
			delete(have, l)
		} else {
			have[l] = true
		}
	}
	return have
}
