package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/api"
)

// start carries out do for each reference, then follows the workflows side by
// side if wait is set. One that could not start does not keep the others from
// theirs.
func (e *env) start(ctx context.Context, refs []string, wait bool, do func(ref string) (sprout.Workflow, error)) error {
	if !wait {
		return e.each(refs, func(ref string) (result, error) {
			w, err := do(ref)
			return result{w, startedWords(w)}, err
		})
	}
	var running []sprout.Workflow
	var failed error
	for _, ref := range refs {
		w, err := do(ref)
		switch {
		case err == nil:
			running = append(running, w)
		case len(refs) == 1:
			return err
		default:
			failed = cmp.Or(failed, err)
			fmt.Fprintf(e.stderr, "%s %s: %v\n", e.paint(e.stderr, red, "sprout:"), ref, err)
			e.tryThis(err)
		}
	}
	if len(running) == 0 {
		return exit{exitOf(failed), errShown}
	}
	return cmp.Or(e.wait(ctx, running), e.some(len(refs), len(running), failed))
}

func startedWords(w sprout.Workflow) string {
	return fmt.Sprintf("%s of %s is started; follow it with: sprout workflow wait %s", w.Kind, w.MachineName, w.ID)
}

func machineCommissionCommand(e *env) *cobra.Command {
	a := &machineAction{env: e, started: true}
	var in api.Commission
	var tests []string
	var wait time.Duration
	c := &cobra.Command{
		Use: "commission [MACHINE…]", Short: api.MachineCommission.Help, Args: takes(0, -1, machinesOrSelection),
		Long: "Inspect a machine and test its hardware. The usual tests take seconds; --test adds others, each once for each device it is\n" +
			"for. A machine on which a test fails is set aside as broken. Tests are skipped only for a reason, which is shown with the machine.",
		Example: "  sprout machine commission web-01 web-02 --wait\n  sprout machine commission --site lon1 --state registered --plan\n" +
			"  sprout machine commission web-01 --test smart --test disk-speed:runtime=1m --wait\n" +
			"  sprout machine commission web-01 --skip-tests \"burned in by the vendor\"\n" +
			"  sprout machine commission --pool web --fast-track 8h --yes",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if in.Tests, err = testChoices(tests); err != nil {
				return err
			}
			in.SkipTests = c.Flags().Changed("skip-tests")
			in.FastTrack = int(wait.Seconds())
			a.in.Body.Action, a.in.Body.Commission = "commission", &in
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				w, err := call(ctx, e, api.MachineCommission, api.CommissionMachine{MachineRef: machineRef(ref), Body: in})
				return &w, err
			}
			return a.run(c, args)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&tests, "test", nil, "run this test too: NAME or NAME:PARAMETER=VALUE,…; may be repeated")
	f.DurationVar(&wait, "fast-track", 0, "how long the machine then waits in the ramdisk, switched on, as 8h: a deploy in that time needs no power cycle, and ends by kexec (default it is switched off)")
	f.BoolVar(&in.Destructive, "destructive", false, "tests may overwrite the disks")
	f.StringVar(&in.SkipReason, "skip-tests", "", "do not test the hardware, and why; this is recorded and shown")
	a.add(c)
	return c
}

func machineDeployCommand(e *env) *cobra.Command {
	a := &machineAction{env: e, started: true, asks: true}
	var in api.Deployment
	var keys []string
	var userData, disk string
	var layout layoutFlags
	c := &cobra.Command{
		Use: "deploy [MACHINE…]", Short: api.MachineDeploy.Help, Args: takes(0, -1, machinesOrSelection),
		Example: "  sprout machine deploy web-01 --image debian-12 --plan\n" +
			"  sprout machine deploy web-01 --image debian-12 --ssh-key ~/.ssh/id_ed25519.pub --wait\n" +
			"  sprout machine deploy --site lon1 --state allocated --image debian-12 --user-data cloud.yaml --disk serial=S4X7,min=400GB --yes\n" +
			"  sprout machine deploy web-01 --image debian-12-rootfs --layout raid1 --swap 2GiB --boot 1GiB --plan",
		RunE: func(c *cobra.Command, args []string) error {
			if in.Image == "" {
				return usage(c, "%s needs --image", c.CommandPath()).WithRemedy("sprout image list")
			}
			var err error
			if in.Disk, err = parseDiskRule(disk); err != nil {
				return err
			}
			if in.SSHKeys, err = readKeys(keys); err != nil {
				return err
			}
			if in.Layout, err = layout.choice(e); err != nil {
				return err
			}
			if userData != "" {
				raw, err := e.readFile("--user-data", userData)
				if err != nil {
					return err
				}
				in.UserData = string(raw)
			}
			a.in.Body.Action, a.in.Body.Deploy = "deploy", &in
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				one := api.DeployMachine{MachineRef: machineRef(ref)}
				one.Body.Deployment = in
				done, err := call(ctx, e, api.MachineDeploy, one)
				return done.Workflow, err
			}
			return a.run(c, args)
		},
	}
	f := c.Flags()
	f.StringVar(&in.Image, "image", "", "image to install: name, alias, id or digest")
	f.StringArrayVar(&keys, "ssh-key", nil, "public key, or a file of them; may be repeated")
	f.StringVar(&userData, "user-data", "", "file of cloud-init user data; - reads standard input")
	f.StringVar(&disk, "disk", "", "disk to write: serial=…, wwn=…, model=…, name=…, path=…, min=SIZE, max=SIZE, rotational=yes|no, smallest (default the smallest that fits)")
	f.StringVar(&in.Network, "network", "", "network to take the address from (default the only one)")
	layout.add(f)
	f.StringVar((*string)(&in.Metadata), "metadata", "", "how the system gets its metadata: drive, or http, which leaves no user data on its config drive, or ignition, which is http for images with Ignition (default drive)")
	a.add(c)
	return c
}

func machineReleaseCommand(e *env) *cobra.Command {
	a := &machineAction{env: e, started: true, asks: true}
	var in api.Releasing
	c := &cobra.Command{
		Use: "release [MACHINE…]", Short: api.MachineRelease.Help, Args: takes(0, -1, machinesOrSelection),
		Example: "  sprout machine release web-01 --erase --plan\n  sprout machine release web-01 --erase --wait\n  sprout machine release web-01 --erase=overwrite --wait\n  sprout machine release web-01 --force \"the site burned down\"\n  sprout machine release --pool lab --erase --yes",
		RunE: func(c *cobra.Command, args []string) error {
			a.in.Body.Action, a.in.Body.Release = "release", &in
			a.one = func(ctx context.Context, ref string) (*sprout.Workflow, error) {
				one := api.ReleaseMachine{MachineRef: machineRef(ref)}
				one.Body.Releasing = in
				done, err := call(ctx, e, api.MachineRelease, one)
				return done.Workflow, err
			}
			return a.run(c, args)
		},
	}
	erase := c.Flags().VarPF(&eraseFlag{&in}, "erase", "", "erase every disk and read it back to prove it: by the best that each disk can have, or by --erase=METHOD alone, one of "+strings.Join(sprout.EraseMethods(), ", "))
	erase.NoOptDefVal = "best"
	c.Flags().StringVar(&in.Force, "force", "", "do not wait for the site, for this reason, which is audited: the machine is registered then, and says what was not done")
	a.add(c)
	return c
}

// An eraseFlag is --erase, alone or with a method.
type eraseFlag struct{ in *api.Releasing }

const eraseMethod = "method" // as flags say what they take

func (f *eraseFlag) Type() string { return eraseMethod }

func (f *eraseFlag) String() string { return string(f.in.EraseMethod) }

func (f *eraseFlag) Set(value string) error {
	switch {
	case value == "best" || value == "true":
		f.in.Erase, f.in.EraseMethod = true, ""
	case value == "false":
		f.in.Erase, f.in.EraseMethod = false, ""
	case slices.Contains(sprout.EraseMethods(), value):
		f.in.Erase, f.in.EraseMethod = true, sprout.EraseMethod(value)
	default:
		return fmt.Errorf("%q is no method: use one of %s", value, strings.Join(sprout.EraseMethods(), ", "))
	}
	return nil
}

// readKeys reads each value as a public key, or as a file of them.
func readKeys(values []string) ([]string, error) {
	var keys []string
	for _, value := range values {
		if strings.Contains(value, " ") {
			keys = append(keys, strings.TrimSpace(value))
			continue
		}
		raw, err := os.ReadFile(value)
		if err != nil {
			return nil, sprout.InvalidField("--ssh-key", "%q is neither a public key nor a file that can be read: %v", value, err)
		}
		if strings.Contains(string(raw), "PRIVATE KEY") {
			return nil, sprout.InvalidField("--ssh-key", "%s holds a private key", value).WithRemedy("--ssh-key %s.pub", value)
		}
		for l := range strings.Lines(string(raw)) {
			if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
				keys = append(keys, l)
			}
		}
	}
	return keys, nil
}

// parseDiskRule reads KEY=VALUE pairs, separated by commas. A rule without a value
// is refused: it would be none.
func parseDiskRule(text string) (sprout.DiskRule, error) {
	var rule sprout.DiskRule
	if text == "" {
		return rule, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch {
		case key == "smallest" && value == "":
			rule.Smallest = true
		case !slices.Contains([]string{"serial", "wwn", "model", "name", "path", "min", "max", "rotational"}, key):
			err = sprout.InvalidField("--disk", "%q is no rule; allowed are serial, wwn, model, name, path, min, max, rotational, smallest", pair).WithRemedy("--disk serial=…")
		case value == "":
			err = sprout.InvalidField("--disk", "%s has no value", key).WithRemedy("--disk %s=…", key)
		case key == "min":
			rule.MinBytes, err = parseSize("--disk", value)
		case key == "max":
			rule.MaxBytes, err = parseSize("--disk", value)
		case key == "rotational":
			on := value == "yes" || value == "true"
			if !on && value != "no" && value != "false" {
				err = sprout.InvalidField("--disk", "rotational is yes or no, not %q", value)
			}
			rule.Rotational = &on
		default:
			to := map[string]*string{"serial": &rule.Serial, "wwn": &rule.WWN, "model": &rule.Model, "name": &rule.Name, "path": &rule.Path}[key]
			*to = value
		}
		if err != nil {
			return rule, err
		}
	}
	return rule, nil
}
