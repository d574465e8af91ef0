package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sprout"
	"sprout/api"
)

// mostShown is how many machines a plan shows before it asks; --plan shows all.
const mostShown = 20

// A planLine is one row of a plan: a disk of a machine, or something else that
// happens to it.
type planLine struct {
	machine, site string // of the first row of a machine
	disk          *api.PlannedDisk
	what          string
}

// showPlan prints a plan for people: machine by machine, disk by disk, and what
// it all costs together.
func (e *env) showPlan(to io.Writer, r api.BulkResult, most int) {
	out := *e
	out.stdout = to
	var lines []planLine
	disks := false
	for _, item := range r.Items[:min(most, len(r.Items))] {
		rows := e.planLines(item, past[r.Action])
		rows[0].machine, rows[0].site = item.Name, item.Site
		for _, row := range rows {
			disks = disks || row.disk != nil
		}
		lines = append(lines, rows...)
	}
	if len(lines) == 0 {
		fmt.Fprintln(e.stderr, "no machine is selected: nothing would be done")
		return
	}
	writeTable(&out, lines, planColumns(disks))
	if more := len(r.Items) - most; more > 0 {
		fmt.Fprintf(to, "… and %s; --plan shows all\n", machinesMore(more))
	}
	if r.Cost != nil && r.Cost.Machines > 0 {
		fmt.Fprintln(to)
		writeLines(to, costLines(r))
	}
}

func machinesMore(n int) string {
	return strings.Replace(machines(n), " ", " more ", 1)
}

func planColumns(disks bool) []column[planLine] {
	columns := []column[planLine]{
		{Name: "MACHINE", Value: func(l planLine) string { return blank(l.machine) }},
		{Name: "SITE", Value: func(l planLine) string { return blank(l.site) }},
	}
	of := func(name string, value func(d api.PlannedDisk) string) column[planLine] {
		return column[planLine]{Name: name, Value: func(l planLine) string {
			if l.disk == nil {
				return " "
			}
			return value(*l.disk)
		}}
	}
	if disks {
		columns = append(columns,
			of("DISK", func(d api.PlannedDisk) string { return d.Name }), of("SIZE", func(d api.PlannedDisk) string { return size(d.Bytes) }),
			of("MODEL", func(d api.PlannedDisk) string { return d.Model }), of("SERIAL", func(d api.PlannedDisk) string { return d.Serial }))
	}
	return append(columns, column[planLine]{Name: "WHAT HAPPENS", Value: func(l planLine) string { return l.what }, Whole: true})
}

// blank keeps a cell empty that would else be dashed.
func blank(s string) string {
	if s == "" {
		return " "
	}
	return s
}

// past says of each action what then has happened to a machine.
var past = map[string]string{
	"accept": "is accepted", "commission": "is inspected and tested", "deploy": "is deployed", "release": "is released", "mark-broken": "is set aside",
	"mark-fixed": "is taken back", "retire": "is out of service", "lock": "is locked", "unlock": "is unlocked", "update": "is changed", "delete": "is deleted",
}

// planLines are the rows of one machine: at least one.
func (e *env) planLines(item api.BulkItem, otherwise string) (lines []planLine) {
	say := func(what string) { lines = append(lines, planLine{what: what}) }
	if item.Fault != nil {
		say(e.paint(e.stderr, yellow, "refused: ") + item.Fault.Err().Error())
		return lines
	}
	p := item.Plan
	for _, d := range p.Disks {
		lines = append(lines, planLine{disk: &d, what: e.fateWords(d)})
		for _, part := range d.Partitions {
			say(fmt.Sprintf("  %s %d %s, %s: %s", d.Name, part.Number, part.Name, size(part.Bytes), part.What))
		}
	}
	for _, what := range p.Destroys {
		say(e.paint(e.stderr, red, "lost: ") + what)
	}
	for _, what := range p.Addresses {
		say(what)
	}
	if p.FastTrack {
		start := ", and is started by kexec"
		if slices.ContainsFunc(p.Disks, func(d api.PlannedDisk) bool { return len(d.Partitions) > 0 }) {
			start = "" // what a layout made is started by the firmware
		}
		say("waits in the ramdisk: needs no power cycle" + start)
	}
	for _, what := range p.Warnings {
		say(e.paint(e.stderr, yellow, "beware: ") + what)
	}
	switch {
	case p.Becomes != "" && p.Becomes != item.State:
		say("becomes " + string(p.Becomes))
	case len(lines) == 0:
		say(otherwise + ", and stays " + string(item.State))
	}
	return lines
}

// fateWords says what happens to a disk.
func (e *env) fateWords(d api.PlannedDisk) string {
	lost := e.paint(e.stderr, red, "what is on it is lost")
	if d.Empty {
		lost = "it is empty: nothing is lost"
	}
	switch d.Fate {
	case api.DiskOverwritten:
		return "is overwritten; " + lost
	case api.DiskErased:
		if d.Method == "" {
			return "is erased and read back; " + lost
		}
		words := fmt.Sprintf("is erased by %s and read back (%s) in about %s", d.Method, d.Proof, seconds(d.Seconds))
		if d.Why != "" {
			words += " (not by " + d.Why + ")"
		}
		return words + "; " + lost
	case api.DiskUnsure:
		return "may be overwritten"
	}
	if d.Why != "" {
		return "is left as it is: it " + d.Why
	}
	return "is left as it is"
}

// costLines sum a plan up.
func costLines(r api.BulkResult) []line {
	c := r.Cost
	lines := []line{{"Time", timeWords(r)}}
	for _, s := range c.Sites {
		words := machines(s.Machines)
		switch {
		case s.Addresses > 0:
			words += ", " + suffixed(s.Addresses, "addresses taken", "address taken")
		case s.Addresses < 0:
			words += ", " + suffixed(-s.Addresses, "addresses given back", "address given back")
		}
		lines = append(lines, line{"At " + s.Site, words})
		if s.Traffic > 0 {
			lines = append(lines, line{"  sends", size(s.Traffic) + " over its provisioning network"},
				line{"  fetches", size(s.Uplink) + " from the control plane, unless it has the image"})
		}
	}
	switch {
	case c.Disks > 0:
		lines = append(lines, line{"Lost", fmt.Sprintf("what is on %s, %s together, of %s", suffixed(c.Disks, "disks", "disk"), size(c.Bytes), machines(c.Destructive))})
	case c.Destructive > 0:
		lines = append(lines, line{"Lost", "see above, of " + machines(c.Destructive)})
	}
	return lines
}

// timeWords says how long it usually takes, by model.
func timeWords(r api.BulkResult) string {
	var words []string
	seen := map[api.UsualRun]bool{}
	unknown := false
	for _, item := range r.Items {
		if item.Plan == nil || item.Plan.Becomes == "" || item.Plan.Becomes == sprout.Broken || item.Plan.Becomes == sprout.Registered {
			continue
		}
		u := item.Plan.Usual
		if u == nil || u.P50 == 0 {
			unknown = true
			continue
		}
		if !seen[*u] {
			seen[*u] = true
			words = append(words, fmt.Sprintf("usually %s, at most %s in 95 of 100 (%d runs on %s)", seconds(u.P50), seconds(u.P95), u.Runs, strings.TrimSpace(u.Vendor+" "+u.Model)))
		}
	}
	if unknown {
		words = append(words, "not known where fewer than 3 past runs are on record for the model")
	}
	return strings.Join(words, "; ")
}
