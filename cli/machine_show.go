package cli

import (
	"cmp"
	"fmt"
	"strings"

	"sprout"
)

func (e *env) showMachine(m sprout.Machine) {
	writeLines(e.stdout, []line{
		{"Name", m.Name}, {"Site", m.SiteName}, {"State", string(m.State)}, {"Doing", doing(m)}, {"Waits for", reason(m)},
		{"Power", powerLine(m)}, {"Rests", restLine(m)}, {"Owner", m.Owner}, {"Image", m.Image}, {"Digest", m.ImageDigest}, {"Rescue", shellLine(m.Shell)}, {"Addresses", machineAddresses(m)},
		{"Flags", flags(m)}, {"Tags", strings.Join(m.Tags, ", ")}, {"Labels", m.Labels.String()}, {"Pool", m.Pool}, {"Zone", m.Zone},
		{"Architecture", string(m.Architecture)}, {"Boot mode", string(m.BootMode)}, {"BMC", bmcLine(m)}, {"BMC says", aboutLine(m.BMCAbout)}, {"Id", string(m.ID)},
	})
	e.showQuirks(m.BMCAbout)
	e.showInterfaces(m)
	e.showInventory(m.Inventory)
	e.showTests(m)
	e.showProblems(m.Problems)
}

func shellLine(s *sprout.Shell) string {
	if s == nil {
		return ""
	}
	return s.String()
}

func powerLine(m sprout.Machine) string {
	if m.PowerAt == nil {
		return string(m.Power)
	}
	return fmt.Sprintf("%s (%s)", m.Power, ago(m.PowerAt))
}

func restLine(m sprout.Machine) string {
	if m.RestsUntil == nil {
		return ""
	}
	return "in the ramdisk until " + moment(*m.RestsUntil) + ": a deploy needs no power cycle"
}

func flags(m sprout.Machine) string {
	var on []string
	if m.Locked {
		on = append(on, "locked")
	}
	if m.Protected {
		on = append(on, "protected")
	}
	if m.SecureBoot {
		on = append(on, "secure-boot")
	}
	if m.VirtualMedia {
		on = append(on, "virtual-media")
	}
	if m.RecordConsole {
		on = append(on, "record-console")
	}
	return strings.Join(on, ", ")
}

// bmcLine is the machine's BMC; of one that has none, where it says that one is.
func bmcLine(m sprout.Machine) string {
	switch {
	case m.BMC != nil:
		return strings.TrimSpace(m.BMC.Driver + " " + m.BMC.URL)
	case m.Inventory == nil || m.Inventory.BMC == nil:
		return ""
	}
	at := sprout.BMCURL("https://"+sprout.AddressField, m.Inventory.BMC.Address)
	return fmt.Sprintf("none; the machine says that it has one: sprout machine update %s --bmc-url %s --bmc-user … --bmc-password -", m.Name, at)
}

func aboutLine(a *sprout.BMCAbout) string {
	if a == nil {
		return ""
	}
	text := plainCell(strings.TrimSpace(a.Vendor + " " + a.Model))
	if a.Firmware == "" {
		return text
	}
	return strings.TrimPrefix(text+", firmware "+plainCell(a.Firmware), ", ")
}

// showQuirks tells what is done otherwise at the machine's BMC.
func (e *env) showQuirks(a *sprout.BMCAbout) {
	if a == nil || len(a.Quirks) == 0 {
		return
	}
	fmt.Fprintln(e.stdout, "\nQuirks of the BMC")
	writeTable(e, a.Quirks, []column[sprout.Quirk]{
		{Name: "  QUIRK", Value: func(q sprout.Quirk) string { return "  " + q.Name }},
		{Name: "DONE OTHERWISE", Value: func(q sprout.Quirk) string { return q.Does }},
	})
}

func (e *env) showInterfaces(m sprout.Machine) {
	if len(m.Interfaces) == 0 {
		return
	}
	fmt.Fprintln(e.stdout, "\nInterfaces")
	writeTable(e, m.Interfaces, []column[sprout.Interface]{
		{Name: "  NAME", Value: func(i sprout.Interface) string { return "  " + dash(i.Name) }},
		{Name: "MAC", Value: func(i sprout.Interface) string { return i.MAC }},
		{Name: "BOOT", Value: func(i sprout.Interface) string { return yesNo(i.Boot) }},
		{Name: "LINK", Value: func(i sprout.Interface) string { return yesNo(i.Link) }},
		{Name: "DRIVER", Value: func(i sprout.Interface) string { return i.Driver }},
	})
}

func (e *env) showInventory(inv *sprout.Inventory) {
	if inv == nil {
		return
	}
	fmt.Fprintln(e.stdout, "\nInventory")
	writeLines(e.stdout, []line{
		{"  Seen", moment(inv.At)}, {"  System", strings.TrimSpace(inv.Vendor + " " + inv.Model)}, {"  Serial", inv.Serial}, {"  Firmware", inv.Firmware},
		{"  CPU", fmt.Sprintf("%s, %d cores, %d threads", inv.CPU.Model, inv.CPU.Cores, inv.CPU.Threads)}, {"  Memory", memory(inv.MemoryBytes)},
	})
	writeTable(e, inv.Disks, []column[sprout.Disk]{
		{Name: "  DISK", Value: func(d sprout.Disk) string { return "  " + d.Name }},
		{Name: "SIZE", Value: func(d sprout.Disk) string { return size(d.Bytes) }},
		{Name: "MODEL", Value: func(d sprout.Disk) string { return d.Model }},
		{Name: "SERIAL", Value: func(d sprout.Disk) string { return d.Serial }},
		{Name: "BUS", Value: func(d sprout.Disk) string { return d.Bus }},
	})
}

func (e *env) showTests(m sprout.Machine) {
	if m.TestsSkipped {
		fmt.Fprintln(e.stdout, "\nTests: skipped: "+cmp.Or(m.SkipReason, "on request"))
		return
	}
	if len(m.Tests) == 0 {
		return
	}
	fmt.Fprintln(e.stdout, "\nTests")
	writeTable(e, m.Tests, []column[sprout.TestResult]{
		{Name: "  TEST", Value: func(t sprout.TestResult) string { return "  " + t.Test }},
		{Name: "DEVICE", Value: func(t sprout.TestResult) string { return t.Device }},
		{Name: "OUTCOME", Value: func(t sprout.TestResult) string { return string(t.Outcome) }},
		{Name: "FIGURES", Value: figures},
		{Name: "MESSAGE", Value: func(t sprout.TestResult) string { return t.Message }},
	})
}

func figures(t sprout.TestResult) string {
	var all []string
	for _, m := range t.Metrics {
		all = append(all, figure(m))
	}
	return strings.Join(all, ", ")
}

// figure writes a metric: a count has no unit to be written.
func figure(m sprout.Metric) string {
	switch m.Unit {
	case "", "1":
		return fmt.Sprintf("%s %.4g", m.Name, m.Value)
	case "bool":
		return m.Name + " " + yesNo(m.Value != 0)
	}
	return fmt.Sprintf("%s %.4g %s", m.Name, m.Value, m.Unit)
}
