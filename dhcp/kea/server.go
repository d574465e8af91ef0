package kea

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sprout"
)

// A Server has one Kea answer. Make it with New.
type Server struct {
	config  Config
	channel channel
	ready   chan struct{}
	once    sync.Once // closes ready

	// What Kea was told last, and when; of the goroutine of Serve.
	applied  map[string]string // digests of the parts as Kea shows them; nil: nothing was taken
	told     string            // digest of the settings
	kea      process
	verified time.Time // when it was last seen to go by them
	changed  time.Time // when somebody else changed it last

	mirror mirror
}

const (
	lookEvery   = 500 * time.Millisecond // at Kea
	retryAfter  = 2 * time.Second        // where Kea is not there
	retryTold   = 30 * time.Second       // where Kea refused the configuration
	gatherFor   = 200 * time.Millisecond // changes that come together are set together
	changedSaid = 10 * time.Minute       // a change of somebody else is a problem for
)

// New checks the configuration and makes a server that Serve runs once. Errors
// are Invalid and name the field.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if c.Hooks == "" {
		found, _ := filepath.Glob("/usr/lib/*/kea/hooks") // the pattern is right
		if len(found) == 0 {
			return nil, sprout.InvalidField("dhcp.kea.hooks", "cannot find Kea's hook libraries: no /usr/lib/*/kea/hooks").WithRemedy("apt-get install kea-dhcp4-server, or name the directory")
		}
		c.Hooks = found[0]
	}
	if info, err := os.Stat(c.Hooks); err != nil || !info.IsDir() {
		return nil, sprout.InvalidField("dhcp.kea.hooks", "cannot use %q: it must be the directory of Kea's hook libraries", c.Hooks)
	}
	return &Server{config: c, channel: channel{c.Socket}, ready: make(chan struct{}), mirror: mirror{known: map[string]sprout.Lease{}}}, nil
}

// Ready is closed once Kea has been told what to do.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Serve keeps Kea told, and its leases read, until ctx ends. While Kea is not
// there it waits for it: that is a problem, not an end.
func (s *Server) Serve(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	if s.config.Interface != "" {
		watching.Go(func() {
			for ctx.Err() == nil {
				if err := s.watch(ctx); err != nil {
					s.config.Log.Warn("boots are not seen", "error", err)
					_ = sprout.Pause(ctx, retryAfter)
				}
			}
		})
	}
	for ctx.Err() == nil {
		err := s.session(ctx)
		if ctx.Err() != nil {
			break
		}
		s.config.Trouble(sprout.KeaUnreachable, unreachable(s.config.Socket, err), err.Error())
		_ = sprout.Pause(ctx, retryAfter)
	}
	return nil
}

// session works with the Kea that is there, until it is not.
func (s *Server) session(ctx context.Context) error {
	changed := s.config.Ledger.Changed()
	retry, err := s.apply(ctx)
	if err != nil {
		return err
	}
	s.config.Trouble(sprout.KeaUnreachable, "", "")
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			if sprout.Pause(ctx, gatherFor) != nil {
				return nil
			}
			changed = s.config.Ledger.Changed()
			retry, err = s.apply(ctx)
		case <-retry:
			retry, err = s.apply(ctx)
		case <-look.C:
			var again <-chan time.Time
			if again, err = s.look(ctx); again != nil {
				retry = again
			}
		}
		if err != nil {
			return err
		}
	}
}

// apply sets the configuration, unless Kea has it. Where Kea refuses, that is a
// problem, Kea goes on as it was, and retry is when to try again. The error is
// that Kea is not there.
func (s *Server) apply(ctx context.Context) (retry <-chan time.Time, err error) {
	n := s.intent()
	if s.applied == nil || digest(n.settings()) != s.told {
		err = s.set(ctx, n)
	}
	var why *reason
	switch {
	case errors.As(err, &why):
		s.config.Trouble(sprout.KeaRefused, why.means, why.evidence)
		return time.After(retryTold), nil
	case err != nil:
		return nil, err
	}
	s.config.Trouble(sprout.KeaRefused, "", "")
	s.once.Do(func() { close(s.ready) })
	return nil, nil
}

// A reason says why Kea cannot be told what to do, though it is there.
type reason struct{ means, evidence string }

func (r *reason) Error() string { return r.means + ": " + r.evidence }

// refused makes a reason of a refusal; other errors stay what they are.
func refused(err error, means string) error {
	var r *refusal
	if errors.As(err, &r) {
		return &reason{means, r.text}
	}
	return err
}

// oldest is the first version of Kea that can do what is asked: flex_option's
// client classes came with it.
var oldest = [2]int{2, 2}

// set has Kea take the configuration of n.
func (s *Server) set(ctx context.Context, n *intent) error {
	began := time.Now()
	if err := s.checkVersion(ctx); err != nil {
		return err
	}
	base, err := s.running(ctx)
	if err != nil {
		return err
	}
	if err := s.mayReplace(base); err != nil {
		return err
	}
	for _, sub := range n.unserved() {
		s.config.Log.Warn("kea cannot serve a subnet: another of the site overlaps it, and Kea knows no VRFs", "subnet", sub)
	}
	whole := object{"Dhcp4": n.configure(base, s.config.Interface)}
	if err := s.channel.ask(ctx, "config-test", whole, nil); err != nil {
		return refused(err, "Kea refuses the configuration, and goes on with the one it has")
	}
	if err := s.channel.ask(ctx, "config-set", whole, nil); err != nil {
		return errors.Join(refused(err, "Kea could not take the configuration, and was given back the one it had"), s.restore(ctx, base))
	}
	if base, err = s.running(ctx); err != nil {
		return err
	}
	if s.kea, err = s.process(ctx); err != nil {
		return err
	}
	if err := s.hasLeaseCommands(ctx); err != nil {
		return err
	}
	s.applied, s.told, s.verified = n.parts(base), digest(n.settings()), time.Now()
	s.mirror.name(n)
	s.config.Log.Info("kea is configured", "subnets", len(n.served()), "reservations", len(n.reservations), "machines", len(n.machines), "took", time.Since(began).Round(time.Millisecond))
	s.write(ctx)
	return nil
}

// restore gives Kea back the configuration that it had: config-test does not try
// hook libraries, and after a config-set that fails Kea serves nobody.
func (s *Server) restore(ctx context.Context, base object) error {
	if err := s.channel.ask(ctx, "config-set", object{"Dhcp4": base}, nil); err != nil {
		s.config.Log.Error("kea does not take back the configuration that it had", "error", err)
		return err
	}
	return nil
}

// intent is what Kea shall do now.
func (s *Server) intent() *intent {
	c := &s.config
	reservations, machines := slices.Clone(c.Ledger.Reserved()), slices.Clone(c.Ledger.Machines())
	slices.SortFunc(reservations, func(a, b sprout.Reservation) int { return strings.Compare(a.MAC, b.MAC) })
	slices.SortFunc(machines, func(a, b sprout.SiteMachine) int { return strings.Compare(string(a.ID), string(b.ID)) })
	subnets := c.Ledger.Subnets()
	return &intent{
		set: settingsOf(c.Ledger, subnets, machines), subnets: subnets, reservations: reservations, machines: machines, domain: c.Domain(),
		address: c.Address, vrf: c.VRF, bootURL: c.BootURL, loaders: c.Loaders, leaseTime: c.LeaseTime, hooks: c.Hooks,
	}
}

// running is the configuration that Kea has.
func (s *Server) running(ctx context.Context) (object, error) {
	var whole struct {
		Dhcp4 object `json:"Dhcp4"`
	}
	if err := s.channel.ask(ctx, "config-get", nil, &whole); err != nil {
		return nil, refused(err, "Kea does not show its configuration")
	}
	if whole.Dhcp4 == nil {
		return nil, &reason{"What listens on the control socket is not kea-dhcp4", "its configuration has no Dhcp4"}
	}
	delete(whole.Dhcp4, "hash") // of Kea 2.4; it may not be set
	return whole.Dhcp4, nil
}

func (s *Server) checkVersion(ctx context.Context) error {
	var version struct {
		Extended string `json:"extended"`
	}
	if err := s.channel.ask(ctx, "version-get", nil, &version); err != nil {
		return refused(err, "Kea does not say its version")
	}
	var major, minor int
	first, _, _ := strings.Cut(version.Extended, "\n")
	if _, err := fmt.Sscanf(first, "%d.%d", &major, &minor); err != nil || major < oldest[0] || major == oldest[0] && minor < oldest[1] {
		return &reason{fmt.Sprintf("Kea is too old: %d.%d or later is needed", oldest[0], oldest[1]), "it says that it is " + first}
	}
	return nil
}

// mayReplace refuses to overwrite what others configured, unless that is allowed.
func (s *Server) mayReplace(base object) error {
	context, _ := base["user-context"].(object)
	if _, ours := context[mark]; ours || s.config.TakeOver {
		return nil
	}
	var found []string
	for _, key := range []string{"subnet4", "shared-networks", "client-classes", "reservations"} {
		if list, _ := base[key].([]any); len(list) > 0 {
			found = append(found, fmt.Sprintf("%s: %d", key, len(list)))
		}
	}
	if found == nil {
		return nil
	}
	return &reason{
		"Kea has a configuration that Sprout did not make, and does not replace: take these out of it, or set dhcp.kea.takeOver to true in the agent's configuration",
		strings.Join(found, ", "),
	}
}

// hasLeaseCommands tells whether Kea can be asked for its leases.
func (s *Server) hasLeaseCommands(ctx context.Context) error {
	var commands []string
	if err := s.channel.ask(ctx, "list-commands", nil, &commands); err != nil {
		return refused(err, "Kea does not list its commands")
	}
	for _, c := range commands {
		if c == pageCommand {
			return nil
		}
	}
	return &reason{"Kea did not load the hook library " + leaseCommands, "it does not know " + pageCommand}
}

// write has Kea keep the configuration for its next start. Where it may not write
// its file, the agent tells it again then.
func (s *Server) write(ctx context.Context) {
	if err := s.channel.ask(ctx, "config-write", nil, nil); err != nil {
		s.config.Log.Warn("kea cannot write its configuration file: after a restart it is told again, and until then it goes by the old one", "error", err)
	}
}
