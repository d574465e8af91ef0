package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// firstSteps is what who types nothing but sprout is told, in the order in which
// it is done.
var firstSteps = []line{
	{"sprout dev", "a control plane on this machine, to try it (Ctrl-C ends it)"},
	{"sprout login https://sprout.example:8443", "or one that runs already"},
	{"sprout status", "is it there, and ready"},
	{"sprout site create lon1", "a place with its own provisioning network"},
	{"sprout network create prov --site lon1 --cidr 10.20.0.0/24 --dynamic 10.20.0.100-10.20.0.199 --discover", "that network"},
	{"sprout agent token create lon1", "the token by which the site's agent enrols; there: sprout agent --config FILE"},
	{"sprout image import debian-12 FILE", "what is to be installed"},
	{"sprout machine list", "machines appear when they are powered on, or: sprout machine import -f FILE"},
	{"sprout machine commission m1 --wait", "inspect and test one"},
	{"sprout machine allocate m1", "take it"},
	{"sprout machine deploy m1 --image debian-12 --plan", "see what an install destroys and costs; without --plan it asks, and does it"},
	{"sprout problem list", "what is wrong, and what helps"},
}

// showFirst says how to begin, and where commands go now.
func (e *env) showFirst(root *cobra.Command) {
	fmt.Fprintf(e.stdout, "%s\n\nFirst steps:\n\n", root.Short)
	for _, step := range firstSteps {
		fmt.Fprintf(e.stdout, "  %s\n      %s\n", step.Name, e.paint(e.stdout, faint, step.Value))
	}
	if conn, err := e.connection(); err == nil {
		fmt.Fprintf(e.stdout, "\nCommands go to the control plane at %s.\n", conn.Server)
	} else {
		fmt.Fprintln(e.stdout, "\nNo control plane is known yet.")
	}
	fmt.Fprintln(e.stdout, "Every command: sprout --help. Examples of one: sprout machine deploy --help.")
}
