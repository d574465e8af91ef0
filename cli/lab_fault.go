package cli

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
	"sprout/lab"
)

func (l *labEnv) unplugCommand() *cobra.Command {
	var step, machine string
	var percent int
	var timeout time.Duration
	c := &cobra.Command{
		Use: "unplug MACHINE", Short: "Pull a machine's power cord, now or in the middle of a step.", Args: takes(1, 1, "the name of a machine"),
		Example: "  sprout lab unplug m1\n  sprout lab unplug m1 --during write-image --percent 40",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			if percent != 0 && step == "" || percent < 0 || percent > 100 {
				return sprout.InvalidField("--percent", "it must be 0 to 100, of the step that --during names")
			}
			if _, err := to.Machine(c.Context(), args[0]); err != nil {
				return err
			}
			if step != "" {
				ctx, cancel := context.WithTimeout(c.Context(), timeout)
				defer cancel()
				if err := l.awaitStep(ctx, cmp.Or(machine, args[0]), step, percent); err != nil {
					return err
				}
			}
			if err := to.Cut(c.Context(), args[0]); err != nil {
				return err
			}
			return l.say(struct{}{}, "%s is without power", args[0])
		}),
	}
	f := c.Flags()
	f.StringVar(&step, "during", "", "wait until the machine's workflow is in this step")
	f.IntVar(&percent, "percent", 0, "and the step is so far")
	f.StringVar(&machine, "machine", "", "the machine's name in Sprout (default the same)")
	f.DurationVar(&timeout, "timeout", 15*time.Minute, "how long to wait for the step")
	return c
}

// awaitStep waits until the machine's workflow is in the step, percent done. A
// workflow that ends before is a Conflict.
func (l *labEnv) awaitStep(ctx context.Context, machine, step string, percent int) error {
	id, err := l.awaitWorkflow(ctx, machine)
	if err != nil {
		return err
	}
	c, err := l.client()
	if err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	reached := false
	last, err := c.Follow(watch, id, func(w sprout.Workflow) {
		if w.Step == step && done(w.Progress) >= percent {
			reached = true
			stop()
		}
	})
	switch {
	case reached:
		return nil
	case ctx.Err() != nil:
		return sprout.Errorf(sprout.Unavailable, "%s did not come to step %s in time", machine, step)
	case err != nil:
		return err
	}
	return sprout.Errorf(sprout.Conflict, "workflow %s of %s ended as %s before step %s was %d %% done", id, machine, last.State, step, percent)
}

// done is how far a step is, in percent; 0 where it does not say.
func done(p *sprout.Progress) int {
	if p == nil || p.Total <= 0 {
		return 0
	}
	return int(p.Done * 100 / p.Total)
}

// awaitWorkflow waits until a workflow runs on the machine.
func (l *labEnv) awaitWorkflow(ctx context.Context, machine string) (sprout.WorkflowID, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := call(ctx, l.env, api.MachineShow, machineRef(machine))
		switch {
		case err != nil:
			return "", err
		case m.Activity != nil:
			return m.Activity.Workflow, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", sprout.Errorf(sprout.Unavailable, "no workflow began on %s in time", machine)
		}
	}
}

func (l *labEnv) linkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "link MACHINE NIC up|down", Short: "Plug a network cable in or out, while the machine runs.", Args: takes(3, 3, "a machine, the number of its NIC from 0, and up or down"),
		Example: "  sprout lab link m1 0 down",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			nic, err := strconv.Atoi(args[1])
			if err != nil || (args[2] != "up" && args[2] != "down") {
				return usage(c, "%s takes the number of a NIC and up or down", c.CommandPath())
			}
			if err := to.SetLink(c.Context(), args[0], nic, args[2] == "up"); err != nil {
				return err
			}
			return l.say(struct{}{}, "NIC %d of %s is %s", nic, args[0], args[2])
		}),
	}
}

// verb makes a command without arguments that does one thing to the lab; parent
// is the words before it.
func (l *labEnv) verb(parent, use, short, said string, do func(*lab.Client, context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: takes(0, 0, "no arguments"), Example: "  sprout lab " + parent + use,
		RunE: l.run(func(c *cobra.Command, to *lab.Client, _ []string) error {
			if err := do(to, c.Context()); err != nil {
				return err
			}
			return l.say(struct{}{}, "%s", said)
		}),
	}
}

func (l *labEnv) wanCommand() *cobra.Command {
	delay := &cobra.Command{
		Use: "delay DURATION", Short: "Make the WAN slower, each way; 0 ends that.", Args: takes(1, 1, "a duration such as 150ms"),
		Example: "  sprout lab wan delay 150ms",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			d, err := time.ParseDuration(args[0])
			if err != nil {
				return usage(c, "%q is no duration such as 150ms", args[0])
			}
			if err := to.DelayWAN(c.Context(), d); err != nil {
				return err
			}
			return l.say(struct{}{}, "the WAN is %s late each way", d)
		}),
	}
	return group("wan", "The link between the lab's site and the control plane.",
		l.verb("wan ", "cut", "Drop every connection and refuse new ones.", "the WAN is cut", (*lab.Client).CutWAN),
		l.verb("wan ", "heal", "End a cut.", "the WAN is up", (*lab.Client).HealWAN), delay)
}

func (l *labEnv) agentCommand() *cobra.Command {
	return group("agent", "The process of the lab's agent.",
		l.verb("agent ", "kill", "Kill it; it is started again.", "the agent is killed", (*lab.Client).KillAgent),
		l.verb("agent ", "stop", "End it until start.", "the agent is told to stop", (*lab.Client).StopAgent),
		l.verb("agent ", "start", "Start it again.", "the agent starts", (*lab.Client).StartAgent))
}

func (l *labEnv) corruptCommand() *cobra.Command {
	return &cobra.Command{
		Use: "corrupt-image IMAGE", Short: "Flip a byte in the middle of the image that the lab's agent holds.", Args: takes(1, 1, "the name or digest of an image"),
		Example: "  sprout lab corrupt-image debian-12",
		RunE: l.run(func(c *cobra.Command, to *lab.Client, args []string) error {
			image, err := call(c.Context(), l.env, api.ImageShow, api.ImageRef{Image: args[0]})
			if err != nil {
				return err
			}
			path, at, err := lab.CorruptImage(to.Dir(), image.Digest)
			if err != nil {
				return err
			}
			return l.say(struct{}{}, "byte %d of %s is flipped", at, path)
		}),
	}
}
