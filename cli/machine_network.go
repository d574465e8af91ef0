package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

func machineNetworkCommand(e *env) *cobra.Command {
	return group("network", "How an installed system configures its network: addresses, DHCP, bonds, VLANs and bridges.",
		machineNetworkShowCommand(e), machineNetworkSetCommand(e), machineNetworkClearCommand(e))
}

func machineNetworkShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show MACHINE", Short: api.MachineNetworkShow.Help, Args: takes(1, 1, "the name of a machine"),
		Example: "  sprout machine network show web-01\n  sprout machine network show web-01 -o yaml >net.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := call(c.Context(), e, api.MachineNetworkShow, machineRef(args[0]))
			if err != nil {
				return err
			}
			return e.answer(n, func() { e.showMachineNetwork(n) })
		},
	}
}

func (e *env) showMachineNetwork(n sprout.NetworkConfig) {
	if len(n.Interfaces) == 0 {
		fmt.Fprintln(e.stdout, "not set: a deploy gives the boot interface one address; sprout machine network set says otherwise")
		return
	}
	writeTable(e, n.Interfaces, []column[sprout.InterfaceConfig]{
		{Name: "NAME", Value: func(f sprout.InterfaceConfig) string { return f.Name }},
		{Name: "KIND", Value: func(f sprout.InterfaceConfig) string { kind, _, _ := kindOf(f); return kind }},
		{Name: "ON", Value: func(f sprout.InterfaceConfig) string { _, on, _ := kindOf(f); return on }},
		{Name: "ADDRESSES", Value: wantedAddresses},
		{Name: "GATEWAY", Value: gatewaysOf},
		{Name: "MTU", Value: func(f sprout.InterfaceConfig) string {
			if f.MTU == 0 {
				return ""
			}
			return strconv.Itoa(f.MTU)
		}},
		{Name: "SETTINGS", Value: func(f sprout.InterfaceConfig) string { _, _, settings := kindOf(f); return settings }},
	})
}

// kindOf is what an interface is, what it lies on, and its settings.
func kindOf(f sprout.InterfaceConfig) (kind, on, settings string) {
	switch {
	case f.Bond != nil:
		words := []string{f.Bond.Mode}
		for _, w := range []struct{ name, value string }{
			{"lacpRate", f.Bond.LACPRate}, {"xmitHashPolicy", f.Bond.XmitHashPolicy}, {"primary", f.Bond.Primary},
		} {
			if w.value != "" {
				words = append(words, w.name+"="+w.value)
			}
		}
		if f.Bond.MIIMon != 0 {
			words = append(words, fmt.Sprintf("miimon=%d", f.Bond.MIIMon))
		}
		return "bond", strings.Join(f.Bond.Members, ","), strings.Join(words, " ")
	case f.VLAN != nil:
		return "vlan", f.VLAN.Parent, fmt.Sprintf("id=%d", f.VLAN.ID)
	case f.Bridge != nil:
		if f.Bridge.STP {
			settings = "stp"
		}
		return "bridge", strings.Join(f.Bridge.Members, ","), settings
	}
	return "port", f.MAC, ""
}

func wantedAddresses(f sprout.InterfaceConfig) string {
	var all []string
	for _, a := range f.Addresses {
		if a.IP == "" {
			all = append(all, a.Subnet)
		} else {
			all = append(all, a.IP+" of "+a.Subnet)
		}
	}
	if f.DHCP4 {
		all = append(all, "dhcp4")
	}
	if f.DHCP6 {
		all = append(all, "dhcp6")
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

func gatewaysOf(f sprout.InterfaceConfig) string {
	var by []string
	for _, a := range f.Addresses {
		if a.Gateway {
			by = append(by, a.Subnet)
		}
	}
	return strings.Join(by, ", ")
}

func machineNetworkClearCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "clear MACHINE", Short: "Leave one interface with one address, as without a network configuration.", Args: takes(1, 1, "the name of a machine"), Example: "  sprout machine network clear web-01",
		RunE: func(c *cobra.Command, args []string) error {
			in := api.SetMachineNetwork{MachineRef: machineRef(args[0]), Body: sprout.NetworkConfig{Interfaces: []sprout.InterfaceConfig{}}}
			n, err := call(c.Context(), e, api.MachineNetworkSet, in)
			if err != nil {
				return err
			}
			return e.say(n, "machine %s has no network configuration: the next deploy gives its boot interface one address", args[0])
		},
	}
}

// networkFlags are the flags that describe a network configuration.
type networkFlags struct {
	static, dhcp, none, bonds, vlans, bridges, mtus []string
	gateway                                         []string
	file, mode                                      string
}

func machineNetworkSetCommand(e *env) *cobra.Command {
	var flags networkFlags
	c := &cobra.Command{
		Use: "set MACHINE", Short: api.MachineNetworkSet.Help, Args: takes(1, 1, "the name of a machine"),
		Long: "Say how the system that a deploy installs configures its network, in place of what was said before. It is checked against the\n" +
			"site's networks now, and again at each deploy; what runs already stays as it is. IFACE is the name of a port of the\n" +
			"machine, or of a bond, a VLAN or a bridge. A YAML file has every setting; its form is what sprout machine network show -o yaml prints.",
		Example: "  sprout machine network set web-01 --static eno1=10.20.0.0/24 --static eno1=fd00:20::/64 --dhcp eno2\n" +
			"  sprout machine network set web-01 --bond bond0=eno1,eno2 --bond-mode 802.3ad \\\n      --static bond0=10.20.0.0/24@10.20.0.7 --vlan bond0.100=bond0:100 --static bond0.100=10.30.0.0/24 --gateway 10.30.0.0/24\n" +
			"  sprout machine network set web-01 --file net.yaml\n\n" +
			"  interfaces:\n  - name: bond0\n    bond: {members: [eno1, eno2], mode: 802.3ad, lacpRate: fast, xmitHashPolicy: layer3+4}\n" +
			"    addresses: [{subnet: 10.20.0.0/24, ip: 10.20.0.7}, {subnet: \"fd00:20::/64\"}]\n" +
			"  - name: br0\n    bridge: {members: [eno3]}\n    dhcp4: true",
		RunE: func(c *cobra.Command, args []string) error {
			in := api.SetMachineNetwork{MachineRef: machineRef(args[0])}
			var err error
			if in.Body, err = flags.config(e, c); err != nil {
				return err
			}
			n, err := call(c.Context(), e, api.MachineNetworkSet, in)
			if err != nil {
				return err
			}
			return e.answer(n, func() { e.showMachineNetwork(n) })
		},
	}
	f := c.Flags()
	f.StringVarP(&flags.file, "file", "f", "", "YAML file of the whole, in place of the flags below; - reads standard input")
	f.StringArrayVar(&flags.static, "static", nil, "IFACE=SUBNET: an address of the subnet, or SUBNET@IP for a certain one; may be repeated")
	f.StringSliceVar(&flags.dhcp, "dhcp", nil, "IFACE, or IFACE=6 for IPv6: ask by DHCP; may be repeated")
	f.StringSliceVar(&flags.none, "none", nil, "IFACE: bring it up without an address; may be repeated")
	f.StringArrayVar(&flags.bonds, "bond", nil, "NAME=IFACE,IFACE…: a bond; may be repeated")
	f.StringVar(&flags.mode, "bond-mode", "", "mode of the bonds (default active-backup)")
	f.StringArrayVar(&flags.vlans, "vlan", nil, "NAME=IFACE:ID: a VLAN interface; may be repeated")
	f.StringArrayVar(&flags.bridges, "bridge", nil, "NAME=IFACE,IFACE…: a bridge; may be repeated")
	f.StringSliceVar(&flags.mtus, "mtu", nil, "IFACE=BYTES; may be repeated")
	f.StringSliceVar(&flags.gateway, "gateway", nil, "SUBNET of a --static: the default route goes by its gateway (default the first that has one); may be repeated")
	return c
}

// config reads the file, or makes a configuration of the flags.
func (n *networkFlags) config(e *env, c *cobra.Command) (out sprout.NetworkConfig, err error) {
	others := slices.Concat(n.static, n.dhcp, n.none, n.bonds, n.vlans, n.bridges, n.mtus, n.gateway)
	if n.file != "" {
		if len(others) > 0 || n.mode != "" {
			return out, usage(c, "%s needs either --file or the other flags", c.CommandPath())
		}
		raw, err := e.readFile("--file", n.file)
		if err != nil {
			return out, err
		}
		return out, decodeStrict(raw, n.file, &out)
	}
	if len(others) == 0 {
		return out, usage(c, "%s needs --file, or --static, --dhcp and the like", c.CommandPath())
	}
	made := interfaces{}
	for _, f := range []struct {
		name string
		list []string
		set  func(f *sprout.InterfaceConfig, value string) bool
	}{
		{"--none", n.none, func(_ *sprout.InterfaceConfig, v string) bool { return v == "" }},
		{"--bond", n.bonds, func(f *sprout.InterfaceConfig, v string) bool {
			f.Bond = &sprout.Bond{Members: strings.Split(v, ","), Mode: n.mode}
			return v != ""
		}},
		{"--vlan", n.vlans, func(f *sprout.InterfaceConfig, v string) bool {
			at := strings.LastIndex(v, ":") // a MAC has some, too
			id, err := strconv.Atoi(v[at+1:])
			if at > 0 && err == nil {
				f.VLAN = &sprout.VLANInterface{Parent: v[:at], ID: id}
			}
			return at > 0 && err == nil
		}},
		{"--bridge", n.bridges, func(f *sprout.InterfaceConfig, v string) bool {
			f.Bridge = &sprout.BridgeInterface{Members: strings.Split(v, ",")}
			return v != ""
		}},
		{"--static", n.static, func(f *sprout.InterfaceConfig, v string) bool {
			subnet, ip, _ := strings.Cut(v, "@")
			f.Addresses = append(f.Addresses, sprout.StaticAddress{Subnet: subnet, IP: ip})
			return subnet != ""
		}},
		{"--dhcp", n.dhcp, func(f *sprout.InterfaceConfig, v string) bool {
			f.DHCP4, f.DHCP6 = f.DHCP4 || v == "" || v == "4", f.DHCP6 || v == "6"
			return v == "" || v == "4" || v == "6"
		}},
		{"--mtu", n.mtus, func(f *sprout.InterfaceConfig, v string) (ok bool) {
			f.MTU, err = strconv.Atoi(v)
			return err == nil
		}},
	} {
		for _, text := range f.list {
			name, value, _ := strings.Cut(text, "=")
			if name == "" || !f.set(made.named(name), value) {
				return out, sprout.InvalidField(f.name, "cannot read %q: %s", text, c.Flag(strings.TrimPrefix(f.name, "--")).Usage)
			}
		}
	}
	for _, subnet := range n.gateway {
		if !made.leave(subnet) {
			return out, sprout.InvalidField("--gateway", "no --static has an address of %q", subnet)
		}
	}
	for _, f := range made {
		out.Interfaces = append(out.Interfaces, *f)
	}
	return out, nil
}

// interfaces are what the flags have named so far, in their order.
type interfaces []*sprout.InterfaceConfig

// named returns the interface of a name, a new one if there is none yet.
func (l *interfaces) named(name string) *sprout.InterfaceConfig {
	for _, f := range *l {
		if f.Name == name {
			return f
		}
	}
	f := &sprout.InterfaceConfig{Name: name}
	*l = append(*l, f)
	return f
}

// leave has the default route go by a subnet's gateway; false: no address is of it.
func (l *interfaces) leave(subnet string) bool {
	for _, f := range *l {
		for i := range f.Addresses {
			if f.Addresses[i].Subnet == subnet {
				f.Addresses[i].Gateway = true
				return true
			}
		}
	}
	return false
}
