package redfish_test

import (
	"context"
	"io"
	"net/http/httptrace"
	"slices"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/powertest"
	"sprout/power/redfish"
	"sprout/power/redfish/emulator"
)

// plays is the emulator's part for each row of the table: what a BMC does that has
// the quirk. Without the row the contract fails.
var plays = map[string]struct {
	vendor string
	faults emulator.Faults
}{
	"usb-cd":          {vendor: "Supermicro", faults: emulator.Faults{Odd: emulator.Odd{UsbCD: true}}},
	"stale-image":     {vendor: "Super Micro Computer", faults: emulator.Faults{Odd: emulator.Odd{StaleImage: true}}},
	"say-mode":        {vendor: "Supermicro", faults: emulator.Faults{Odd: emulator.Odd{ModeLost: true}}},
	"any-enabled":     {vendor: "Sushy Emulator", faults: emulator.Faults{Odd: emulator.Odd{AnyEnabled: true}}},
	"mode-fixed":      {vendor: "HPE", faults: emulator.Faults{Odd: emulator.Odd{ModeFixed: true}}},
	"image-alone":     {vendor: "HPE", faults: emulator.Faults{OldMedia: true, Odd: emulator.Odd{ImageAlone: true}}},
	"with-protocol":   {vendor: "Acme", faults: emulator.Faults{Odd: emulator.Odd{WithProtocol: true}}},
	"settings-object": {vendor: "ASRockRack", faults: emulator.Faults{Odd: emulator.Odd{Settings: true}}},
	"etag":            {vendor: "Lenovo", faults: emulator.Faults{Odd: emulator.Odd{ETag: "body"}}},
	// known and played in TestConsole
	"console-websocket": {},
	"console-ipmi":      {},
}

func TestQuirks(t *testing.T) {
	for _, q := range redfish.Quirks() {
		play, ok := plays[q.Name]
		if !ok {
			t.Errorf("nothing plays the quirk %s", q.Name)
		}
		if play.vendor == "" {
			continue
		}
		t.Run(q.Name, func(t *testing.T) {
			t.Parallel()
			powertest.Run(t, func(t *testing.T) powertest.Rig {
				r := openOf(t, play.vendor, play.faults, nil)
				return powertest.Rig{
					Provider: r.Provider, Power: r.machine.Power, Boots: r.machine.Boots, Mode: sprout.UEFI,
					Image: imageOf(t), Inserted: r.bmc.Inserted,
				}
			})
			r := openOf(t, play.vendor, play.faults, nil)
			must(t, r.InsertMedia(t.Context(), imageOf(t)))
			must(t, r.BootOnce(t.Context(), power.BootNetwork, sprout.UEFI))
			known := func(k sprout.Quirk) bool { return k == q }
			if about := r.About(); !slices.ContainsFunc(about.Quirks, known) || about.Vendor != play.vendor || about.Firmware == "" {
				t.Errorf("of the BMC is known %+v, want the quirk %s", about, q.Name)
			}
		})
	}
}

// Every tag that some make wants is found.
func TestETags(t *testing.T) {
	for _, odd := range []string{"body", "strong", "any", "none"} {
		t.Run(odd, func(t *testing.T) {
			r := openOf(t, "Acme", emulator.Faults{Odd: emulator.Odd{ETag: odd}}, nil)
			for range 2 {
				must(t, r.BootOnce(t.Context(), power.BootDisk, sprout.UEFI))
			}
		})
	}
}

// An override that names no mode keeps the one that was set, also where the BMC
// would lose it; and a mode that cannot be set is said to be so.
func TestModes(t *testing.T) {
	both := []sprout.BootMode{sprout.BIOS, sprout.UEFI}
	r := openModes(t, "Supermicro", emulator.Faults{Odd: emulator.Odd{ModeLost: true}}, both)
	must(t, r.BootOnce(t.Context(), power.BootNetwork, sprout.UEFI))
	must(t, r.BootOnce(t.Context(), power.BootDisk, ""))
	if boot := r.bmc.TakeBoot(); boot != (emulator.Boot{Device: power.BootDisk, Mode: sprout.UEFI}) {
		t.Errorf("the next start is %+v, want the disk by UEFI", boot)
	}
	r = openModes(t, "Acme", emulator.Faults{}, both)
	for _, want := range []emulator.Boot{
		{Device: power.BootNetwork, Mode: sprout.BIOS}, {Device: power.BootNetwork, Mode: sprout.UEFI}, {Device: power.BootDisk, Mode: sprout.BIOS}, {Device: power.BootDisk, Mode: sprout.UEFI},
	} {
		must(t, r.BootOnce(t.Context(), want.Device, want.Mode))
		if boot := r.bmc.TakeBoot(); boot != want {
			t.Errorf("the next start is %+v, want %+v", boot, want)
		}
		if boot := r.bmc.TakeBoot(); boot.Device != "" {
			t.Errorf("the start after it is %+v too", boot)
		}
	}
	r = openModes(t, "HPE", emulator.Faults{Odd: emulator.Odd{ModeFixed: true}}, both)
	wantFailure(t, r.BootOnce(t.Context(), power.BootNetwork, sprout.UEFI), sprout.BMCFailed, "set it in the firmware's own setup")
	must(t, r.BootOnce(t.Context(), power.BootNetwork, sprout.BIOS))
}

// A BMC without a session left is asked without one, and is tried again for one.
func TestNoSessionLeft(t *testing.T) {
	r := open(t, emulator.Faults{FullSessions: true}, nil)
	must(t, r.Set(t.Context(), sprout.PowerOn))
	r.bmc.SetFaults(emulator.Faults{})
	must(t, r.Close(t.Context()))
	must(t, r.Set(t.Context(), sprout.PowerOff))
	if r.bmc.Sessions() != 1 {
		t.Errorf("%d sessions after the BMC had room again, want 1", r.bmc.Sessions())
	}
}

// What the BMC told of itself is asked anew when it is another, or as another.
func TestReplacedBMC(t *testing.T) {
	r := open(t, emulator.Faults{}, nil)
	must(t, r.InsertMedia(t.Context(), imageOf(t)))
	r.bmc.SetFaults(emulator.Faults{Moved: true, OldMedia: true})
	must(t, r.Set(t.Context(), sprout.PowerOn)) // its system is at another path
	must(t, r.EjectMedia(t.Context()))          // and its drive
	r.bmc.SetFaults(emulator.Faults{})
	r.bmc.DropSessions() // it restarts
	must(t, r.Set(t.Context(), sprout.PowerOff))
}

// Power that is told late, and tasks however they are told of, are followed.
func TestLate(t *testing.T) {
	for name, faults := range map[string]emulator.Faults{
		"power":        {LatePower: 50 * time.Millisecond},
		"task":         {SlowReset: 20 * time.Millisecond, TaskInBody: true},
		"task located": {SlowReset: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, faults, nil)
			for _, want := range []sprout.PowerState{sprout.PowerOn, sprout.PowerOff} {
				must(t, r.Set(t.Context(), want))
				if is := r.machine.Power(); is != want {
					t.Errorf("after Set(%s) the machine is %s", want, is)
				}
			}
		})
	}
}

// A ported machine has a serial port that repeats what is typed.
type ported struct{ *switchable }

func (ported) Console(context.Context) (io.ReadWriteCloser, error) {
	here, there := io.Pipe()
	return struct {
		io.Reader
		io.WriteCloser
	}{here, there}, nil
}

func TestConsole(t *testing.T) {
	r := openMachine(t, "Acme", emulator.Faults{}, nil, func(m *switchable) emulator.Machine { return ported{m} })
	line, err := r.Console(t.Context())
	must(t, err)
	must(t, r.Set(t.Context(), sprout.PowerOn)) // meanwhile
	_, err = io.WriteString(line, "hello")
	must(t, err)
	heard := make([]byte, 5)
	if _, err := io.ReadFull(line, heard); err != nil || string(heard) != "hello" {
		t.Fatalf("the console says %q: %v", heard, err)
	}
	must(t, line.Close())

	r = open(t, emulator.Faults{NoConsole: true}, nil)
	_, err = r.Console(t.Context())
	wantFailure(t, err, sprout.BMCFailed, "404")
}

// Machines of a site share a client: the console of one takes nobody's connection,
// and one that is closed leaves the others theirs.
func TestASharedClient(t *testing.T) {
	shared := redfish.NewClient(nil, true)
	with := func() power.Provider {
		r := openMachine(t, "Acme", emulator.Faults{}, nil, func(m *switchable) emulator.Machine { return ported{m} })
		return client(t, redfish.Config{URL: urlOf(t, r), Password: password, Client: shared})
	}
	one, other := with(), with()
	line, err := one.Console(t.Context())
	must(t, err)
	must(t, one.Set(t.Context(), sprout.PowerOn)) // meanwhile
	_, err = other.Status(t.Context())
	must(t, err)
	must(t, line.Close())
	var reused bool
	seen := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})
	must(t, one.Close(t.Context()))
	if _, err = other.Status(seen); err != nil || !reused {
		t.Errorf("after another machine's session ended its connection is its own no more: %v", err)
	}
}

// A BMC of a make that is known to have it by IPMI is asked for it there; of others
// it is said what to do.
func TestConsoleByIPMI(t *testing.T) {
	asked := 0
	sol := func(context.Context) (io.ReadWriteCloser, error) { asked++; return nil, io.EOF }
	for vendor, want := range map[string]int{"Supermicro": 1, "Dell Inc.": 1, "HPE": 1, "Acme": 0} {
		asked = 0
		r := openOf(t, vendor, emulator.Faults{OtherBMC: true}, nil)
		p := client(t, redfish.Config{URL: urlOf(t, r), Password: password, SOL: sol})
		_, err := p.Console(t.Context())
		if asked != want {
			t.Errorf("%s: asked %d times by IPMI, want %d", vendor, asked, want)
		}
		if want == 0 {
			wantFailure(t, err, sprout.BMCFailed, "no serial over LAN that Sprout speaks")
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
