package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// bmcFlags are the flags that describe a BMC.
type bmcFlags struct {
	driver, url, user, password, system, file string
	insecure                                  bool
}

func (b *bmcFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&b.driver, "bmc-driver", "", "how to drive its power: redfish, ipmi, webhook or manual")
	f.StringVar(&b.url, "bmc-url", "", "URL of its BMC, as https://10.0.0.5, ipmi://10.0.0.5 for IPMI, or of a webhook")
	f.StringVar(&b.user, "bmc-user", "", "user name at the BMC")
	f.StringVar(&b.password, "bmc-password", "", "password at the BMC; - reads it from standard input")
	f.StringVar(&b.system, "bmc-system", "", "Redfish system id (default the only one), or what a webhook calls the machine")
	f.StringVar(&b.file, "bmc-file", "", "YAML file that describes its BMC, in place of the flags above")
	f.BoolVar(&b.insecure, "bmc-insecure", false, "accept any TLS certificate of the BMC")
}

// bmc returns what the flags describe, over old; nil where none was given.
func (b *bmcFlags) bmc(e *env, c *cobra.Command, old *sprout.BMC) (*sprout.BMC, error) {
	bmc, any := sprout.BMC{Driver: "redfish"}, false
	if old != nil {
		bmc = *old
	}
	for name, set := range map[string]func(){
		"bmc-driver": func() { bmc.Driver = b.driver }, "bmc-url": func() { bmc.URL = b.url },
		"bmc-user": func() { bmc.Username = b.user }, "bmc-password": func() { bmc.Password = b.password },
		"bmc-system": func() { bmc.System = b.system }, "bmc-insecure": func() { bmc.Insecure = b.insecure },
	} {
		if c.Flags().Changed(name) {
			set()
			any = true
		}
	}
	if b.file != "" {
		raw, err := os.ReadFile(b.file)
		if err != nil {
			return nil, sprout.InvalidField("--bmc-file", "cannot read it: %v", err)
		}
		if err := decodeStrict(raw, b.file, &bmc); err != nil {
			return nil, err
		}
		any = true
	}
	if !any {
		return nil, nil
	}
	if bmc.Password == "-" {
		raw, err := io.ReadAll(io.LimitReader(e.stdin, 4096))
		if err != nil {
			return nil, fmt.Errorf("cannot read the password: %w", err)
		}
		bmc.Password = strings.TrimRight(string(raw), "\r\n")
	}
	return &bmc, nil
}

func machineCreateCommand(e *env) *cobra.Command {
	var in api.CreateMachine
	var bmc bmcFlags
	var arch, boot string
	c := &cobra.Command{
		Use: "create NAME", Short: api.MachineCreate.Help, Args: takes(1, 1, "the name of the machine"),
		Example: "  sprout machine create web-01 --site lon1 --mac 52:54:00:12:34:56 \\\n      --bmc-url https://10.0.0.5 --bmc-user admin --bmc-password -\n" +
			"  sprout machine create web-02 --site lon1 --mac 52:54:00:12:34:57 \\\n      --bmc-driver ipmi --bmc-url ipmi://10.0.0.6 --bmc-user admin --bmc-password -",
		RunE: func(c *cobra.Command, args []string) error {
			if in.Body.Site == "" || len(in.Body.MACs) == 0 {
				return usage(c, "%s needs --site and --mac", c.CommandPath())
			}
			var err error
			if in.Body.BMC, err = bmc.bmc(e, c, nil); err != nil {
				return err
			}
			in.Body.Name, in.Body.Architecture, in.Body.BootMode = args[0], sprout.Architecture(arch), sprout.BootMode(boot)
			m, err := call(c.Context(), e, api.MachineCreate, in)
			if err != nil {
				return err
			}
			return e.say(m, "machine %s is %s", m.Name, m.State)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Body.Site, "site", "", "site of the machine")
	f.StringSliceVar(&in.Body.MACs, "mac", nil, "MAC of an interface; the first is the one it boots from")
	f.StringVar(&arch, "arch", "", "amd64 or arm64 (default amd64)")
	f.StringVar(&boot, "boot-mode", "", "bios or uefi (default: found out)")
	f.StringSliceVar(&in.Body.Tags, "tag", nil, "tag; may be repeated")
	f.StringToStringVar((*map[string]string)(&in.Body.Labels), "label", nil, "label KEY=VALUE; may be repeated")
	f.StringVar(&in.Body.Pool, "pool", "", "pool")
	f.StringVar(&in.Body.Zone, "zone", "", "failure zone")
	f.BoolVar(&in.Body.SecureBoot, "secure-boot", false, "its firmware enforces Secure Boot: give it signed loaders only")
	f.BoolVar(&in.Body.VirtualMedia, "virtual-media", false, "its BMC inserts what it boots, as a CD: it needs no DHCP, and boots by UEFI only")
	f.BoolVar(&in.Body.RecordConsole, "record-console", false, "its console is kept open while work boots it, and what it says is in the boot timeline")
	bmc.add(c)
	return c
}

// readFile reads a file, or standard input for "-".
func (e *env) readFile(flag, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(e.stdin)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, sprout.InvalidField(flag, "cannot read it: %v", err)
	}
	return raw, nil
}

func machineUpdateCommand(e *env) *cobra.Command {
	a := &machineAction{env: e}
	var name, pool, zone string
	var tags []string
	var protected, secureBoot, virtualMedia, recordConsole bool
	var revision int64
	var bmc bmcFlags
	c := &cobra.Command{
		Use: "update [MACHINE…]", Short: api.MachineUpdate.Help, Args: takes(0, -1, machinesOrSelection),
		Example: "  sprout machine update web-01 --zone rack-7 --protected\n  sprout machine update web-01 --bmc-password -\n  sprout machine update web-01 --secure-boot\n  sprout machine update web-01 --virtual-media\n  sprout machine update --site lon1 --state ready --pool web --yes",
		RunE: func(c *cobra.Command, args []string) error {
			f := c.Flags()
			var many api.MachineUpdates
			set(f.Changed("pool"), &many.Pool, pool)
			set(f.Changed("zone"), &many.Zone, zone)
			set(f.Changed("tag"), &many.Tags, tags)
			set(f.Changed("protected"), &many.Protected, protected)
			set(f.Changed("secure-boot"), &many.SecureBoot, secureBoot)
			set(f.Changed("virtual-media"), &many.VirtualMedia, virtualMedia)
			set(f.Changed("record-console"), &many.RecordConsole, recordConsole)
			a.in.Body.Action, a.in.Body.Update = "update", &many
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				in := api.UpdateMachine{MachineRef: machineRef(ref)}
				set(f.Changed("name"), &in.Body.Name, name)
				in.Body.Pool, in.Body.Zone, in.Body.Tags = many.Pool, many.Zone, many.Tags
				in.Body.Protected, in.Body.SecureBoot, in.Body.VirtualMedia = many.Protected, many.SecureBoot, many.VirtualMedia
				in.Body.RecordConsole = many.RecordConsole
				old, err := call(ctx, e, api.MachineShow, in.MachineRef)
				if err != nil {
					return nil, err
				}
				if in.Body.BMC, err = bmc.bmc(e, c, old.BMC); err != nil {
					return nil, err
				}
				switch {
				case f.Changed("if-revision"):
					ctx = client.IfMatch(ctx, fmt.Sprintf(`"%d"`, revision))
				case in.Body.BMC != nil: // what is not given was taken from what was just seen
					ctx = client.IfMatch(ctx, fmt.Sprintf(`"%d"`, old.Rev))
				}
				m, err := call(ctx, e, api.MachineUpdate, in)
				if err != nil {
					return nil, err
				}
				return nil, e.say(m, "machine %s is updated", m.Name)
			}
			if own := ofOneOnly(c, "name", "if-revision"); own != "" && len(args) != 1 {
				return usage(c, "--%s is of one machine: name it", own)
			}
			return a.run(c, args)
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "new name")
	f.StringSliceVar(&tags, "tag", nil, "tags in place of the old ones; may be repeated")
	f.StringVar(&pool, "pool", "", "pool")
	f.StringVar(&zone, "zone", "", "failure zone")
	f.BoolVar(&protected, "protected", false, "refuse what destroys data (--protected=false allows it again)")
	f.BoolVar(&secureBoot, "secure-boot", false, "its firmware enforces Secure Boot: give it signed loaders only (--secure-boot=false: any)")
	f.BoolVar(&virtualMedia, "virtual-media", false, "its BMC inserts what it boots, as a CD: it needs no DHCP, and boots by UEFI only (--virtual-media=false: it boots by network)")
	f.BoolVar(&recordConsole, "record-console", false, "its console is kept open while work boots it, and what it says is in the boot timeline (--record-console=false: not)")
	f.Int64Var(&revision, "if-revision", 0, "refuse if anybody has decided something about the machine since this revision (see -o json)")
	bmc.add(c)
	a.add(c)
	return c
}

// ofOneOnly returns the first flag that was given and describes one machine
// only: one of names, or of its BMC.
func ofOneOnly(c *cobra.Command, names ...string) (given string) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if given == "" && (slices.Contains(names, f.Name) || strings.HasPrefix(f.Name, "bmc-")) {
			given = f.Name
		}
	})
	return given
}

func set[T any](changed bool, field **T, value T) {
	if changed {
		*field = &value
	}
}

// machineFlagCommand makes a verb that needs nothing but machines.
func machineFlagCommand(e *env, verb string, op api.Op[api.MachineRef, sprout.Machine]) *cobra.Command {
	a := &machineAction{env: e}
	c := &cobra.Command{
		Use: verb + " [MACHINE…]", Short: op.Help, Args: takes(0, -1, machinesOrSelection),
		Example: "  sprout machine " + verb + " web-01\n  sprout machine " + verb + " --site lon1 --state ready --plan",
		RunE: func(c *cobra.Command, args []string) error {
			a.in.Body.Action = verb
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				m, err := call(ctx, e, op, machineRef(ref))
				if err != nil {
					return nil, err
				}
				return nil, e.say(m, "machine %s is %s%s", m.Name, m.State, suffix(m.Locked, ", locked"))
			}
			return a.run(c, args)
		},
	}
	a.add(c)
	return c
}

func machineMarkCommand(e *env, verb, example string, op api.Op[api.MarkMachine, sprout.Machine]) *cobra.Command {
	a := &machineAction{env: e}
	var in api.Marking
	c := &cobra.Command{
		Use: verb + " [MACHINE…]", Short: op.Help, Args: takes(0, -1, machinesOrSelection),
		Example: "  sprout machine " + verb + " web-01 --reason '" + example + "'",
		RunE: func(c *cobra.Command, args []string) error {
			a.in.Body.Action, a.in.Body.Mark = verb, &in
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				m, err := call(ctx, e, op, api.MarkMachine{MachineRef: machineRef(ref), Body: in})
				if err != nil {
					return nil, err
				}
				return nil, e.say(m, "machine %s is %s", m.Name, m.State)
			}
			return a.run(c, args)
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the history")
	a.add(c)
	return c
}

func machineRetireCommand(e *env) *cobra.Command {
	a := &machineAction{env: e, asks: true}
	var in api.Marking
	c := &cobra.Command{
		Use: "retire [MACHINE…]", Short: api.MachineRetire.Help, Args: takes(0, -1, machinesOrSelection),
		Long: "Take a machine out of service for good, and keep its record: inventory, tests, history. Nothing on its disks is touched: erase\n" +
			"them before, by sprout machine release --erase. Its addresses and names are free again, and its site forgets it. It is in\n" +
			"lists only where --state retired asks for it.",
		Example: "  sprout machine retire web-01 --reason 'out of warranty'\n  sprout machine retire --pool old --state broken --plan",
		RunE: func(c *cobra.Command, args []string) error {
			a.in.Body.Action, a.in.Body.Mark = "retire", &in
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				m, err := call(ctx, e, api.MachineRetire, api.MarkMachine{MachineRef: machineRef(ref), Body: in})
				if err != nil {
					return nil, err
				}
				return nil, e.say(m, "machine %s is %s", m.Name, m.State)
			}
			return a.run(c, args)
		},
	}
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the history")
	a.add(c)
	return c
}

func machineDeleteCommand(e *env) *cobra.Command {
	a := &machineAction{env: e, asks: true}
	c := &cobra.Command{
		Use: "delete [MACHINE…]", Short: api.MachineDelete.Help, Aliases: []string{"rm"}, Args: takes(0, -1, machinesOrSelection),
		Example: "  sprout machine delete web-01\n  sprout machine delete --site lon1 --state broken --plan",
		RunE: func(c *cobra.Command, args []string) error {
			a.in.Body.Action = "delete"
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				if _, err := call(ctx, e, api.MachineDelete, machineRef(ref)); err != nil {
					return nil, err
				}
				return nil, e.say(gone{Name: ref, Deleted: true}, "machine %s is deleted", ref)
			}
			return a.run(c, args)
		},
	}
	a.add(c)
	return c
}

func suffix(yes bool, text string) string {
	if yes {
		return text
	}
	return ""
}
