package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
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

// status asks /readyz once. The context file is read anew each time: sprout dev
// writes it when the API answers.
func (e *env) status(ctx context.Context) error {
	conn, err := e.connection()
	if err != nil {
		return err
	}
	url := strings.TrimRight(conn.Server, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return sprout.InvalidField("--server", "%v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot reach the control plane at %s: %w", url, err).WithRemedy("sprout dev")
	}
	defer res.Body.Close()
	var said any
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil {
		return sprout.Errorf(sprout.Unavailable, "%s is no control plane: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return sprout.Errorf(sprout.Unavailable, "the control plane at %s is not ready: %s", url, fmt.Sprint(said))
	}
	return e.say(said, "the control plane at %s is ready", url)
}
