package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// recent is how many items of a list that only grows are shown unasked.
const recent = 100

// A listing is how a list is shown.
type listing[T any] struct {
	Example string
	None    string // said where there are no items
	Grows   bool   // only the newest are shown unasked
	Columns []column[T]
	Watch   *watching[T] // nil: it cannot be watched
}

// A watching says what of a list is told by events.
type watching[T any] struct {
	In   func() api.WatchEvents
	ID   func(T) string
	Keep func(T) bool // what the list's own filters keep; the server knows the others
}

// listCommand makes the "list" of a noun. The caller adds the flags that fill in
// what is asked for.
func listCommand[In, T any, P api.Paged[In]](e *env, op api.Op[In, api.Page[T]], in *In, how listing[T]) *cobra.Command {
	return listOf[In, T, P](e, op, in, how, "list", 0, "no arguments", func([]string) {})
}

// listOf is listCommand for what belongs to something that the arguments name;
// name takes them.
func listOf[In, T any, P api.Paged[In]](e *env, op api.Op[In, api.Page[T]], in *In, how listing[T], use string, args int, takesWhat string, name func([]string)) *cobra.Command {
	var limit int
	var watch bool
	c := &cobra.Command{
		Use: use, Short: op.Help, Args: takes(args, args, takesWhat), Example: how.Example,
		RunE: func(c *cobra.Command, args []string) error {
			name(args)
			if watch {
				return follow(c.Context(), e, followed[T]{
					In: how.Watch.In(), ID: how.Watch.ID, Keep: how.Watch.Keep, Columns: how.Columns, None: how.None,
					Load: func(ctx context.Context) ([]T, error) { return gather[In, T, P](ctx, e, op, *in, limit) },
				})
			}
			items, err := gather[In, T, P](c.Context(), e, op, *in, limit+extra(c, how.Grows))
			if err != nil {
				return err
			}
			if len(items) > limit && limit > 0 {
				items = items[:limit]
				fmt.Fprintf(e.stderr, "the newest %d are shown; --limit 0 shows all\n", limit)
			}
			return list(e, items, how.None, how.Columns)
		},
	}
	if how.Watch != nil {
		watchFlag(c, &watch)
	}
	if c.Name() == "list" {
		c.Aliases = []string{"ls"}
	}
	addSort(c, in)
	if how.Grows {
		c.Flags().IntVar(&limit, "limit", recent, "at most so many; 0: all")
	} else {
		c.Flags().IntVar(&limit, "limit", 0, "at most so many (default all)")
	}
	return c
}

// extra is one where it shall be said that there are more than are shown.
func extra(c *cobra.Command, grows bool) int {
	if grows && !c.Flags().Changed("limit") {
		return 1
	}
	return 0
}

// gather returns what an operation lists, at most limit items; 0: all.
func gather[In, T any, P api.Paged[In]](ctx context.Context, e *env, op api.Op[In, api.Page[T]], in In, limit int) ([]T, error) {
	if limit < 0 {
		return nil, sprout.InvalidField("--limit", "%d is less than nothing", limit)
	}
	c, err := e.client()
	if err != nil {
		return nil, err
	}
	return client.List[In, T, P](ctx, c, op, in, limit)
}
