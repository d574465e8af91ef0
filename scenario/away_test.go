package scenario_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"sprout"
	"sprout/power"
	"sprout/power/redfish/emulator"
	"sprout/sim"
)

// awayEnv says how long tellAway lasts, as a Go duration: `make test-away` makes
// it an hour.
const awayEnv = "SPROUT_AWAY"

// tellAway has a deployed machine lose power, lease its address from the network,
// and be sent to its disk, again and again; each time a host that nobody knows
// leases an address, and the machine's name is looked up: what a site does while
// nobody else is there. $rounds is how often.
func tellAway(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "away MACHINE SITE NAME")
	lasts := 4 * time.Second
	if text := os.Getenv(awayEnv); text != "" {
		var err error
		lasts, err = time.ParseDuration(text)
		ts.Check(err)
	}
	slot, began, rounds := s.slot(ts, args[0]), time.Now(), 0
	for ; rounds == 0 || time.Since(began) < lasts; rounds++ {
		ts.Check(slot.Machine.PowerOff(context.Background()))
		ts.Check(slot.Machine.PowerOn(context.Background(), emulator.Boot{Device: power.BootNetwork}))
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		s.awaitSim(ctx, ts, args[0], sim.StepUp, "")
		s.lease(ctx, ts, args[1], rounds)
		s.resolve(ts, args[1], args[2])
		_ = sprout.Pause(ctx, min(lasts/20, time.Minute)) // the pace of it; nothing is waited for
		cancel()
	}
	ts.Logf("%d rounds", rounds)
	ts.Setenv("rounds", strconv.Itoa(rounds))
}

// lease has a host that nobody knows get an address from the site.
func (s *story) lease(ctx context.Context, ts *testscript.TestScript, site string, n int) {
	name := fmt.Sprintf("stranger%d", n)
	tellPlug(s, ts, false, []string{name, site, fmt.Sprintf("mac=52:54:00:aa:%02x:%02x", n>>8, n&0xff)})
	m := s.slot(ts, name).Machine
	ts.Check(m.PowerOn(context.Background(), emulator.Boot{}))
	e, _, err := m.Await(ctx, 0, func(e sim.Entry) bool { return e.Step == sim.StepScript })
	ts.Check(err)
	_, from, _ := strings.Cut(e.Detail, " from ")
	ip, err := netip.ParseAddr(from)
	ts.Check(err)
	ts.Check(m.PowerOff(context.Background()))
	s.strangers[m.Spec().MACs[0]] = ip
}

// resolve asks the site's name server for a name: it is the address that the
// machine of that name phoned home from.
func (s *story) resolve(ts *testscript.TestScript, site, name string) {
	label, _, _ := strings.Cut(name, ".")
	var home string
	for _, e := range s.slot(ts, label).Machine.Journal() {
		if from, ok := strings.CutPrefix(e.Detail, "from "); ok && e.Step == sim.StepHome {
			home = from
		}
	}
	answer, err := dns.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA), s.nameServer(ts, site).String())
	ts.Check(err)
	if len(answer.Answer) != 1 || dns.Field(answer.Answer[0], 1) != home {
		ts.Fatalf("alone, the site answers %s with %v, and the machine is %q", name, answer.Answer, home)
	}
}
