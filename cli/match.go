package cli

import (
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sprout"
	"sprout/api"
)

// addMatch gives a command the flags that choose machines. A flag that it has
// already keeps its meaning.
func addMatch(c *cobra.Command, m *api.MachineMatch) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.StringVar(&m.Site, "site", "", "of this site")
	own.Var(&wordsOf[sprout.State]{&m.State}, "state", "in one of these states: "+strings.Join(machineStates(), ", "))
	own.StringVarP(&m.Labels, "labels", "l", "", "with labels that meet a selector, as rack=r1,env!=prod,gpu,!spare")
	own.StringVar(&m.Name, "prefix", "", "with a name that begins so")
	own.StringVar(&m.Tag, "tag", "", "with this tag")
	own.StringVar(&m.Pool, "pool", "", "of this pool")
	own.StringVar(&m.Zone, "zone", "", "in this failure zone")
	own.StringVar(&m.Owner, "owner", "", "of this owner")
	own.StringVar((*string)(&m.Architecture), "arch", "", "amd64 or arm64")
	own.StringVar((*string)(&m.BootMode), "boot-mode", "", "bios or uefi")
	own.StringVar((*string)(&m.Power), "power", "", "with its power on, off or unknown")
	own.StringVar(&m.Problem, "problem", "", "with an open problem of this code, or any")
	c.Flags().AddFlagSet(own)
}

// wordsOf is a flag of several words, with commas between them or given again.
type wordsOf[T ~string] struct{ to *[]T }

func (w *wordsOf[T]) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		*w.to = append(*w.to, T(strings.TrimSpace(word)))
	}
	return nil
}

func (w *wordsOf[T]) String() string {
	if w.to == nil {
		return ""
	}
	var all []string
	for _, word := range *w.to {
		all = append(all, string(word))
	}
	return strings.Join(all, ",")
}

func (w *wordsOf[T]) Type() string { return "strings" }

// addSort gives a list's command the flag --sort where its operation takes one:
// in is a pointer to the operation's input.
func addSort(c *cobra.Command, in any) {
	v := reflect.ValueOf(in).Elem()
	field, ok := v.Type().FieldByName("Sort")
	if !ok {
		return
	}
	orders := strings.Split(field.Tag.Get("enum"), ",")
	c.Flags().StringVar(v.FieldByIndex(field.Index).Addr().Interface().(*string), "sort", "", "order: "+strings.Join(orders, ", "))
	_ = c.RegisterFlagCompletionFunc("sort", suggest(fixed(orders...), false)) // fails only where one is there already
}
