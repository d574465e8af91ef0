package client

import (
	"context"
	"time"

	"sprout"
	"sprout/api"
)

// Follow calls see with every version of a workflow until it has ended, and
// returns the last. A control plane that goes away meanwhile is waited for: the
// workflow runs on without it. It ends early with ctx, or when the workflow
// cannot be had (NotFound, Denied).
func (c *Client) Follow(ctx context.Context, id sprout.WorkflowID, see func(sprout.Workflow)) (sprout.Workflow, error) {
	var last sprout.Workflow
	in := api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: string(id)}}
	for {
		now, err := Call(ctx, c, api.WorkflowShow, in)
		if err != nil {
			if sprout.KindOf(err) != sprout.Unavailable {
				return last, err
			}
			if err := sprout.Pause(ctx, time.Second); err != nil {
				return last, err
			}
			continue
		}
		if now.Version != in.After {
			last, in.After = now.Workflow, now.Version
			see(last)
		}
		if last.State.Ended() {
			return last, nil
		}
	}
}
