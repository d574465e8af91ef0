package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"sprout"
	"sprout/api"
	"sprout/lab"
)

// A labPlug is the flags of `sprout lab plug`.
type labPlug struct {
	spec              lab.Spec
	firmware, memory  string
	disks, nics       []string
	acceptAs          string
	powerOn, asImport bool
}

func (l *labEnv) plugCommand() *cobra.Command {
	var p labPlug
	c := &cobra.Command{
		Use: "plug MACHINE", Short: "Rack a machine: empty disks, real firmware, a BMC.", Args: takes(1, 1, "the name of the machine"),
		Example: "  sprout lab plug m1 --power-on                    # unknown to Sprout: it is discovered\n" +
			"  sprout lab plug m2 --firmware uefi -o yaml | sprout machine import --site lon1 -f -\n" +
			"  sprout lab plug m3 --memory 2G --cpus 4 --disk 8G,bus=nvme --disk 20G,serial=D2 --nic model=e1000 --nic nolink\n" +
			"  sprout lab plug m4 --firmware uefi --secure-boot -o yaml | sprout machine import --site lon1 -f -\n" +
			"  sprout lab plug m5 --arch arm64 --power-on",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			p.spec.Name = args[0]
			if err := p.complete(); err != nil {
				return err
			}
			return l.plug(c, to, p)
		}),
	}
	f := c.Flags()
	f.StringVar((*string)(&p.spec.Architecture), "arch", "", "amd64 or arm64 (default amd64)")
	f.StringVar(&p.firmware, "firmware", "", "bios or uefi (default bios; of arm64 uefi)")
	f.StringVar((*string)(&p.spec.Netboot), "netboot", "", "how uefi boots by network first: pxe6 or http (default as the firmware tries: pxe over IPv4 first)")
	f.BoolVar(&p.spec.NoMedia, "no-virtual-media", false, "its BMC has no virtual media")
	f.BoolVar(&p.spec.SecureBoot, "secure-boot", false, "uefi enforces Secure Boot: it runs only what is signed by Microsoft or through shim by Debian")
	f.StringVar(&p.memory, "memory", "1G", "memory, as 1G or 512M")
	f.IntVar(&p.spec.CPUs, "cpus", 0, "processors (default 2)")
	f.StringArrayVar(&p.disks, "disk", nil, "SIZE[,bus=virtio|nvme|sata][,serial=…]; may be repeated (default 4GiB)")
	f.StringArrayVar(&p.nics, "nic", nil, "[mac=…][,model=virtio|e1000][,nolink]; may be repeated (default one)")
	f.StringVar(&p.spec.UUID, "uuid", "", "SMBIOS UUID (default from the names of lab and machine)")
	f.StringVar(&p.spec.Serial, "serial", "", "SMBIOS serial number (default from the machine's name)")
	f.BoolVar(&p.powerOn, "power-on", false, "press its power button")
	f.StringVar(&p.acceptAs, "accept-as", "", "write its BMC to this file, for: sprout machine accept --bmc-file")
	f.BoolVar(&p.asImport, "print-import", false, "print what sprout machine import reads, as -o yaml does")
	return c
}

// complete reads the flags that are words into the spec.
func (p *labPlug) complete() error {
	p.spec.Firmware = sprout.BootMode(p.firmware)
	bytes, err := parseSize("--memory", binary(p.memory))
	if err != nil {
		return err
	}
	p.spec.MemoryMB = int(bytes >> 20)
	for _, text := range p.disks {
		d, err := parseDisk(text)
		if err != nil {
			return err
		}
		p.spec.Disks = append(p.spec.Disks, d)
	}
	for _, text := range p.nics {
		n, err := parseNIC(text)
		if err != nil {
			return err
		}
		p.spec.NICs = append(p.spec.NICs, n)
	}
	return nil
}

// binary makes 1G the gibibyte that memory and virtual disks are made in.
func binary(text string) string {
	if text != "" && strings.ContainsAny(text[len(text)-1:], "KMGT") {
		return text + "iB"
	}
	return text
}

func parseDisk(text string) (lab.Disk, error) {
	words := strings.Split(text, ",")
	var d lab.Disk
	var err error
	if d.Bytes, err = parseSize("--disk", binary(words[0])); err != nil {
		return d, err
	}
	d.Bytes -= d.Bytes % 512
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "bus":
			d.Bus = value
		case "serial":
			d.Serial = value
		default:
			return d, sprout.InvalidField("--disk", "%q is not SIZE[,bus=virtio|nvme|sata][,serial=…]", text)
		}
	}
	return d, nil
}

func parseNIC(text string) (lab.NIC, error) {
	var n lab.NIC
	for w := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "mac":
			n.MAC = value
		case "model":
			n.Model = value
		case "nolink":
			n.NoLink = true
		default:
			return n, sprout.InvalidField("--nic", "%q is not [mac=…][,model=virtio|e1000][,nolink]", text)
		}
	}
	return n, nil
}

func (l *labEnv) plug(c *cobra.Command, to *lab.Client, p labPlug) error {
	m, err := to.Plug(c.Context(), p.spec)
	if err != nil {
		return err
	}
	if p.acceptAs != "" {
		raw, err := yaml.Marshal(m.BMC)
		if err != nil {
			return fmt.Errorf("cannot write the BMC: %w", err)
		}
		if err := os.WriteFile(p.acceptAs, raw, 0o600); err != nil {
			return sprout.InvalidField("--accept-as", "cannot write it: %v", err)
		}
	}
	if p.powerOn {
		if err := to.PowerOn(c.Context(), m.Name); err != nil {
			return err
		}
		m.Power = sprout.PowerOn
	}
	entry := importOf(m)
	if p.asImport {
		raw, err := yaml.Marshal(entry)
		if err != nil {
			return fmt.Errorf("cannot print YAML: %w", err)
		}
		_, err = l.stdout.Write(raw)
		return err
	}
	return l.answer(entry, func() { writeLines(l.stdout, plugLines(m)) })
}

// importOf is the machine as `sprout machine import` reads it.
func importOf(m lab.Machine) any {
	type machines struct {
		Machines []api.NewMachine `json:"machines"`
	}
	return machines{[]api.NewMachine{{Name: m.Name, MACs: macs(m), Architecture: m.Architecture, BootMode: m.Firmware, SecureBoot: m.SecureBoot, BMC: &m.BMC}}}
}

func macs(m lab.Machine) []string {
	var all []string
	for _, n := range m.NICs {
		all = append(all, n.MAC)
	}
	return all
}

func plugLines(m lab.Machine) []line {
	return []line{
		{"Machine", m.Name}, {"Firmware", string(m.Firmware)}, {"MAC", strings.Join(macs(m), " ")}, {"Serial", m.Serial}, {"UUID", m.UUID},
		{"BMC", m.BMC.URL}, {"BMC user", m.BMC.Username}, {"BMC password", m.BMC.Password}, {"Power", string(m.Power)},
	}
}

func (l *labEnv) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the racked machines.", Aliases: []string{"ls"}, Args: takes(0, 0, "no arguments"), Example: "  sprout lab list\n  sprout lab list -o json",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, _ []string) error {
			s, err := to.Status(c.Context())
			if err != nil {
				return err
			}
			return list(l.env, s.Machines, "nothing is plugged", []column[lab.Machine]{
				{Name: "NAME", Value: func(m lab.Machine) string { return m.Name }},
				{Name: "ARCH", Value: func(m lab.Machine) string { return string(m.Architecture) }, Wide: true},
				{Name: "FIRMWARE", Value: func(m lab.Machine) string { return string(m.Firmware) }},
				{Name: "POWER", Value: func(m lab.Machine) string { return string(m.Power) }},
				{Name: "MAC", Value: func(m lab.Machine) string { return strings.Join(macs(m), " ") }},
				{Name: "BMC", Value: func(m lab.Machine) string { return m.BMC.URL }},
				{Name: "STARTS", Value: func(m lab.Machine) string { return fmt.Sprint(len(m.Starts)) }, Wide: true},
				{Name: "PID", Value: func(m lab.Machine) string { return fmt.Sprint(m.PID) }, Wide: true},
			})
		}),
	}
}

func (l *labEnv) powerOnCommand() *cobra.Command {
	return &cobra.Command{
		Use: "power-on MACHINE…", Short: "Press the power button of machines.", Args: takes(1, -1, "the names of machines"),
		Example: "  sprout lab power-on m1 m2",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			return l.each(args, func(name string) (result, error) {
				return result{struct{}{}, name + " is on"}, to.PowerOn(c.Context(), name)
			})
		}),
	}
}

func (l *labEnv) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove MACHINE…", Short: "Take machines out of the rack, with their disks.", Args: takes(1, -1, "the names of machines"),
		Example: "  sprout lab remove m1",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			return l.each(args, func(name string) (result, error) {
				return result{gone{Name: name, Deleted: true}, name + " is removed"}, to.Remove(c.Context(), name)
			})
		}),
	}
}
