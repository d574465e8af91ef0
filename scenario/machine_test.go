package scenario_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"sprout"
	"sprout/power"
	ipmi "sprout/power/ipmi/emulator"
	"sprout/power/redfish/emulator"
	"sprout/power/webhook"
	"sprout/sim"
)

// The user of every BMC in the stories.
const (
	bmcUser     = "admin"
	bmcPassword = "correct horse"
)

func (s *story) slot(ts *testscript.TestScript, name string) *sim.Slot {
	slot, err := s.rack.Slot(name)
	ts.Check(err)
	return slot
}

func tellPlug(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) >= 2, "plug NAME SITE [uefi] [cores=N] [mac=M] [firmware=TEXT] [cable=SWITCH:PORT] [disk=SERIAL:BYTES]… [fault=F]…")
	name, ports := args[0], s.site(ts, args[1]).config.Ports
	config := sim.Config{
		Spec: sim.Spec{Name: name, MACs: []string{macOf(name)}},
		Wire: sim.Wire{DHCP: netip.AddrPortFrom(agentAddress.Addr(), ports.DHCP), Relay: relayAddress, TFTPPort: ports.TFTP},
		Log:  s.log.With("process", "machine", "machine", name),
	}
	for _, arg := range args[2:] {
		ts.Check(describe(&config, arg))
	}
	slot, err := s.rack.Plug(config)
	ts.Check(err)
	ts.Setenv(name+"_mac", config.Spec.MACs[0])
	ts.Setenv(name+"_bmc", slot.URL)
}

// tellBMCForm sets $form to where every BMC is that is at the port of one.
func tellBMCForm(_ *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "bmc-form URL")
	ts.Setenv("form", "http://{address}:"+args[0][strings.LastIndex(args[0], ":")+1:])
}

// tellRefit changes what a machine is made of while it is off: a disk that is not
// named is taken out.
func tellRefit(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) >= 2, "refit NAME [cores=N] [firmware=TEXT] [cable=SWITCH:PORT] [disk=SERIAL:BYTES]…")
	ts.Check(s.slot(ts, args[0]).Machine.Refit(func(spec *sim.Spec) {
		spec.Disks, spec.Neighbours = nil, nil
		c := sim.Config{Spec: *spec}
		for _, arg := range args[1:] {
			ts.Check(describe(&c, arg))
		}
		*spec = c.Spec
	}))
}

func describe(c *sim.Config, arg string) (err error) {
	key, value, _ := strings.Cut(arg, "=")
	switch key {
	case "uefi":
		c.Spec.BootMode = sprout.UEFI
	case "cores":
		c.Spec.Cores, err = strconv.Atoi(value)
	case "firmware":
		c.Spec.Firmware = value
	case "cable":
		leaf, port, _ := strings.Cut(value, ":")
		c.Spec.Neighbours = append(c.Spec.Neighbours, sprout.Neighbour{MAC: c.Spec.MACs[0], Chassis: leaf, Port: port, System: leaf})
	case "mac":
		c.Spec.MACs[0] = value
	case "disk":
		serial, size, _ := strings.Cut(value, ":")
		size, kind, _ := strings.Cut(size, ":")
		d := sprout.Disk{Name: fmt.Sprintf("vd%c", 'a'+len(c.Spec.Disks)), Serial: serial, Model: "Simulated", Bus: "virtio", Removable: kind == "removable", Erase: sprout.DiskErase{Security: kind == "frozen", Frozen: kind == "frozen"}}
		d.Bytes, err = strconv.ParseInt(size, 10, 64)
		c.Spec.Disks = append(c.Spec.Disks, d)
	case "fault":
		var f sim.Fault
		f, err = sim.ParseFault(value)
		c.Faults = append(c.Faults, f)
	default:
		err = fmt.Errorf("a machine has no %q", key)
	}
	return err
}

// macOf makes a MAC that is always the same for a name.
func macOf(name string) string {
	b := []byte{0x52, 0x54, 0, 0, 0, 0}
	for i := range len(name) {
		b[2+i%4] = b[2+i%4]*31 + name[i]
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

func tellPress(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "press NAME")
	slot := s.slot(ts, args[0])
	ts.Check(slot.Machine.PowerOn(context.Background(), slot.BMC.TakeBoot()))
}

func tellUnplug(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1 || len(args) == 3 && args[1] == "during", "unplug NAME [during STEP[:PERCENT]]")
	slot := s.slot(ts, args[0])
	if len(args) == 1 {
		ts.Check(slot.Machine.PowerOff(context.Background()))
		return
	}
	s.inject(ts, slot, sim.PowerLoss, args[2])
}

func tellHold(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 3 && args[1] == "during", "hold NAME during STEP[:PERCENT]")
	s.inject(ts, s.slot(ts, args[0]), sim.Hold, args[2])
}

func tellFault(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 2, "fault NAME KIND@STEP[:PERCENT][=DEVICE][*TIMES]")
	f, err := sim.ParseFault(args[1])
	ts.Check(err)
	ts.Check(s.slot(ts, args[0]).Machine.Inject(f))
}

// inject makes a fault happen once.
func (s *story) inject(ts *testscript.TestScript, slot *sim.Slot, kind sim.FaultKind, at string) {
	f, err := sim.ParseFault(fmt.Sprintf("%s@%s*1", kind, at))
	ts.Check(err)
	ts.Check(slot.Machine.Inject(f))
}

func tellGoOn(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "go-on NAME")
	s.slot(ts, args[0]).Machine.Release()
}

func tellBreak(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 2, "break NAME FAULT")
	f, err := sim.ParseFault(args[1])
	ts.Check(err)
	ts.Check(s.slot(ts, args[0]).Machine.Inject(f))
}

func tellHeal(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "heal NAME")
	s.slot(ts, args[0]).Machine.Heal()
}

func tellWAN(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1 && (args[0] == "cut" || args[0] == "heal"), "wan cut|heal")
	if args[0] == "cut" {
		s.wan.Cut()
	} else {
		s.wan.Heal()
	}
}

func tellBMC(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 3 && args[1] == "busy" || len(args) == 2, "bmc NAME busy N|without-media|without-console|hangs-up")
	switch args[1] {
	case "hangs-up":
		s.slot(ts, args[0]).Machine.HangUp()
		return
	case "without-console":
		s.slot(ts, args[0]).BMC.SetFaults(emulator.Faults{NoConsole: true})
		return
	case "without-media":
		s.slot(ts, args[0]).BMC.SetFaults(emulator.Faults{NoMedia: true})
		return
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	s.slot(ts, args[0]).BMC.SetFaults(emulator.Faults{Unavailable: n})
}

// tellSays has a machine say a line on its serial port.
func tellSays(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "says NAME WORDS")
	s.slot(ts, args[0]).Machine.Say(args[1] + "\r\n")
}

// tellIPMI has the machine's BMC speak IPMI too, at $NAME_ipmi.
func tellIPMI(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "ipmi NAME")
	m := s.slot(ts, args[0]).Machine
	bmc, err := ipmi.Open("127.0.0.1:0", ipmi.Machine{
		Power: m.Power, Off: m.PowerOff,
		On: func(ctx context.Context, device power.BootDevice, mode sprout.BootMode) error {
			return m.PowerOn(ctx, emulator.Boot{Device: device, Mode: mode})
		},
	}, bmcUser, bmcPassword, ipmi.Faults{})
	ts.Check(err)
	ts.Defer(bmc.Close)
	ts.Setenv(args[0]+"_ipmi", bmc.URL())
}

// tellWebhook serves a program that switches the machine, at $NAME_webhook.
func tellWebhook(s *story, ts *testscript.TestScript, _ bool, args []string) {
	usage(ts, len(args) == 1, "webhook NAME")
	m := s.slot(ts, args[0]).Machine
	var boot emulator.Boot
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if webhook.Sign(bmcPassword, r.Header.Get(webhook.TimeHeader), body) != r.Header.Get(webhook.SignatureHeader) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var req webhook.Request
		_ = json.Unmarshal(body, &req)
		switch {
		case req.Do == webhook.DoBoot:
			boot = emulator.Boot{Device: req.Device, Mode: req.Mode}
		case req.Power == sprout.PowerOff:
			_ = m.PowerOff(r.Context())
		case req.Power == sprout.PowerOn:
			_ = m.PowerOn(r.Context(), boot)
			boot = emulator.Boot{}
		}
		_ = json.NewEncoder(w).Encode(webhook.Answer{Power: m.Power(), Device: boot.Device})
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0]+"_webhook", server.URL+"/power")
}

// tellDrive checks what is in the virtual drive of a machine's BMC.
func tellDrive(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3 && args[1] == "holds", "drive NAME holds nothing|media")
	if in := s.slot(ts, args[0]).BMC.Inserted(); (in == "") != (args[2] == "nothing") {
		ts.Fatalf("the virtual drive of %s holds %q", args[0], in)
	}
}

func tellDisk(s *story, ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3 && args[1] == "holds", "disk NAME holds IMAGE|nothing")
	m := s.slot(ts, args[0]).Machine
	system, installed := m.Installed()
	switch {
	case args[2] == "nothing" && len(m.Dirty()) > 0:
		ts.Fatalf("the disks %+v of %s are not empty", m.Dirty(), args[0])
	case args[2] != "nothing" && (!installed || system.Image != args[2]):
		ts.Fatalf("%s boots %q from its disk", args[0], system.Image)
	}
}
