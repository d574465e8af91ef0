package cli

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/agent"
	"sprout/api"
)

// agentCommand runs an agent when it is called by itself, and holds the verbs
// about agents.
func agentCommand(e *env) *cobra.Command {
	c := group("agent", "The Sprout process of a site: run it, list those that are.",
		agentListCommand(e), agentShowCommand(e), agentTokenCommand(e),
		deleteCommand(e, "agent", "lon1", api.AgentDelete, func(ref string) api.AgentRef { return api.AgentRef{Agent: ref} }, e.agentLoss))
	c.Annotations = map[string]string{"runs": "yes"} // help shows it as a command and as a group
	help := c.RunE
	run := agentRun(e, c)
	c.Example = "  sprout agent --config /etc/sprout/agent.yaml\n  sprout agent list\n  sprout agent token create lon1"
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 || c.Flags().NFlag() == 0 && e.getenv("SPROUT_AGENT_CONFIG") == "" {
			return help(c, args)
		}
		return run(c)
	}
	return c
}

// agentRun adds the flags of a running agent to c and returns what runs it:
// the file first, then SPROUT_AGENT_…, then flags.
func agentRun(e *env, c *cobra.Command) func(*cobra.Command) error {
	var file, dir, address, address6, iface, ramdisk, tokenFile string
	f := c.Flags()
	f.StringVar(&file, "config", "", "YAML file (or SPROUT_AGENT_CONFIG)")
	f.StringVar(&dir, "data-dir", "", "directory of keys, store and images")
	f.StringVar(&address, "address", "", "its address and prefix length on the provisioning network, as 10.20.0.2/24")
	f.StringVar(&address6, "address6", "", "the same of IPv6, as fd00:20::2/64")
	f.StringVar(&iface, "interface", "", "network device of the provisioning network")
	f.StringVar(&ramdisk, "ramdisk", "", "directory with vmlinuz and initrd")
	f.StringVar(&tokenFile, "enrol-token-file", "", "file with the single-use token (or SPROUT_AGENT_TOKEN)")
	return func(c *cobra.Command) error {
		config := agent.Config{DataDir: "/var/lib/sprout-agent", RamdiskDir: "/usr/share/sprout/ramdisk", Token: e.getenv("SPROUT_AGENT_TOKEN"), Log: e.log}
		if err := e.configure("SPROUT_AGENT", cmp.Or(file, e.getenv("SPROUT_AGENT_CONFIG")), &config); err != nil {
			return err
		}
		config.Log = e.log
		config.Server = cmp.Or(e.url, config.Server)
		config.DataDir, config.Interface = cmp.Or(dir, config.DataDir), cmp.Or(iface, config.Interface)
		config.RamdiskDir, config.TokenFile = cmp.Or(ramdisk, config.RamdiskDir), cmp.Or(tokenFile, config.TokenFile)
		for _, one := range []struct {
			flag, text, like string
			to               *netip.Prefix
		}{{"--address", address, "10.20.0.2/24", &config.Address}, {"--address6", address6, "fd00:20::2/64", &config.Address6}} {
			if one.text == "" {
				continue
			}
			prefix, err := netip.ParsePrefix(one.text)
			if err != nil {
				return sprout.InvalidField(one.flag, "%q is no address with a prefix length such as %s", one.text, one.like)
			}
			*one.to = prefix
		}
		config.Memory.Apply()
		return agent.Run(c.Context(), config)
	}
}

func agentListCommand(e *env) *cobra.Command {
	var in api.ListOfSite
	c := listCommand(e, api.AgentList, &in, listing[sprout.Agent]{
		Example: "  sprout agent list\n  sprout agent list --watch", None: "no agents: sprout agent token create SITE makes the token by which one enrols",
		Watch: &watching[sprout.Agent]{
			In: func() api.WatchEvents {
				return api.WatchEvents{OfSite: in.OfSite, Noun: []sprout.Noun{sprout.NounAgent}}
			},
			ID: func(a sprout.Agent) string { return string(a.ID) },
		},
		Columns: []column[sprout.Agent]{
			{Name: "SITE", Value: func(a sprout.Agent) string { return a.SiteName }},
			{Name: "NAME", Value: func(a sprout.Agent) string { return a.Name }},
			{Name: "STATUS", Value: online},
			{Name: "LAST SEEN", Value: func(a sprout.Agent) string { return ago(a.LastSeen) }},
			{Name: "VERSION", Value: func(a sprout.Agent) string { return a.Version }},
			{Name: "ADDRESS", Value: func(a sprout.Agent) string { return a.Address }},
			{Name: "BEHIND", Value: func(a sprout.Agent) string { return strconv.FormatInt(max(0, a.Wanted-a.Applied), 10) }},
			{Name: "DOWNLOADING", Value: func(a sprout.Agent) string { return strconv.FormatInt(a.Downloading, 10) }, Wide: true},
			{Name: "WAITING", Value: func(a sprout.Agent) string { return strconv.FormatInt(a.Waiting, 10) }, Wide: true},
			{Name: "ID", Value: func(a sprout.Agent) string { return string(a.ID) }, Wide: true},
		},
	})
	c.Flags().StringVar(&in.Site, "site", "", "only of this site")
	return c
}

func online(a sprout.Agent) string {
	if a.Online {
		return "online"
	}
	return "offline"
}

// downloads says who shares the agent's images now.
func downloads(a sprout.Agent) string {
	return fmt.Sprintf("%d machines download, %d wait for their turn", a.Downloading, a.Waiting)
}

func agentShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show AGENT", Short: api.AgentShow.Help, Args: takes(1, 1, "the name of an agent or its site"), Example: "  sprout agent show lon1",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := call(c.Context(), e, api.AgentShow, api.AgentRef{Agent: args[0]})
			if err != nil {
				return err
			}
			return e.answer(a, func() {
				writeLines(e.stdout, []line{
					{"Name", a.Name}, {"Site", a.SiteName}, {"Status", online(a)}, {"Last seen", ago(a.LastSeen)}, {"Version", a.Version},
					{"Address", a.Address}, {"Applied", fmt.Sprintf("%d of %d changes", a.Applied, a.Wanted)}, {"Downloads", downloads(a)}, {"Enrolled", moment(a.EnrolledAt)},
					{"Key", a.PublicKey}, {"Id", string(a.ID)},
				})
			})
		},
	}
}

func agentTokenCommand(e *env) *cobra.Command {
	var site, expires string
	create := &cobra.Command{
		Use: "create SITE", Short: api.AgentTokenCreate.Help, Args: takes(0, 1, "the name of the site"),
		Example: "  sprout agent token create lon1 --expires 30m",
		RunE: func(c *cobra.Command, args []string) error {
			var in api.CreateAgentToken
			var err error
			if in.Body.Expiry, err = parseExpiry("--expires", expires); err != nil {
				return err
			}
			if in.Body.Site = cmp.Or(append(args, site)...); in.Body.Site == "" {
				return usage(c, "%s needs the name of the site", c.CommandPath())
			}
			made, err := call(c.Context(), e, api.AgentTokenCreate, in)
			if err != nil {
				return err
			}
			return e.answer(made, func() {
				fmt.Fprintln(e.stdout, made.Secret)
				fmt.Fprintf(e.stderr, "one agent of %s may enrol with this token until %s; it is not shown again\n", made.SiteName, moment(made.ExpiresAt))
			})
		},
	}
	create.Flags().StringVar(&site, "site", "", "the site, in place of the argument")
	create.Flags().StringVar(&expires, "expires", "", "time until it expires, as 30m (default 1h)")
	return group("token", "Single-use tokens by which agents enrol.", create)
}
