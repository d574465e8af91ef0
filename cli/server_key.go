package cli

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"sprout/server"
)

// serverKeyCommand changes the key of secrets in its file, in steps between
// which every replica must be given the file and be restarted: none ever finds a
// secret that it cannot open.
func serverKeyCommand(e *env) *cobra.Command {
	return group("key", "The key of secrets: change it in three steps.",
		keyStep(e, "add", "Make a new key, which opens only, behind those that are there.", server.AddKey),
		keyStep(e, "use", "Have the last key seal; a server that starts seals anew what others sealed.", server.UseKey),
		keyStep(e, "drop", "Remove every key but the first, once nothing in the database needs them.", server.DropKeys))
}

// keyStep makes the command of one step, which says how many keys there are then
// and what comes next.
func keyStep(e *env, use, short string, do func(context.Context, server.Config) (int, string, error)) *cobra.Command {
	var file, dir, database string
	c := &cobra.Command{
		Use: use, Short: short, Args: takes(0, 0, "no arguments"), Example: "  sprout server key " + use + " --config /etc/sprout/server.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			config := server.Defaults()
			if err := e.configure("SPROUT_SERVER", cmp.Or(file, e.getenv("SPROUT_SERVER_CONFIG")), &config); err != nil {
				return err
			}
			config.Dir, config.Database.URL = cmp.Or(dir, config.Dir), cmp.Or(database, config.Database.URL)
			n, next, err := do(c.Context(), config)
			if err != nil {
				return err
			}
			return e.say(map[string]any{"file": config.KeyPath(), "keys": n, "next": next}, "%s holds %d keys: %s", config.KeyPath(), n, next)
		},
	}
	f := c.Flags()
	f.StringVar(&file, "config", "", "YAML file of the server (or SPROUT_SERVER_CONFIG)")
	f.StringVar(&dir, "dir", "", "directory of the server's data")
	f.StringVar(&database, "database", "", "URL of the PostgreSQL database")
	return c
}
