package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/alloc"
	"sprout/api"
)

// constraintWords are the flags of constraints that have to be read first.
type constraintWords struct {
	arch, boot, memory, disk string
	disks, pci               []string
}

// add gives a command the flags of constraints.
func (w *constraintWords) add(c *cobra.Command, b *api.Constraints) {
	f := c.Flags()
	f.StringVar(&b.Site, "site", "", "at this site")
	f.StringVar(&w.arch, "arch", "", "amd64 or arm64")
	f.StringVar(&w.boot, "boot-mode", "", "bios or uefi")
	f.StringVar(&b.Model, "model", "", "of this model: words in its vendor and model")
	f.StringVar(&b.CPU, "cpu", "", "with this processor: words in its model")
	f.IntVar(&b.MinCores, "cores", 0, "at least so many cores")
	f.StringVar(&w.memory, "memory", "", "at least so much memory, as 32GiB")
	f.StringVar(&w.disk, "disk", "", "a disk of at least this size, as 500GB")
	f.IntVar(&b.MinDisks, "disks", 0, "at least so many disks")
	f.StringArrayVar(&w.disks, "has-disks", nil, "disks of a kind: count=…, bus=nvme, rotational=yes|no, min=SIZE of each; may be repeated")
	f.IntVar(&b.MinNICs, "nics", 0, "at least so many interfaces")
	f.IntVar(&b.MinSpeed, "nic-speed", 0, "so many Mb/s at least, of as many interfaces as --nics says (default one)")
	f.StringArrayVar(&w.pci, "has-pci", nil, "PCI devices such as graphics processors: vendor=10de, device=20b5, count=…; may be repeated")
	f.StringSliceVar(&b.Networks, "network", nil, "at a site with this network; may be repeated")
	f.StringSliceVar(&b.Tags, "tag", nil, "with this tag; may be repeated")
	f.StringSliceVar(&b.NotTags, "not-tag", nil, "without this tag; may be repeated")
	f.StringVarP(&b.Labels, "labels", "l", "", "with labels that meet a selector, as rack=r1,env!=prod,gpu,!spare")
	f.StringVar(&b.Pool, "pool", "", "of this pool")
	f.StringVar(&b.Zone, "zone", "", "in this failure zone")
	f.StringVar(&b.Subnet, "subnet", "", "discovered in this subnet, as 10.0.0.0/24")
}

// read fills in what the words say.
func (w *constraintWords) read(b *api.Constraints) (err error) {
	b.Architecture, b.BootMode = sprout.Architecture(w.arch), sprout.BootMode(w.boot)
	if b.MinMemory, err = parseSize("--memory", w.memory); err != nil {
		return err
	}
	if b.MinDisk, err = parseSize("--disk", w.disk); err != nil {
		return err
	}
	for _, text := range w.disks {
		var d alloc.Disks
		if err := parsePairs("--has-disks", text, map[string]func(string) error{
			"count": number("--has-disks", &d.Count), "bus": word(&d.Bus),
			"rotational": func(v string) error { d.Rotational = new(v == "yes" || v == "true"); return nil },
			"min":        func(v string) (err error) { d.MinBytes, err = parseSize("--has-disks", v); return err },
		}); err != nil {
			return err
		}
		b.Disks = append(b.Disks, d)
	}
	for _, text := range w.pci {
		var p alloc.PCI
		if err := parsePairs("--has-pci", text, map[string]func(string) error{
			"vendor": word(&p.Vendor), "device": word(&p.Device), "count": number("--has-pci", &p.Count),
		}); err != nil {
			return err
		}
		b.PCI = append(b.PCI, p)
	}
	return nil
}

func word(to *string) func(string) error {
	return func(v string) error { *to = v; return nil }
}

func number(flag string, to *int) func(string) error {
	return func(v string) (err error) {
		if *to, err = strconv.Atoi(v); err != nil || *to < 1 {
			return sprout.InvalidField(flag, "%q is no number from 1 on", v)
		}
		return nil
	}
}

// parsePairs reads KEY=VALUE pairs, separated by commas.
func parsePairs(flag, text string, keys map[string]func(value string) error) error {
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(pair, "=")
		read, known := keys[key]
		if !known || value == "" {
			var allowed []string
			for k := range keys {
				allowed = append(allowed, k+"=…")
			}
			slices.Sort(allowed)
			return sprout.InvalidField(flag, "%q is no rule; allowed are %s", pair, strings.Join(allowed, ", "))
		}
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}
