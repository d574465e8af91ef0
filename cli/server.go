package cli

import (
	"cmp"
	"github.com/spf13/cobra"

	"sprout/server"
)

func serverCommand(e *env) *cobra.Command {
	var file, listen, database, dir string
	c := &cobra.Command{
		Use: "server", Short: "Run a replica of the control plane.", Args: takes(0, 0, "no arguments"),
		Long: "Run a replica of the control plane. Settings come from a YAML file, then from\n" +
			"SPROUT_SERVER_… variables (SPROUT_SERVER_DATABASE_URL sets database.url), then from\n" +
			"flags; everything is checked before anything starts.",
		Example: "  sprout server --config /etc/sprout/server.yaml\n  sprout server --database postgres:///sprout --dir /var/lib/sprout/server",
		RunE: func(c *cobra.Command, _ []string) error {
			config := server.Defaults()
			if err := e.configure("SPROUT_SERVER", cmp.Or(file, e.getenv("SPROUT_SERVER_CONFIG")), &config); err != nil {
				return err
			}
			config.Listen, config.Dir = cmp.Or(listen, config.Listen), cmp.Or(dir, config.Dir)
			config.Database.URL = cmp.Or(database, config.Database.URL)
			config.Log = e.log
			config.Memory.Apply()
			s, err := server.New(c.Context(), config)
			if err != nil {
				return err
			}
			return s.Run(c.Context())
		},
	}
	c.Annotations = map[string]string{"runs": "yes"} // help shows it as a command and as a group
	c.AddCommand(serverKeyCommand(e))
	f := c.Flags()
	f.StringVar(&file, "config", "", "YAML file (or SPROUT_SERVER_CONFIG)")
	f.StringVar(&listen, "listen", "", "host:port of the API (default 0.0.0.0:8443)")
	f.StringVar(&database, "database", "", "URL of the PostgreSQL database")
	f.StringVar(&dir, "dir", "", "directory of images, streams and the key of secrets")
	return c
}
