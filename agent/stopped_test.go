package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/bus"
	"sprout/diagnose"
	"sprout/power/redfish/emulator"
	"sprout/provision"
	"sprout/sim"
)

// shortLimits end the waits for a boot within seconds.
var shortLimits = provision.Limits{BootRamdisk: 6 * time.Second, PhoneHome: 4 * time.Second, Look: 200 * time.Millisecond}

var simRelay = netip.MustParseAddr("127.31.0.2")

// A stoppedSite is an agent in this process, whose machines do not get far.
type stoppedSite struct {
	*testCentre
	config Config
}

func newStoppedSite(t *testing.T) *stoppedSite {
	t.Helper()
	c := newCentre(t)
	s := &stoppedSite{testCentre: c, config: c.agentConfig()}
	s.config.Limits = shortLimits
	s.config.Address = netip.MustParsePrefix("127.31.0.1/24") // where no other test takes a port
	for _, name := range []string{"undionly.kpxe", "snponly.efi", "vmlinuz", "initrd", "shim", "grub"} {
		if err := os.WriteFile(filepath.Join(s.config.BootFiles, name), bytes.Repeat([]byte("not really "+name), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.config.SecureBoot = Signed{Shim: filepath.Join(s.config.BootFiles, "shim"), CDGRUB: filepath.Join(s.config.BootFiles, "grub")}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, s.config) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c.change(true, sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Name: "lon1", Domain: "lon1.example"})
	c.change(true, sprout.ChangeSubnet, "sub_1", sprout.Subnet{ID: "sub_1", CIDR: netip.MustParsePrefix("127.31.0.0/24"), Discover: true})
	c.change(true, sprout.ChangeSubnet, "sub_2", sprout.Subnet{ID: "sub_2", CIDR: netip.MustParsePrefix("127.31.1.0/24"), Discover: true, DHCP: sprout.DHCPOff})
	c.await("replication", func(_ []sprout.Fact, applied int64) bool { return applied == 3 })
	return s
}

func (s *stoppedSite) wire() sim.Wire {
	return sim.Wire{DHCP: at(s.config.Address.Addr(), s.config.Ports.DHCP, 67), Relay: simRelay, TFTPPort: s.config.Ports.TFTP}
}

// plug introduces a machine behind a BMC, with an address of its own. media says
// that it boots by virtual media.
func (s *stoppedSite) plug(name, mac string, ip netip.Addr, m emulator.Machine, media bool) sprout.MachineID {
	s.t.Helper()
	web := httptest.NewServer(emulator.New(emulator.Facts{Name: name, MACs: []string{mac}}, m, "admin", "hunter2", slog.New(slog.DiscardHandler)))
	s.t.Cleanup(func() {
		_ = m.PowerOff(context.Background())
		web.Close()
	})
	secret, err := bus.Seal(s.sealKey, []byte("hunter2"))
	if err != nil {
		s.t.Fatal(err)
	}
	id := sprout.MachineID("mch_" + name)
	if ip.IsValid() {
		s.change(true, sprout.ChangeReservation, mac, sprout.Reservation{MAC: mac, IP: ip, Machine: id})
	}
	s.change(true, sprout.ChangeMachine, string(id), sprout.SiteMachine{
		ID: id, Name: name, Generation: 1, MACs: []string{mac}, Secret: secret, BMC: &sprout.BMC{Driver: "redfish", URL: web.URL, Username: "admin"},
		VirtualMedia: media,
	})
	return id
}

// A firmware is a machine that does what a function says while it is on.
type firmware struct {
	boot func(ctx context.Context, f *firmware)
	mac  net.HardwareAddr
	ip   netip.Addr
	wire sim.Wire
	url  string // the agent's
	stop context.CancelFunc
	done chan struct{}
}

func (f *firmware) Power() sprout.PowerState {
	if f.stop == nil {
		return sprout.PowerOff
	}
	return sprout.PowerOn
}

func (f *firmware) PowerOn(context.Context, emulator.Boot) error {
	if f.stop != nil {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.stop, f.done = stop, done
	go func() { defer close(done); f.boot(ctx, f) }()
	return nil
}

func (f *firmware) PowerOff(context.Context) error {
	if f.stop != nil {
		f.stop()
		<-f.done
		f.stop = nil
	}
	return nil
}

// InsertMedia is what a BMC does that says it did.
func (f *firmware) InsertMedia(context.Context, string) error { return nil }
func (f *firmware) EjectMedia(context.Context) error          { return nil }
func (f *firmware) Shutdown(ctx context.Context) error        { return f.PowerOff(ctx) }

// say sends one DHCP message by the relay and reads one answer, if any comes.
func (f *firmware) say(arch byte, more ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	p, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithHwAddr(f.mac), dhcpv4.WithBroadcast(true),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, arch})),
	}, more...)...)
	if err != nil {
		return nil, err
	}
	if arch == 16 {
		p.UpdateOption(dhcpv4.OptClassIdentifier("HTTPClient:Arch:00016"))
	}
	p.GatewayIPAddr = f.wire.Relay.AsSlice()
	p.UpdateOption(dhcpv4.OptRelayAgentInfo(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(19), nil)))
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(f.wire.Relay, 0)))
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // a socket that is done with
	if _, err := conn.WriteToUDPAddrPort(p.ToBytes(), f.wire.DHCP); err != nil {
		return nil, err
	}
	buf := make([]byte, 1500)
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return nil, err
	}
	n, _, err := conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil, err
	}
	return dhcpv4.FromBytes(buf[:n])
}

func (f *firmware) discover(arch byte) error {
	_, err := f.say(arch, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover))
	return err
}

func (f *firmware) request(arch byte, server netip.Addr) error {
	_, err := f.say(arch, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(f.ip.AsSlice())), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice())))
	return err
}

// fetch gets a file from the machine's own address.
func (f *firmware) fetch(ctx context.Context, path string) error {
	dial := net.Dialer{LocalAddr: &net.TCPAddr{IP: f.ip.AsSlice()}}
	web := &http.Client{Transport: &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Machines stop at every place of a boot, by themselves or for want of an
// answer. The work fails with the code of the cause, and the trail of the boot
// is in the facts.
func TestStoppedBootsAreDiagnosed(t *testing.T) {
	s := newStoppedSite(t)
	agent := s.config.Address.Addr()
	faultAt := func(kind sim.FaultKind, step sim.Step, device string) []sim.Fault {
		return []sim.Fault{{Kind: kind, Step: step, Device: device}}
	}
	silentAt := func(step sim.Step) []sim.Fault { return faultAt(sim.Silent, step, "") }
	twins := []sprout.Disk{{Name: "sda", Serial: "A", Bytes: 8 << 30}, {Name: "sdb", Serial: "B", Bytes: 8 << 30}}
	covered := map[sprout.Code]bool{}
	for i, test := range []struct {
		name   string
		faults []sim.Fault                            // of a simulated machine,
		boot   func(context.Context, *firmware) error // or what another one does
		spec   sim.Spec                               // of a simulated one
		disk   sprout.DiskRule
		// limit is how long its ramdisk may take; 0: a few seconds.
		limit time.Duration
		// unreserved: the site keeps no address for the machine.
		unreserved bool
		media      bool // it boots by virtual media
		// hangs has a simulated one that found nothing to boot hang, in place of
		// beginning once more: what it does after its work has failed is another boot.
		hangs bool
		want  sprout.Code
		proof string // in reason or evidence
		seen  string // the last boot event of the attempt
	}{
		{name: "never asks", faults: silentAt(sim.StepDHCP), want: sprout.NoDiscover, proof: "not one DHCP packet", seen: sprout.SawPowerOn},
		{name: "stops after the offer", boot: func(_ context.Context, f *firmware) error { return f.discover(0) }, want: sprout.OfferIgnored, proof: "127.31.0.", seen: sprout.SawOffer},
		{name: "takes another server's offer", faults: faultAt(sim.OtherServer, sim.StepDHCP, "127.31.0.9"), want: sprout.OtherServer, proof: "127.31.0.9", seen: sprout.SawOtherServer},
		{name: "finds no address", unreserved: true, boot: func(_ context.Context, f *firmware) error {
			if err := f.discover(0); err == nil {
				return errors.New("the agent offered an address")
			}
			return nil
		}, want: sprout.NoAddress, proof: "got none", seen: sprout.SawFull},
		{name: "asks where DHCP is off", boot: func(_ context.Context, f *firmware) error {
			away := *f
			away.wire.Relay = netip.MustParseAddr("127.31.1.2")
			if err := away.discover(0); err == nil {
				return errors.New("the agent answered")
			}
			return nil
		}, want: sprout.NoDHCP, proof: "DHCP is off in 127.31.1.0/24", seen: sprout.SawDHCPOff},
		{name: "has no loader", boot: func(_ context.Context, f *firmware) error { return f.discover(27) }, want: sprout.NoLoader, proof: "architecture [27]", seen: sprout.SawOffer},
		{name: "never fetches its loader", faults: silentAt(sim.StepLoader), want: sprout.LoaderNotFetched, proof: "undionly.kpxe", seen: sprout.SawAck},
		{name: "stalls in the middle of its loader", faults: faultAt(sim.Stall, sim.StepLoader, ""), limit: 14 * time.Second, want: sprout.TFTPStalled, proof: "no answer to block 0", seen: sprout.SawTFTPTimeout},
		{name: "fetches another architecture's loader", faults: faultAt(sim.WrongFile, sim.StepLoader, "undionly.kpxe"), spec: sim.Spec{BootMode: sprout.UEFI},
			want: sprout.WrongLoader, proof: "architecture 7 and fetched undionly.kpxe", seen: sprout.SawTFTPDone},
		{name: "refuses its loader", boot: func(ctx context.Context, f *firmware) error {
			return errors.Join(f.discover(16), f.request(16, agent), f.fetch(ctx, "/boot/snponly.efi"), f.discover(16))
		}, want: sprout.LoaderRefused, proof: "snponly.efi", seen: sprout.SawOffer},
		{name: "never fetches its script", faults: silentAt(sim.StepScript), want: sprout.LoaderSilent, proof: "iPXE runs", seen: sprout.SawAck},
		{name: "asks for its script from a strange address", boot: func(ctx context.Context, f *firmware) error {
			strange := *f
			strange.ip = netip.MustParseAddr("127.31.0.9")
			return errors.Join(f.discover(0), f.request(0, agent), strange.fetch(ctx, "/boot/"+f.mac.String()+".ipxe"))
		}, want: sprout.BootRefused, proof: "neither leased to nor reserved for", seen: sprout.SawRefused},
		{name: "never fetches its kernel", faults: silentAt(sim.StepKernel), want: sprout.KernelNotFetched, proof: "boot script", seen: sprout.SawScript},
		{name: "has a silent kernel", faults: silentAt(sim.StepHello), want: sprout.KernelSilent, proof: "http-initrd", seen: sprout.SawInitrd},
		{name: "has a ramdisk that reaches nobody", faults: faultAt(sim.CutOff, sim.StepHello, ""), want: sprout.AgentUnreached, proof: "never reached the agent", seen: sprout.SawAck},
		{name: "has a BMC that never fetches its media", media: true, boot: func(context.Context, *firmware) error { return nil },
			want: sprout.MediaNotFetched, proof: "insert-media", seen: sprout.SawPowerOn},
		{name: "does not boot its media", media: true, want: sprout.MediaNotBooted, proof: "http-media", seen: sprout.SawPowerOn},
		{name: "loses power", faults: faultAt(sim.PowerLoss, sim.StepKernel, ""), want: sprout.PowerLost, proof: "off", seen: sprout.SawScript},
		{name: "has two disks that fit", spec: sim.Spec{Disks: twins}, want: sprout.DiskAmbiguous, seen: sprout.SawOrderFailed},
		{name: "gets another image's bytes", faults: faultAt(sim.Corrupt, sim.StepWrite, ""), want: sprout.DigestMismatch, proof: "went bad on their way", seen: sprout.SawOrderFailed},
		{name: "boots the network again", hangs: true, faults: faultAt(sim.NetworkFirst, sim.StepDisk, ""), want: sprout.DiskNotBooted, proof: "no installed system came up", seen: sprout.SawOrderDone},
		{name: "has no such disk", disk: sprout.DiskRule{Serial: "none"}, want: sprout.NoDiskMatches, seen: sprout.SawOrderFailed},
		{name: "never comes home", faults: []sim.Fault{{Kind: sim.NeverHome, Step: sim.StepHome}}, want: sprout.NoPhoneHome, proof: "order-done", seen: sprout.SawOrderDone},
	} {
		name, ip := "m"+string(rune('a'+i)), netip.AddrFrom4([4]byte{127, 31, 0, byte(20 + i)})
		mac := net.HardwareAddr{0x52, 0x54, 0, 0x31, 0, byte(i + 1)}
		reserved := ip
		if test.unreserved {
			reserved = netip.Addr{}
		}
		covered[test.want] = true
		t.Run(test.name, func(t *testing.T) {
			var id sprout.MachineID
			if test.boot != nil {
				id = s.plug(name, mac.String(), reserved, &firmware{mac: mac, ip: ip, wire: s.wire(), url: s.config.url(netip.Addr{}), boot: func(ctx context.Context, f *firmware) {
					if err := test.boot(ctx, f); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}}, test.media)
			} else {
				spec := test.spec
				spec.Name, spec.MACs = name, []string{mac.String()}
				var m *sim.Machine
				watch := func(e sim.Entry) {
					if test.hangs && strings.HasPrefix(e.Detail, "cannot boot") {
						if err := m.Inject(sim.Fault{Kind: sim.Silent, Step: sim.StepDHCP}); err != nil {
							t.Error(err)
						}
					}
				}
				var err error
				if m, err = sim.New(sim.Config{Spec: spec, Wire: s.wire(), Pace: sim.Pace{LoadersWhole: true}, Faults: test.faults, Watch: watch}); err != nil {
					t.Fatal(err)
				}
				id = s.plug(name, mac.String(), reserved, m, test.media)
			}
			work := deployWork(s.testCentre, "wfl_"+name+"/1", 1)
			work.Machine = id
			work.Input, _ = json.Marshal(sprout.DeployWork{Image: s.imageNoun(), Hostname: name + ".lon1.example", Disk: test.disk})
			if test.limit > 0 {
				work.Limits = []sprout.StepLimit{{Step: "boot-ramdisk", Seconds: int64(test.limit / time.Second)}}
			}
			s.change(true, sprout.ChangeWork, work.ID, work)
			t.Parallel() // the machines boot together
			got := s.awaitEnd(work.ID)
			if got.Failure == nil || got.Failure.Code != test.want || !strings.Contains(got.Failure.Reason+" "+got.Failure.Evidence, test.proof) {
				t.Errorf("the work ended as %s: %+v", got.State, got.Failure)
			}
			s.await("the event "+test.seen, func(facts []sprout.Fact, _ int64) bool {
				return slices.Contains(trailOf(t, facts, id), test.seen)
			})
		})
	}
	for _, code := range diagnose.Codes() {
		if !covered[code] {
			t.Errorf("no machine provokes the cause %s", code)
		}
	}
}

// trailOf names the events of the machine that facts tell of, and fails unless
// they are of one attempt.
func trailOf(t *testing.T, facts []sprout.Fact, id sprout.MachineID) (what []string) {
	t.Helper()
	attempts := map[sprout.AttemptID]bool{}
	for _, f := range facts {
		if f.Kind != sprout.FactBoot {
			continue
		}
		var events []sprout.BootEvent
		if err := json.Unmarshal(f.Body, &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Machine == id {
				what, attempts[e.Attempt] = append(what, e.What), true
			}
		}
	}
	if len(attempts) > 1 { // none yet: the facts are on their way
		t.Errorf("the events are of %d attempts: %v", len(attempts), what)
	}
	return what
}
