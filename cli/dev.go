package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/agent"
	"sprout/api"
	"sprout/client"
	"sprout/dev"
	"sprout/health"
)

func devCommand(e *env) *cobra.Command {
	var c dev.Config
	var contextFile, site, device, address, ramdisk string
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a whole control plane on this machine.",
		Long: "Run a private PostgreSQL, an embedded bus and the server in the foreground. The first start makes an administrator's\n" +
			"token; every start writes it to the context file, so that other commands need no flags.\n\n" +
			"With --interface an agent runs too, for the site named by --site: a small site on one machine.",
		Example: "  sprout dev\n  sprout dev --dir /srv/sprout --listen 127.0.0.1:9000\n" +
			"  sprout dev --site home --interface eth1 --address 10.20.0.1/24 --ramdisk /var/cache/sprout/ramdisk",
		Args: takes(0, 0, "no arguments"),
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Dir, "dir", "", "directory that holds everything (default /var/lib/sprout-dev for root, else sprout-dev in the user's cache)")
	flags.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "host:port of the API; port 0 takes a free one")
	flags.StringVar(&c.BusListen, "bus-listen", "127.0.0.1:4222", "host:port of the bus; port 0 takes a free one")
	flags.StringVar(&contextFile, "context-file", "", "context file to write (default: the one that commands read)")
	flags.StringVar(&site, "site", "local", "site of the agent; made if it does not exist")
	flags.StringVar(&device, "interface", "", "run an agent that serves this network device")
	flags.StringVar(&address, "address", "", "the agent's address and prefix length on that device, like 10.20.0.1/24")
	flags.StringVar(&ramdisk, "ramdisk", "/var/cache/sprout/ramdisk", "directory with the ramdisk's vmlinuz and initrd")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c.Dir = cmp.Or(c.Dir, devDir())
		if err := errors.Join(checkListen("--listen", c.Listen), checkListen("--bus-listen", c.BusListen)); err != nil {
			return err
		}
		if contextFile == "" {
			var err error
			if contextFile, err = e.contextPath(); err != nil {
				return err
			}
		}
		if device != "" {
			a, err := devAgent(c.Dir, device, address, ramdisk)
			if err != nil {
				return err
			}
			c.Agent, c.Token = a, func(ctx context.Context, access dev.Access) (string, error) { return enrolToken(ctx, access, site) }
		}
		c.Log = e.log
		health.Memory{}.Apply()
		c.Ready = func(access dev.Access) error {
			if err := writeContext(contextFile, "dev", connection{Server: access.URL, Token: access.Token}); err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "The control plane is ready at %s; commands find it by %s.\n", access.URL, contextFile)
			return nil
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return dev.Run(ctx, c)
	}
	return cmd
}

// checkListen refuses what nothing can listen on, before anything is made.
func checkListen(flag, text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return sprout.InvalidField(flag, "%q is not host:port, such as 127.0.0.1:8080", text)
	}
	return nil
}

// devDir is where sprout dev keeps its data: PostgreSQL runs as another user
// where root starts it, and must be able to reach it.
func devDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/sprout-dev"
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "sprout-dev"
	}
	return filepath.Join(dir, "sprout-dev")
}

func devAgent(dir, device, address, ramdisk string) (*agent.Config, error) {
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return nil, sprout.InvalidField("--address", "%q must be an address with its prefix length, like 10.20.0.1/24", address)
	}
	return &agent.Config{DataDir: filepath.Join(dir, "agent"), Interface: device, Address: prefix, RamdiskDir: ramdisk}, nil
}

// enrolToken makes a single-use token for the site, which it makes if need be.
func enrolToken(ctx context.Context, access dev.Access, site string) (string, error) {
	c, err := client.New(client.Config{URL: access.URL, Token: access.Token, UserAgent: "sprout-dev/" + sprout.Version})
	if err != nil {
		return "", err
	}
	_, err = client.Call(ctx, c, api.SiteShow, api.SiteRef{Site: site})
	if sprout.KindOf(err) == sprout.NotFound && err != nil {
		in := api.CreateSite{}
		in.Body.Name = site
		_, err = client.Call(ctx, c, api.SiteCreate, in)
	}
	if err != nil {
		return "", err
	}
	in := api.CreateAgentToken{}
	in.Body.Site = site
	made, err := client.Call(ctx, c, api.AgentTokenCreate, in)
	return made.Secret, err
}
