package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/trust"
)

// statusCommand tells whether the control plane works, and what of it does not.
func statusCommand(e *env) *cobra.Command {
	var within time.Duration
	c := &cobra.Command{
		Use: "status", Short: "Tell whether the control plane is ready.", Args: takes(0, 0, "no arguments"),
		Example: "  sprout status\n  sprout status --wait 1m   # while sprout dev starts",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), max(within, 5*time.Second))
			defer cancel()
			err := e.status(ctx)
			for tick := time.NewTicker(200 * time.Millisecond); err != nil && within > 0; {
				select {
				case <-ctx.Done():
					tick.Stop()
					return err
				case <-tick.C:
					if again := e.status(ctx); again == nil || ctx.Err() == nil {
						err = again
					}
				}
			}
			return err
		},
	}
	c.Flags().DurationVar(&within, "wait", 0, "wait this long until it is")
	return c
}

func (e *env) status(ctx context.Context) error {
	said, err := e.readiness(ctx)
	if err != nil {
		return err
	}
	return e.say(said, "the control plane %s is ready; its bus is at %s", said.Version, said.Bus)
}

// A readiness is what /readyz says of a control plane that is ready.
type readiness struct {
	Status  string `json:"status"`
	Version string `json:"version"`
	Bus     string `json:"bus"` // where agents find it
}

// readiness asks /readyz once. The context file is read anew each time: sprout
// dev writes it when the API answers.
func (e *env) readiness(ctx context.Context) (r readiness, err error) {
	conn, err := e.connection()
	if err != nil {
		return r, err
	}
	url := strings.TrimRight(conn.Server, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return r, sprout.InvalidField("--server", "%v", err)
	}
	secure, err := trust.Only([]byte(conn.CA))
	if err != nil {
		return r, err
	}
	web := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, DisableKeepAlives: true}}
	res, err := web.Do(req)
	if err != nil {
		if distrust := trust.Distrust(err, url, []byte(conn.CA)); distrust != nil {
			return r, distrust
		}
		return r, sprout.Errorf(sprout.Unavailable, "cannot reach the control plane at %s: %w", url, err).WithRemedy("sprout dev")
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		return r, sprout.Errorf(sprout.Unavailable, "%s is no control plane: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return r, sprout.Errorf(sprout.Unavailable, "the control plane at %s is not ready: %s", url, raw)
	}
	return r, nil
}
