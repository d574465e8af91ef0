package provision

import (
	"net/netip"
	"strings"
	"testing"

	"sprout"
	"sprout/workflow"
)

// squatted runs a deploy whose work the site ends as it does where somebody uses
// the machine's address, for the first so many addresses.
func squatted(t *testing.T, times int) (*centreWorld, workflow.Run) {
	t.Helper()
	w := newCentreWorld(sprout.Allocated)
	return w, squattedIn(t, w, Deploy, DeployInput{Machine: "mch_1", Subnet: "sub_1", Image: testImage}, times)
}

// squattedIn is squatted of any kind of work.
func squattedIn(t *testing.T, w *centreWorld, kind string, input any, times int) workflow.Run {
	t.Helper()
	c := centreCase(w, kind, input, nil)
	e, err := workflow.New(w, w.clock.Now, discard(), c.Definition)
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Start(t.Context(), "wfl_1", kind, c.Input, workflow.StartOptions{})
	seen := map[string]bool{}
	for err == nil && !run.State.Ended() {
		if run.WaitSignal == SignalWorkEnded && w.sent.ID != "" && !seen[w.sent.ID] {
			seen[w.sent.ID] = true
			result := sprout.WorkResult{State: sprout.Succeeded}
			if len(seen) <= times {
				result = sprout.WorkResult{State: sprout.FailedRun, Failure: sprout.Fail(sprout.AddressTaken, "somebody else has it", "")}
				result.Failure.Step = "probe-addresses"
				result.Taken = []sprout.AddressConflict{{IP: w.held[0].IP, MAC: "52:54:00:00:09:09", Machine: "mch_1", By: "a probe"}}
			}
			err = e.Signal(t.Context(), run.ID, SignalWorkEnded, WorkEnded{Work: w.sent.ID, Result: result})
		}
		if err == nil {
			_, _, err = e.Advance(t.Context(), run.ID)
		}
		if err == nil {
			run, err = w.Get(t.Context(), run.ID)
		}
		if len(seen) > 10 {
			t.Fatal("it goes on for ever")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(w.unclaimed) > 0 {
		t.Errorf("without a claim on the run: %v", w.unclaimed)
	}
	return run
}

// The address that a machine is given for a boot by virtual media is one that nobody
// else uses, too: it goes on with another, and gives that one back.
func TestMediaTakeAnotherAddress(t *testing.T) {
	for kind, input := range map[string]any{
		Commission: CommissionInput{Machine: "mch_1", Subnet: "sub_1"}, Release: ReleaseInput{Machine: "mch_1", Subnet: "sub_1", Erase: true},
	} {
		t.Run(kind, func(t *testing.T) {
			w := newCentreWorld(map[string]sprout.State{Commission: sprout.Registered, Release: sprout.Allocated}[kind])
			run := squattedIn(t, w, kind, input, 2)
			if run.State != sprout.Succeeded || len(w.held) != 0 {
				t.Fatalf("it is %s and holds %v: %v", run.State, w.held, run.Failure)
			}
			if len(w.quarantined) != 2 || w.quarantined[0].IP.String() != "10.0.0.10" || w.quarantined[0].Subnet != "sub_1" || w.quarantined[1].MAC != "52:54:00:00:09:09" {
				t.Errorf("quarantined %+v", w.quarantined)
			}
			if w.sent.ID != "wfl_1/1.2" || !strings.Contains(string(w.sent.Input), `"address":"10.0.0.12"`) {
				t.Errorf("sent %s: %s", w.sent.ID, w.sent.Input)
			}
		})
	}
}

// A deploy whose address somebody else uses goes on by itself with another, under
// the same name, and says why.
func TestDeployTakesAnotherAddress(t *testing.T) {
	w, run := squatted(t, 2)
	if run.State != sprout.Succeeded || w.now() != sprout.Deployed {
		t.Fatalf("it is %s, the machine %s: %v", run.State, w.now(), run.Failure)
	}
	if len(w.quarantined) != 2 || w.quarantined[0].IP.String() != "10.0.0.10" || w.quarantined[0].Subnet != "sub_1" || w.quarantined[0].Machine != "mch_1" {
		t.Errorf("quarantined %+v", w.quarantined)
	}
	if want := netip.MustParseAddr("10.0.0.12"); w.names["m1.lon1.example"] != want || w.held[0].IP != want {
		t.Errorf("names %v, held %v", w.names, w.held)
	}
	if w.sent.ID != "wfl_1/1.2" || !strings.Contains(string(w.sent.Input), "10.0.0.12") {
		t.Errorf("sent %s: %s", w.sent.ID, w.sent.Input)
	}
	said := ""
	for _, s := range run.Steps {
		said += s.Detail + "\n"
	}
	for _, want := range []string{"10.0.0.10 is used by 52:54:00:00:09:09: 10.0.0.11 for 52:54:00:00:00:02 instead", "10.0.0.12 for 52:54:00:00:00:02 instead"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said in:\n%s", want, said)
		}
	}
}

// Where somebody has every address, the deploy fails after some of them.
func TestDeployGivesUpOnTakenAddresses(t *testing.T) {
	w, run := squatted(t, 100)
	if run.State != sprout.FailedRun || run.Failure.Code != sprout.AddressTaken || w.Values()["problem"] != string(sprout.AddressTaken) {
		t.Fatalf("it is %s: %v", run.State, run.Failure)
	}
	if len(w.quarantined) != 1+sprout.MostOthers || len(w.held) != 0 || len(w.names) != 0 {
		t.Errorf("quarantined %v, held %v, names %v", w.quarantined, w.held, w.names)
	}
}

// The site's step names who has the address, and leaves the machine as it was.
func TestSiteProbesBeforeItBoots(t *testing.T) {
	own := netip.MustParseAddr("10.0.0.10")
	for kind, input := range map[string]any{
		Deploy:     sprout.DeployWork{Image: testImage, Hostname: "m1.lon1.example", Networks: []sprout.InterfaceSetup{{MAC: "52:54:00:00:00:02", IP: own, Prefix: 24}}},
		Commission: sprout.CommissionWork{Address: own}, Release: sprout.ReleaseWork{Erase: true, Address: own},
	} {
		t.Run(kind, func(t *testing.T) { probesBefore(t, kind, input) })
	}
}

func probesBefore(t *testing.T, kind string, input any) {
	w := newSiteWorld()
	w.squatter, w.virtual = "52:54:00:00:09:09", kind != Deploy
	c := siteCase(w, kind, input, nil)
	e, err := workflow.New(w, w.clock.Now, discard(), c.Definition)
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Start(t.Context(), "wfl_1/1", kind, c.Input, workflow.StartOptions{})
	for err == nil && !run.State.Ended() && run.WaitSignal == "" { // what waits has booted
		if _, _, err = e.Advance(t.Context(), run.ID); err == nil {
			run, err = w.Get(t.Context(), run.ID)
		}
	}
	if err != nil || run.State != sprout.FailedRun || run.Failure.Code != sprout.AddressTaken || run.Failure.Step != "probe-addresses" {
		t.Fatalf("it is %s: %v, %v", run.State, run.Failure, err)
	}
	if !strings.Contains(run.Failure.Evidence, "52:54:00:00:09:09 answers for 10.0.0.10") || !strings.Contains(run.Failure.Remedy, "sprout workflow retry") {
		t.Errorf("failure %+v", run.Failure)
	}
	if w.power != sprout.PowerOff || w.Values()["intent"] != "" {
		t.Errorf("power %s, stored %v", w.power, w.Values())
	}
	if told := strings.Join(w.Notes(), "\n"); !strings.Contains(told, `"taken":[{"subnet":"","ip":"10.0.0.10","mac":"52:54:00:00:09:09"`) {
		t.Errorf("the centre was told:\n%s", told)
	}
}
