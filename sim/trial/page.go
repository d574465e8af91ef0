package trial

import (
	"fmt"
	"html/template"
	"io"
	"time"
)

// WriteHTML writes the report as one page that asks for nothing else: styles and
// plots are in it.
func (r Report) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"sec": seconds, "f0": func(v float64) string { return fmt.Sprintf("%.0f", v) },
		"kb":   func(v float64) string { return fmt.Sprintf("%.1f kB", v/1000) },
		"ms":   func(v float64) string { return fmt.Sprintf("%.0f ms", 1000*v) },
		"each": func(s Statement) string { return fmt.Sprintf("%.2f", 1000*s.Seconds/float64(max(s.Count, 1))) },
		"lasts": func(v float64) string {
			return time.Duration(v * float64(time.Second)).Round(100 * time.Millisecond).String()
		},
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("cannot make the page: %w", err)
	}
	return page.Execute(w, struct {
		Report
		Completion, Memory, CPU, Bars template.HTML
	}{r, r.plotCompletion(), r.plotMemory(), r.plotCPU(), r.plotSteps()})
}

func (r Report) plotCompletion() template.HTML {
	return plot{Title: "Machines that came so far", Unit: "machines", Lines: []line{
		r.line("discovered", func(p Point) float64 { return float64(p.Discovered) }),
		r.line("ready", func(p Point) float64 { return float64(p.Ready) }),
		r.line("deployed", func(p Point) float64 { return float64(p.Deployed) }),
		r.line("ended", func(p Point) float64 { return float64(p.Ended) }),
	}}.svg()
}

func (r Report) plotMemory() template.HTML {
	return plot{Title: "Memory", Unit: "MB", Lines: []line{
		r.line("server, agents, machines", func(p Point) float64 { return p.MemoryMB }),
		r.line("of it Go heap", func(p Point) float64 { return p.HeapMB }),
		r.line("PostgreSQL", func(p Point) float64 { return p.PostgresMB }),
	}}.svg()
}

func (r Report) plotCPU() template.HTML {
	return plot{Title: "Processors in use", Unit: "processors", Lines: []line{
		r.slope("server, agents, machines", func(p Point) float64 { return p.CPUSeconds }),
		r.slope("PostgreSQL", func(p Point) float64 { return p.PostgresCPU }),
	}}.svg()
}

// plotSteps shows the steps of workflows; what the machine times itself is in
// the table.
func (r Report) plotSteps() template.HTML {
	var bars []bar
	for _, s := range r.Steps {
		if s.At != "machine" {
			bars = append(bars, bar{s.At + ": " + s.Name, []float64{s.P50, s.P95, s.P99}})
		}
	}
	return barsSVG("Seconds of each step: p50, p95, p99", bars)
}

// line takes a value of every point.
func (r Report) line(name string, of func(Point) float64) line {
	l := line{Name: name}
	for _, p := range r.Timeline {
		l.X, l.Y = append(l.X, p.Seconds), append(l.Y, of(p))
	}
	return l
}

// slope takes the rise of a value from point to point.
func (r Report) slope(name string, of func(Point) float64) line {
	l := line{Name: name}
	for i, p := range r.Timeline {
		if i == 0 {
			continue
		}
		last := r.Timeline[i-1]
		if dt := p.Seconds - last.Seconds; dt > 0.1 {
			l.X, l.Y = append(l.X, p.Seconds), append(l.Y, max((of(p)-of(last))/dt, 0))
		}
	}
	return l
}

const pageText = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sprout: {{.Summary}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top }
th { border-bottom: 1px solid #999 } td.n, th.n { text-align: right } code { font-size: .85em; overflow-wrap: anywhere }
.bad { color: #b00020; font-weight: 600 } svg { width: 100%; height: auto; margin: .8rem 0 } svg text { font: 12px system-ui, sans-serif; fill: #444 }
</style></head><body>
<h1>{{.Setup.Machines}} simulated machines at {{.Setup.Sites}} sites</h1>
<p>{{.Summary}}, in {{lasts .Seconds}}.{{if .Interrupted}} <span class="bad">Stopped before the end.</span>{{end}}</p>
<p>Workflow {{.Setup.Workflow}}, {{.Setup.Concurrency}} machines at once, link {{.Setup.Link}}, seed {{.Setup.Seed}}, image of {{.Setup.ImageBytes}} bytes,
{{.Setup.Processors}} processors, {{.Setup.Go}}, Sprout {{.Version}}, {{.Began.Format "2006-01-02 15:04:05 MST"}}.</p>
{{range .Violations}}<p class="bad">Never: {{.}}</p>{{end}}
<table><tr><th></th><th class="n">machines</th><th class="n">per minute</th></tr>
<tr><td>discovered</td><td class="n">{{.Reached.Discovered}}</td><td class="n">{{f0 .PerMinute.Discovered}}</td></tr>
<tr><td>ready</td><td class="n">{{.Reached.Ready}}</td><td class="n">{{f0 .PerMinute.Ready}}</td></tr>
<tr><td>deployed</td><td class="n">{{.Reached.Deployed}}</td><td class="n">{{f0 .PerMinute.Deployed}}</td></tr></table>
{{.Completion}}
{{if .Faults}}<h2>Faults injected</h2><table>{{range $name, $n := .Faults}}<tr><td>{{$name}}</td><td class="n">{{$n}}</td></tr>{{end}}</table>{{end}}
{{if .Causes}}<h2>Failures of workflows</h2><table><tr><th class="n">count</th><th>cause</th><th>step</th><th>example</th></tr>
{{range .Causes}}<tr><td class="n">{{.Count}}</td><td>{{.Code}}</td><td>{{.Step}}</td><td>{{.Example}}</td></tr>{{end}}</table>{{end}}
{{if .Early}}<h2>Machines that did not come to the goal</h2><table><tr><th>machine</th><th>site</th><th>outcome</th><th>at</th><th>why</th></tr>
{{range .Early}}<tr><td>{{.Machine}}</td><td>{{.Site}}</td><td>{{.Outcome}}</td><td>{{.Stage}}</td><td>{{.Reason}}</td></tr>{{end}}</table>{{end}}
<h2>Steps</h2>
{{.Bars}}
<table><tr><th>timed by</th><th>step</th><th class="n">count</th><th class="n">p50 s</th><th class="n">p95 s</th><th class="n">p99 s</th><th class="n">max s</th></tr>
{{range .Steps}}<tr><td>{{.At}}</td><td>{{.Name}}</td><td class="n">{{.Count}}</td><td class="n">{{sec .P50}}</td><td class="n">{{sec .P95}}</td><td class="n">{{sec .P99}}</td><td class="n">{{sec .Max}}</td></tr>
{{end}}</table>
<h2>Cost</h2>
<p>Server, agents and simulated machines are one process; PostgreSQL is others.</p>
{{.Memory}}{{.CPU}}
{{with .Cost}}<table><tr><th></th><th class="n">in all</th><th class="n">a machine</th></tr>
<tr><td>processor time</td><td class="n">{{f0 .CPUSeconds}} s, PostgreSQL {{f0 .PostgresSeconds}} s</td><td class="n">{{ms .CPUPerMachine}}</td></tr>
{{if .ServerCPU}}<tr><td>of it server, agents, machines</td><td class="n">{{f0 .ServerCPU}} s, {{f0 .AgentsCPU}} s, {{f0 .MachinesCPU}} s</td><td></td></tr>
{{end}}<tr><td>peak memory</td><td class="n">{{f0 .PeakMemoryMB}} MB, PostgreSQL {{f0 .PeakPostgresMB}} MB</td><td class="n">{{f0 .MemoryPerMachine}} KiB</td></tr>
<tr><td>of it server and agents</td><td class="n">{{f0 .ProductMB}} MB</td><td></td></tr>
<tr><td>agents, once all is done</td><td class="n">{{f0 .AgentsMB}} MB</td><td class="n">{{f0 .AgentPerMachine}} KiB</td></tr>
<tr><td>SQL statements</td><td></td><td class="n">{{f0 .SQLPerMachine}} in {{f0 .TxPerMachine}} transactions</td></tr>
<tr><td>on the bus</td><td></td><td class="n">{{kb .BusPerMachine}}</td></tr>
<tr><td>between agents and API</td><td></td><td class="n">{{kb .APIPerMachine}}</td></tr></table>{{end}}
<h2>Statements that were waited for most</h2>
<table><tr><th class="n">count</th><th class="n">ms each</th><th>statement</th></tr>
{{range .Most}}<tr><td class="n">{{.Count}}</td><td class="n">{{each .}}</td><td><code>{{.SQL}}</code></td></tr>{{end}}</table>
</body></html>
`
