package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
	"sprout/lab"
)

func (l *labEnv) execCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "exec [--] COMMAND…", Short: "Run a command on the lab's network.", Args: takes(1, -1, "a command"),
		Example: "  sprout lab exec -- tcpdump -ni br0 port 67\n  sprout lab exec -- dig @10.20.0.1 m1.lon1.example",
		RunE:    l.run(func(_ *cobra.Command, to *lab.Client, args []string) error { return enter(to, args) }),
	}
	c.Flags().SetInterspersed(false)
	return c
}

// enter becomes argv, inside the lab.
func enter(to *lab.Client, argv []string) error {
	config, err := lab.ReadConfig(to.Dir())
	if err != nil {
		return err
	}
	return lab.Enter(config.Name, argv)
}

func (l *labEnv) sshCommand() *cobra.Command {
	var user string
	c := &cobra.Command{
		Use: "ssh MACHINE [SSH ARGUMENTS…]", Short: "Log in at a deployed machine, over the lab's network.", Args: takes(1, -1, "the name of a machine"),
		Example: "  sprout lab ssh m1 -i ~/.ssh/id_ed25519\n  sprout lab ssh --user root m1 uptime",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			m, err := call(c.Context(), l.env, api.MachineShow, machineRef(args[0]))
			if err != nil {
				return err
			}
			if len(m.Addresses) == 0 {
				return sprout.Errorf(sprout.Conflict, "machine %s has no address: it is %s", m.Name, m.State)
			}
			// A lab's machines are new after every install: their keys prove nothing.
			argv := []string{"ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-l", user, m.Addresses[0].IP.String()}
			return enter(to, append(argv, args[1:]...))
		}),
	}
	c.Flags().StringVar(&user, "user", "debian", "user to log in as")
	c.Flags().SetInterspersed(false)
	return c
}

func (l *labEnv) consoleCommand() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use: "console MACHINE", Short: "Print what a machine's serial console said.", Args: takes(1, 1, "the name of a machine"),
		Example: "  sprout lab console m1\n  sprout lab console m1 -f",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			if _, err := to.Machine(c.Context(), args[0]); err != nil {
				return err
			}
			f, err := os.Open(lab.ConsolePath(to.Dir(), args[0]))
			if errors.Is(err, fs.ErrNotExist) {
				return sprout.Errorf(sprout.NotFound, "%s was never on: its console said nothing", args[0]).WithRemedy("sprout lab power-on %s", args[0])
			}
			if err != nil {
				return fmt.Errorf("cannot read the console: %w", err)
			}
			defer f.Close() //nolint:errcheck // only read
			return copyConsole(c.Context(), l.stdout, f, follow)
		}),
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	return c
}

// copyConsole copies the file and, where follow is set, what is added to it
// until ctx ends.
func copyConsole(ctx context.Context, to io.Writer, file io.Reader, follow bool) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(to, file); err != nil {
			return fmt.Errorf("cannot print the console: %w", err)
		}
		if !follow {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
