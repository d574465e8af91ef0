package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"sprout"
	"sprout/api"
)

const (
	mostFollowed = 10               // workflows that are shown step by step; of more, the sum
	crowdEvery   = 2 * time.Second  // how often the many are looked at
	crowdSaid    = 15 * time.Second // how often their sum is said where there is no terminal
	slowestShown = 5
	listedAtOnce = 1000 // workflows that one list holds at most
)

// A crowd is many workflows that are waited for: their sum and the slowest stand
// on the terminal, and each that fails is said when it does.
type crowd struct {
	*env
	began time.Time
	now   []sprout.Workflow // as they were last seen
	at    map[sprout.WorkflowID]int
	out   io.Writer
	live  *mpb.Progress
	bars  []*mpb.Bar
	lines atomic.Pointer[[]string] // what stands on the terminal
	said  time.Time
	last  string
}

// followCrowd waits until all have ended. A control plane that goes away
// meanwhile is waited for.
func (e *env) followCrowd(ctx context.Context, workflows []sprout.Workflow) ([]sprout.Workflow, error) {
	c := &crowd{env: e, began: time.Now(), now: slices.Clone(workflows), at: map[sprout.WorkflowID]int{}, out: e.stdout}
	for i, w := range c.now {
		c.at[w.ID] = i
	}
	if e.machineReadable() {
		c.out = e.stderr
	}
	if isTerminal(c.out) {
		c.stand()
	}
	defer c.leave()
	for {
		err := c.look(ctx)
		if err != nil && (ctx.Err() != nil || sprout.KindOf(err) != sprout.Unavailable) {
			return nil, err
		}
		c.show()
		if c.running() == 0 {
			return c.now, nil
		}
		if err := sprout.Pause(ctx, crowdEvery); err != nil {
			return nil, err
		}
	}
}

// look reads what runs by lists, and each that is in none by itself: it has
// ended, or there are more than a list holds.
func (c *crowd) look(ctx context.Context) error {
	listed := map[sprout.WorkflowID]bool{}
	for _, state := range []sprout.WorkflowState{sprout.Running, sprout.Unwinding} {
		list, err := gather(ctx, c.env, api.WorkflowList, api.ListWorkflows{State: []sprout.WorkflowState{state}}, listedAtOnce)
		if err != nil {
			return err
		}
		for _, w := range list {
			if i, ours := c.at[w.ID]; ours && !c.now[i].State.Ended() {
				c.now[i], listed[w.ID] = w, true
			}
		}
	}
	for i, w := range c.now {
		if w.State.Ended() || listed[w.ID] {
			continue
		}
		got, err := call(ctx, c.env, api.WorkflowShow, api.ShowWorkflow{WorkflowRef: workflowRef(string(w.ID))})
		if err != nil {
			return err
		}
		c.now[i] = got.Workflow
		if got.State.Ended() && got.State != sprout.Succeeded {
			c.sayFailed(got.Workflow)
		}
	}
	return nil
}

func (c *crowd) sayFailed(w sprout.Workflow) {
	why := string(w.State)
	if w.Error != nil {
		why = fmt.Sprintf("%s at %s: %s", w.State, w.Error.Step, w.Error.Reason)
	}
	fmt.Fprintf(c.out, "%s  %s  %s\n", time.Now().Format("15:04:05"), w.MachineName, c.paint(c.stdout, red, why))
}

func (c *crowd) count(states ...sprout.WorkflowState) (n int) {
	for _, w := range c.now {
		if slices.Contains(states, w.State) {
			n++
		}
	}
	return n
}

func (c *crowd) running() int { return c.count(sprout.Running, sprout.Unwinding) }

// sum is the whole in one line.
func (c *crowd) sum() string {
	words := []string{fmt.Sprintf("%d succeeded", c.count(sprout.Succeeded))}
	for _, s := range []struct {
		states []sprout.WorkflowState
		word   string
	}{{[]sprout.WorkflowState{sprout.FailedRun}, "failed"}, {[]sprout.WorkflowState{sprout.Cancelled}, "cancelled"}, {[]sprout.WorkflowState{sprout.Running, sprout.Unwinding}, "running"}} {
		if n := c.count(s.states...); n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, s.word))
		}
	}
	return fmt.Sprintf("%s of %s: %s", c.now[0].Kind, machines(len(c.now)), strings.Join(words, ", "))
}

// slowest are those that are at their step for longest.
func (c *crowd) slowest() (lines []string) {
	var running []sprout.Workflow
	names := 0
	for _, w := range c.now {
		if !w.State.Ended() {
			running = append(running, w)
		}
	}
	slices.SortStableFunc(running, func(a, b sprout.Workflow) int { return stepSince(a).Compare(stepSince(b)) })
	running = running[:min(slowestShown, len(running))]
	for _, w := range running {
		names = max(names, runewidth.StringWidth(w.MachineName))
	}
	for _, w := range running {
		lines = append(lines, fmt.Sprintf("  %-*s  %-18s  %4s  %s", names, w.MachineName, w.Step, duration(time.Since(stepSince(w))), liveWords(w)))
	}
	return lines
}

// stepSince is when a workflow came to the step that it is at.
func stepSince(w sprout.Workflow) time.Time {
	for _, s := range slices.Backward(w.Steps) {
		if s.Name == w.Step {
			return s.StartedAt
		}
	}
	return w.CreatedAt
}

// show renews what stands on the terminal, or says the sum where it moved.
func (c *crowd) show() {
	if c.live != nil {
		lines := append([]string{c.sum() + ", " + duration(time.Since(c.began))}, c.slowest()...)
		c.lines.Store(&lines)
		return
	}
	sum := c.sum()
	if c.running() == 0 || sum != c.last && time.Since(c.said) >= crowdSaid {
		c.said, c.last = time.Now(), sum
		words := sum
		if slow := c.slowest(); len(slow) > 0 {
			words += "; slowest: " + strings.Join(strings.Fields(slow[0]), " ")
		}
		fmt.Fprintf(c.out, "%s  %s\n", time.Now().Format("15:04:05"), words)
	}
}

// stand puts the lines on the terminal that are renewed from then on.
func (c *crowd) stand() {
	c.lines.Store(&[]string{})
	c.live = mpb.New(mpb.WithOutput(c.out), mpb.WithRefreshRate(refreshEvery))
	c.out = c.live
	for i := range 1 + slowestShown {
		c.bars = append(c.bars, c.live.MustAdd(0, mpb.BarFillerFunc(func(out io.Writer, room decor.Statistics) error {
			text := ""
			if lines := *c.lines.Load(); i < len(lines) {
				text = lines[i]
			}
			_, err := io.WriteString(out, runewidth.Truncate(text, cmp.Or(max(room.AvailableWidth-1, 0), 1), "…"))
			return err
		}), mpb.BarFillerTrim()))
	}
}

func (c *crowd) leave() {
	for _, bar := range c.bars {
		bar.Abort(true)
	}
	if c.live != nil {
		c.live.Wait()
	}
}
