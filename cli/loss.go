package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

// A loss is what the end of one thing takes with it, and who uses it: the plan of
// a command that deletes or revokes.
type loss struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Destroys []string `json:"destroys"`
	UsedBy   []string `json:"usedBy"`
	Refused  string   `json:"refused,omitempty"` // why it would be refused now
}

// An ending is a command that ends things of one noun for ever.
type ending struct {
	noun, verb, past string // "site", "delete", "deleted"
	help, example    string
	aliases          []string
	plan             func(ctx context.Context, ref string) (loss, error)
	end              func(ctx context.Context, ref string) error
	gone             func(name string) gone
}

// command makes the command: --plan shows the losses, --yes does not ask.
func (w ending) command(e *env) *cobra.Command {
	var yes, plan bool
	call := "  sprout " + w.noun + " " + w.verb + " " + w.example
	c := &cobra.Command{
		Use: w.verb + " " + strings.ToUpper(w.noun[strings.LastIndexByte(w.noun, ' ')+1:]) + "…", Short: w.help, Aliases: w.aliases,
		Args: takes(1, -1, "the names of what to "+w.verb), Example: call + " --plan\n" + call + "\n" + call + " --yes",
		RunE: func(c *cobra.Command, args []string) error {
			ids := map[string]string{}
			if !plan && !yes && !e.interactive() {
				return e.confirm(c.Context(), len(args), w.doing(args)) // nobody is there to be shown it
			}
			if plan || !yes {
				losses, err := w.losses(c.Context(), args)
				if err != nil {
					return err
				}
				if plan {
					return e.answer(losses, func() { showLosses(e.stdout, losses) })
				}
				showLosses(e.stderr, losses)
				if err := e.confirm(c.Context(), len(args), w.doing(args)); err != nil {
					return err
				}
				for i, ref := range args {
					ids[ref] = losses[i].ID // what was shown is what goes
				}
			}
			return e.each(args, func(ref string) (result, error) {
				id, planned := ids[ref]
				if !planned {
					id = ref
				}
				return result{w.gone(ref), fmt.Sprintf("%s %s is %s", w.noun, ref, w.past)}, w.end(c.Context(), id)
			})
		},
	}
	addYes(c, &yes)
	c.Flags().BoolVar(&plan, "plan", false, "say what would be lost and what uses it, and do nothing")
	return c
}

func (w ending) doing(refs []string) string {
	return w.verb + "s " + w.noun + " " + strings.Join(refs, ", ")
}

func (w ending) losses(ctx context.Context, refs []string) (all []loss, err error) {
	for _, ref := range refs {
		l, err := w.plan(ctx, ref)
		if err != nil {
			return nil, err
		}
		l.Destroys, l.UsedBy = append([]string{}, l.Destroys...), append([]string{}, l.UsedBy...) // never null
		all = append(all, l)
	}
	return all, nil
}

func showLosses(to io.Writer, losses []loss) {
	for i, l := range losses {
		if i > 0 {
			fmt.Fprintln(to)
		}
		lines := []line{{"Name", l.Name}, {"Id", l.ID}}
		for _, what := range l.Destroys {
			lines = append(lines, line{"Lost", what})
		}
		for _, who := range l.UsedBy {
			lines = append(lines, line{"Used by", who})
		}
		if len(l.UsedBy) == 0 {
			lines = append(lines, line{"Used by", "nothing"})
		}
		writeLines(to, append(lines, line{"Refused", l.Refused}))
	}
}

// deleteCommand makes the "delete" of a noun; example is a name of one.
func deleteCommand[In any](e *env, noun, example string, op api.Op[In, api.None], in func(ref string) In, plan func(context.Context, string) (loss, error)) *cobra.Command {
	return ending{
		noun: noun, verb: "delete", past: "deleted", help: op.Help, example: example, aliases: []string{"rm"}, plan: plan,
		end: func(ctx context.Context, ref string) error {
			_, err := call(ctx, e, op, in(ref))
			return err
		},
		gone: func(name string) gone { return gone{Name: name, Deleted: true} },
	}.command(e)
}

// names writes the first few of many names, and how many there are.
func names[T any](many, one string, list []T, of func(T) string) []string {
	if len(list) == 0 {
		return nil
	}
	var some []string
	for _, it := range list[:min(len(list), 5)] {
		some = append(some, of(it))
	}
	more := ""
	if len(list) > len(some) {
		more = ", …"
	}
	return []string{suffixed(len(list), many, one) + ": " + strings.Join(some, ", ") + more}
}

func machineNames(many, one string, list []sprout.Machine) []string {
	return names(many, one, list, func(m sprout.Machine) string { return m.Name })
}
