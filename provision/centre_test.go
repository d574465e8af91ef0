package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/dns"
	"sprout/ipam"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

// A centreWorld is a control plane with one machine, in memory.
type centreWorld struct {
	*workflowtest.Memory
	clock       *workflowtest.Clock
	state       sprout.State
	held        []sprout.Address
	names       map[string]netip.Addr
	names6      map[string]netip.Addr
	quarantined []sprout.AddressConflict
	basis       Basis
	sent        sprout.Work // the last that was delegated
	bare        bool        // its site has no agent
	shell       *sprout.Shell
	unclaimed   []string // what steps did to address management and names without a claim on the run
}

// reach notes what a step does outside of its run's transactions.
func (w *centreWorld) reach(ctx context.Context, what string) {
	if run, err := w.Get(ctx, "wfl_1"); err == nil && run.Claim == nil {
		w.unclaimed = append(w.unclaimed, what+" in "+run.StepName)
	}
}

func newCentreWorld(state sprout.State) *centreWorld {
	w := &centreWorld{Memory: workflowtest.NewMemory(), clock: workflowtest.NewClock(), names: map[string]netip.Addr{}, names6: map[string]netip.Addr{}}
	w.state = state
	return w
}

// now is the machine's state: the last move committed, else the first.
func (w *centreWorld) now() sprout.State {
	if s := w.Values()["state"]; s != "" {
		return sprout.State(s)
	}
	return w.state
}

func (w *centreWorld) Machine(_ context.Context, id sprout.MachineID) (sprout.Machine, error) {
	return sprout.Machine{
		ID: id, Site: "sit_1", SiteName: "lon1", Name: "m1", State: w.now(),
		Interfaces: []sprout.Interface{{MAC: "52:54:00:00:00:01"}, {MAC: "52:54:00:00:00:02", Boot: true}},
	}, nil
}
func (w *centreWorld) Site(context.Context, sprout.SiteID) (sprout.Site, error) {
	return sprout.Site{ID: "sit_1", Name: "lon1", Domain: "lon1.example"}, nil
}
func (w *centreWorld) Agent(context.Context, sprout.SiteID) (sprout.Agent, error) {
	if w.bare {
		return sprout.Agent{}, sprout.Errorf(sprout.NotFound, "cannot find agent of the site")
	}
	return sprout.Agent{Online: true}, nil
}
func (w *centreWorld) Subnet(_ context.Context, _ sprout.SiteID, id sprout.SubnetID) (sprout.Subnet, error) {
	prefix := "10.0.0.0/24"
	switch id {
	case "sub_2":
		prefix = "fd00:2::/64"
	case "sub_3":
		prefix = "10.3.0.0/24"
	}
	return sprout.Subnet{ID: id, CIDR: netip.MustParsePrefix(prefix)}, nil
}
func (w *centreWorld) Basis(context.Context, sprout.Machine, string) (Basis, error) {
	return w.basis, nil
}
func (w *centreWorld) IPAM() ipam.Provider { return centreIPAM{world: w} }
func (w *centreWorld) DNS() dns.Provider   { return (*centreDNS)(w) }
func (w *centreWorld) Move(_ context.Context, t tx, _ sprout.MachineID, event sprout.Event, _ Cause, _ sprout.Image) error {
	from := w.state
	if s, ok := t.Get("state"); ok {
		from = sprout.State(s)
	}
	to, err := sprout.Next(from, event)
	if err != nil {
		return err
	}
	t.Put("state", string(to))
	return nil
}
func (w *centreWorld) Delegate(_ context.Context, t tx, _ sprout.SiteID, work sprout.Work) error {
	w.sent = work
	t.Put("work", work.ID)
	t.Note("work %s %s", work.Kind, work.Input)
	return nil
}
func (w *centreWorld) CancelWork(_ context.Context, t tx, _ sprout.SiteID, work string) error {
	if v, _ := t.Get("work"); v == work {
		t.Delete("work")
	}
	return nil
}
func (w *centreWorld) SkippedTests(_ context.Context, t tx, _ sprout.MachineID, why string) error {
	if why != "" {
		t.Put("skipped", "yes")
	}
	return nil
}
func (w *centreWorld) Raise(_ context.Context, t tx, _ sprout.MachineID, _ Cause, f sprout.Failure) error {
	t.Put("problem", string(f.Code))
	return nil
}
func (w *centreWorld) Clear(_ context.Context, t tx, _ sprout.MachineID, also ...sprout.Code) error {
	if v, _ := t.Get("problem"); v != string(sprout.DisksNotErased) || slices.Contains(also, sprout.DisksNotErased) {
		t.Delete("problem")
	}
	return nil
}
func (w *centreWorld) Let(_ context.Context, t tx, _ sprout.MachineID, how sprout.Shell) error {
	t.Put("shell", how.String())
	return nil
}
func (w *centreWorld) Ended(_ context.Context, t tx, _ Cause, _ sprout.MachineID, s sprout.WorkflowState, _ *sprout.Failure) error {
	t.Put("ended", string(s))
	return nil
}

type centreIPAM struct {
	ipam.Provider // nil: what no step calls
	world         *centreWorld
}

func (p centreIPAM) Allocate(ctx context.Context, r ipam.Request) (sprout.Address, error) {
	p.world.reach(ctx, "allocate")
	for _, a := range p.world.held {
		if a.Subnet == r.Subnet && a.MAC == r.MAC {
			return a, nil
		}
	}
	sub, err := p.world.Subnet(ctx, "sit_1", r.Subnet)
	a := sprout.Address{Site: "sit_1", Subnet: r.Subnet, IP: r.IP, MAC: r.MAC, Name: r.Name, Machine: r.Machine}
	for n := 0; !r.IP.IsValid() && n < 10+len(p.world.quarantined); n++ {
		if a.IP = a.IP.Next(); n == 0 {
			a.IP = sub.CIDR.Addr().Next()
		}
	}
	p.world.held = append(p.world.held, a)
	return a, err
}
func (p centreIPAM) Quarantine(ctx context.Context, c sprout.AddressConflict) error {
	p.world.reach(ctx, "quarantine")
	p.world.held = nil
	p.world.quarantined = append(p.world.quarantined, c)
	return nil
}
func (p centreIPAM) Release(ctx context.Context, _ sprout.MachineID) error {
	p.world.reach(ctx, "release")
	p.world.held = nil
	return nil
}
func (p centreIPAM) Held(context.Context, sprout.MachineID) ([]sprout.Address, error) {
	return p.world.held, nil
}

type centreDNS centreWorld

func (p *centreDNS) Set(ctx context.Context, r sprout.Record) error {
	(*centreWorld)(p).reach(ctx, "publish")
	if r.IP.Is6() {
		p.names6[r.Name] = r.IP
	} else {
		p.names[r.Name] = r.IP
	}
	return nil
}
func (p *centreDNS) Delete(ctx context.Context, _ sprout.SiteID, name string) error {
	(*centreWorld)(p).reach(ctx, "withdraw")
	delete(p.names, name)
	delete(p.names6, name)
	return nil
}
func (p *centreDNS) Lookup(_ context.Context, _ sprout.SiteID, name string) (sprout.Record, bool, error) {
	ip, ok := p.names[name]
	return sprout.Record{Name: name, IP: ip}, ok, nil
}

func centreCase(w *centreWorld, kind string, input any, check func(t *testing.T, run workflow.Run)) workflowtest.Case[tx] {
	c := workflowtest.Case[tx]{Store: w, Clock: w.clock, Input: input, Check: check}
	for _, d := range CentreDefinitions[tx](w) {
		if d.Kind == kind {
			c.Definition = d
		}
	}
	c.Drive = func(t *testing.T, e *workflow.Engine[tx], run workflow.Run) {
		t.Helper()
		if run.WaitSignal != SignalWorkEnded {
			return
		}
		var data centreData
		if err := json.Unmarshal(run.Data, &data); err != nil {
			t.Fatal(err)
		}
		state := sprout.Succeeded
		if run.State == sprout.Unwinding {
			state = sprout.Cancelled
		}
		if err := e.Signal(t.Context(), run.ID, SignalWorkEnded, WorkEnded{Work: data.Work, Result: sprout.WorkResult{State: state, Shell: w.shell}}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestCentreDeployBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newCentreWorld(sprout.Allocated)
		return centreCase(w, Deploy, DeployInput{Machine: "mch_1", Subnet: "sub_1", Image: testImage}, func(t *testing.T, run workflow.Run) {
			v := w.Values()
			if run.State == sprout.Succeeded {
				if w.now() != sprout.Deployed || len(w.held) != 1 || len(w.names) != 1 || v["problem"] != "" {
					t.Errorf("deployed, but state %s, addresses %v, names %v, stored %v", w.now(), w.held, w.names, v)
				}
				return
			}
			if w.now() != sprout.Allocated || len(w.held) != 0 || len(w.names) != 0 {
				t.Errorf("%s, but left: state %s, addresses %v, names %v, stored %v", run.State, w.now(), w.held, w.names, v)
			}
			if (run.State == sprout.FailedRun) != (v["problem"] != "") {
				t.Errorf("%s, problem %q", run.State, v["problem"])
			}
		})
	})
}

// bonded is a configuration with addresses of three subnets, as it is kept.
var bonded = sprout.NetworkConfig{Interfaces: []sprout.InterfaceConfig{
	{Name: "lan0", MAC: "52:54:00:00:00:01"}, {Name: "lan1", MAC: "52:54:00:00:00:02"},
	{Name: "bond0", Bond: &sprout.Bond{Members: []string{"lan0", "lan1"}, Mode: "active-backup"}, Addresses: []sprout.StaticAddress{{Subnet: "sub_1", IP: "10.0.0.7"}, {Subnet: "sub_2"}}},
	{Name: "bond0.3", VLAN: &sprout.VLANInterface{Parent: "bond0", ID: 3}, Addresses: []sprout.StaticAddress{{Subnet: "sub_3"}}},
}}

// Every address of a network configuration is taken, named and given to the
// site, or none is left.
func TestConfiguredDeployBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newCentreWorld(sprout.Allocated)
		return centreCase(w, Deploy, DeployInput{Machine: "mch_1", Network: &bonded, Image: testImage}, func(t *testing.T, run workflow.Run) {
			if run.State != sprout.Succeeded {
				if len(w.held)+len(w.names)+len(w.names6) != 0 {
					t.Errorf("%s, but left: addresses %v, names %v %v", run.State, w.held, w.names, w.names6)
				}
				return
			}
			var sent sprout.DeployWork
			if err := json.Unmarshal(w.sent.Input, &sent); err != nil {
				t.Fatal(err)
			}
			if len(w.held) != 3 || len(w.names) != 2 || len(w.names6) != 1 || w.names["m1.lon1.example"] != netip.MustParseAddr("10.0.0.7") || !w.names["bond0-3.m1.lon1.example"].IsValid() {
				t.Errorf("deployed with addresses %v, names %v %v", w.held, w.names, w.names6)
			}
			if len(sent.Links) != 4 || len(sent.Links[2].Addresses) != 2 || sent.Links[3].MAC != "52:54:00:00:00:01" || len(sent.Networks) != 1 || sent.Networks[0].IP != w.names["m1.lon1.example"] {
				t.Errorf("the site was sent %+v", sent)
			}
		})
	})
}

// An address that the machine holds already is not given for another that is
// asked for.
func TestAnotherAddressThanAskedForIsRefused(t *testing.T) {
	w := newCentreWorld(sprout.Allocated)
	w.held = []sprout.Address{{Site: "sit_1", Subnet: "sub_1", IP: netip.MustParseAddr("10.0.0.8"), MAC: "52:54:00:00:00:01"}}
	c := centreCase(w, Deploy, DeployInput{Machine: "mch_1", Network: &bonded, Image: testImage}, nil)
	run := play(t, c, func(*workflow.Engine[tx], workflow.Run) {})
	if run.State != sprout.FailedRun || run.Failure == nil || !strings.Contains(run.Failure.Reason+run.Failure.Evidence, "10.0.0.8") {
		t.Errorf("it is %s with %+v", run.State, run.Failure)
	}
}

// What a centre before 0.3 says is configured as it was.
func TestOneAddressOfAnOlderCentre(t *testing.T) {
	links := linksOf(sprout.DeployWork{Networks: []sprout.InterfaceSetup{{
		MAC: "52:54:00:00:00:02", IP: netip.MustParseAddr("10.0.0.10"), Prefix: 24, Gateway: netip.MustParseAddr("10.0.0.1"), Domain: "lon1.example", MTU: 1500,
	}}})
	if got := firstOf(links); len(got) != 1 || got[0].Gateway != netip.MustParseAddr("10.0.0.1") || got[0].Domain != "lon1.example" || got[0].MTU != 1500 {
		t.Errorf("it became %+v", got)
	}
}

func TestCentreCommissionBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newCentreWorld(sprout.Discovered)
		return centreCase(w, Commission, CommissionInput{Machine: "mch_1", SkipTests: true}, func(t *testing.T, run workflow.Run) {
			if run.State == sprout.Succeeded && (w.now() != sprout.Ready || w.Values()["skipped"] != "yes") {
				t.Errorf("commissioned, but %s, skipped tests on record: %q", w.now(), w.Values()["skipped"])
			}
			if run.State != sprout.Succeeded && w.now() == sprout.Ready {
				t.Errorf("%s, but the machine is ready", run.State)
			}
		})
	})
}

func TestCentreReleaseBreaksAnywhere(t *testing.T) {
	workflowtest.FailEach(t, func(*testing.T) workflowtest.Case[tx] {
		w := newCentreWorld(sprout.Deployed)
		w.held = []sprout.Address{{Site: "sit_1", IP: netip.MustParseAddr("10.0.0.10"), Name: "m1.lon1.example"}}
		w.names["m1.lon1.example"] = netip.MustParseAddr("10.0.0.10")
		return centreCase(w, Release, ReleaseInput{Machine: "mch_1", Erase: true}, func(t *testing.T, run workflow.Run) {
			gone := len(w.held) == 0 && len(w.names) == 0
			if run.State == sprout.Succeeded && (!gone || w.now() != sprout.Ready) {
				t.Errorf("released, but %s with %v and %v", w.now(), w.held, w.names)
			}
			if run.State != sprout.Succeeded && w.now() != sprout.Deployed {
				t.Errorf("%s, but the machine is %s", run.State, w.now())
			}
		})
	})
}

func TestFailedTestsAtTheSiteBreakTheMachine(t *testing.T) {
	w := newCentreWorld(sprout.Registered)
	c := centreCase(w, Commission, CommissionInput{Machine: "mch_1"}, nil)
	e, err := workflow.New(w, w.clock.Now, discard(), c.Definition)
	if err != nil {
		t.Fatal(err)
	}
	run, err := e.Start(t.Context(), "wfl_1", Commission, c.Input, workflow.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for run.WaitSignal == "" {
		if _, _, err = e.Advance(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		if run, err = w.Get(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	failed := WorkEnded{Work: "wfl_1/1", Result: sprout.WorkResult{State: sprout.FailedRun, Failure: sprout.Fail(sprout.TestFailed, "1 failed", "disk-read on vdb")}}
	if err := e.Signal(t.Context(), run.ID, SignalWorkEnded, failed); err != nil {
		t.Fatal(err)
	}
	for !run.State.Ended() {
		if _, _, err = e.Advance(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		if run, err = w.Get(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
	}
	if w.now() != sprout.Broken || w.Values()["problem"] != string(sprout.TestFailed) || run.Failure.Code != sprout.TestFailed {
		t.Errorf("machine %s, problem %q, failure %+v", w.now(), w.Values()["problem"], run.Failure)
	}
}

// At a site without an agent nobody says that work has ended: what is cancelled
// ends at once all the same, and gives back what it took.
func TestCancellingNeedsNoAgent(t *testing.T) {
	for kind, first := range map[string]struct {
		state sprout.State
		input any
	}{
		Commission: {sprout.Registered, CommissionInput{Machine: "mch_1"}},
		Deploy:     {sprout.Allocated, DeployInput{Machine: "mch_1", Subnet: "sub_1", Image: testImage}},
		Release:    {sprout.Deployed, ReleaseInput{Machine: "mch_1", Erase: true}},
	} {
		t.Run(kind, func(t *testing.T) {
			w := newCentreWorld(first.state)
			w.bare = true
			c := centreCase(w, kind, first.input, nil)
			e, err := workflow.New(w, w.clock.Now, discard(), c.Definition)
			if err != nil {
				t.Fatal(err)
			}
			run, err := e.Start(t.Context(), "wfl_1", kind, c.Input, workflow.StartOptions{})
			if err != nil {
				t.Fatal(err)
			}
			advance := func(until func() bool) {
				t.Helper()
				for range 20 {
					if until() {
						return
					}
					if _, _, err := e.Advance(t.Context(), run.ID); err != nil {
						t.Fatal(err)
					}
					if run, err = w.Get(t.Context(), run.ID); err != nil {
						t.Fatal(err)
					}
				}
				t.Fatalf("it is %s at %s, and waits for %+v", run.State, run.StepName, run.Wait)
			}
			advance(func() bool { return run.WaitSignal != "" })
			if w.Values()["work"] == "" {
				t.Fatal("nothing was sent to the site")
			}
			if err := e.Cancel(t.Context(), run.ID, "the test"); err != nil {
				t.Fatal(err)
			}
			advance(func() bool { return run.State.Ended() })
			if run.State != sprout.Cancelled || w.now() != first.state || len(w.held) != 0 || w.Values()["work"] != "" {
				t.Errorf("it is %s, the machine %s, addresses %v, sent to the site: %q", run.State, w.now(), w.held, w.Values()["work"])
			}
		})
	}
}

func TestUserDataStaysAsWritten(t *testing.T) {
	drive, err := configDrive("wfl_1", siteData{Home: "http://10.0.0.1/phone-home/att/tok"}, sprout.DeployWork{
		Hostname: "m1.lon1.example", UserData: "#cloud-config\nruncmd: [\"true\"]\n", SSHKeys: []string{"ssh-ed25519 AAAA me"},
		Networks: []sprout.InterfaceSetup{{MAC: "52:54:00:00:00:02", IP: netip.MustParseAddr("10.0.0.10"), Prefix: 24, Gateway: netip.MustParseAddr("10.0.0.1")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for want, in := range map[string]string{
		"#cloud-config\nruncmd: [\"true\"]\n": drive.UserData,
		"local-hostname: m1.lon1.example\n":   drive.MetaData,
		"http://10.0.0.1/phone-home/att/tok":  drive.VendorData,
		"fqdn: m1.lon1.example":               drive.VendorData,
		"10.0.0.10/24":                        drive.NetworkConfig,
		"52:54:00:00:00:02":                   drive.NetworkConfig,
		"via: 10.0.0.1":                       drive.NetworkConfig,
	} {
		if !strings.Contains(in, want) {
			t.Errorf("%q is not in:\n%s", want, in)
		}
	}
	if !strings.HasPrefix(drive.VendorData, "#cloud-config\n") {
		t.Error("vendor-data is not a cloud-config")
	}
}

// Each workflow that there is has been broken at every step by a test of this
// package: by failing, dying, and being cancelled there, and then tried again.
func TestEveryDefinitionIsBrokenSomewhere(t *testing.T) {
	tests := ""
	for _, file := range []string{"centre_test.go", "site_test.go", "rescue_test.go"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests += string(raw)
	}
	n := 0
	for at, list := range map[string][]workflow.Definition[tx]{
		"Centre": CentreDefinitions[tx](newCentreWorld(sprout.Ready)), "Site": SiteDefinitions[tx](newSiteWorld(), Limits{}),
	} {
		for _, d := range list {
			n++
			if name := fmt.Sprintf("func Test%s%sBreaksAnywhere(", at, strings.ToUpper(d.Kind[:1])+d.Kind[1:]); !strings.Contains(tests, name) {
				t.Errorf("there is no %s", name)
			}
		}
	}
	if n != 10 {
		t.Errorf("%d definitions were looked at", n)
	}
}
