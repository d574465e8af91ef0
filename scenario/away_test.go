package scenario_test

import (
	"context"
	"os"
	"strconv"
	"time"

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
// and be sent to its disk, again and again, and its name looked up each time: what a site does while nobody else is
// there. $rounds is how often.
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
		tellLookup(s, ts, false, args[1:])
		_ = sprout.Pause(ctx, min(lasts/20, time.Minute)) // the pace of it; nothing is waited for
		cancel()
	}
	ts.Logf("%d rounds", rounds)
	ts.Setenv("rounds", strconv.Itoa(rounds))
}
