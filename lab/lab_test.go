package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
	"sprout/power/redfish"
)

// TestMain lets this binary be what a lab starts: its supervisor and its agent.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 5 && os.Args[1] == "lab" && os.Args[2] == "serve":
		os.Exit(serveLab(os.Args[4]))
	case len(os.Args) > 1 && os.Args[1] == "pretend-agent":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
		return
	}
	os.Exit(m.Run())
}

func serveLab(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	host, ready, err := Attach()
	if err == nil {
		err = Serve(ctx, dir, host, ready, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// up starts a lab of the test's own; afterwards nothing of it may be left.
func up(t *testing.T, c Config) *Client {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	for _, path := range []string{boards[sprout.AMD64].qemu, boards[sprout.AMD64].vars, "/dev/net/tun"} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%v: install qemu-system-x86 and ovmf", err)
		}
	}
	base, err := os.MkdirTemp("", "lab") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	c.Name = "sprout-" + filepath.Base(base)
	c.Dir = filepath.Join(base, "lab")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", tail(LogPath(c.Dir)))
		}
		if err := Down(context.Background(), c.Dir, false, testLog(t)); err != nil {
			t.Errorf("Down: %v", err)
		}
		if left := identity(netnsPath(c.Name)); left != "" {
			t.Errorf("network namespace %s is left", c.Name)
		}
		if err := os.Remove(base); err != nil {
			t.Errorf("files are left: %v", err)
		}
	})
	client, err := Up(t.Context(), c, self, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func status(t *testing.T, c *Client) Status {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually waits until is is true.
func eventually(t *testing.T, what string, within time.Duration, is func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain for %s", within, what)
		}
	}
}

// inside opens the lab's network namespace.
func inside(t *testing.T, c *Client) *os.File {
	t.Helper()
	f, err := os.Open(netnsPath(status(t, c).Name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// provider is the machine's power as the site's agent has it.
func provider(t *testing.T, c *Client, m Machine) power.Provider {
	t.Helper()
	ns := inside(t, c)
	d, err := redfish.New(redfish.Config{
		URL: m.BMC.URL, Username: m.BMC.Username, Password: m.BMC.Password, Poll: 100 * time.Millisecond,
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) { return dialHost(ctx, ns, addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	p := governor.New(d, governor.Config{Burst: 1000, Poll: 100 * time.Millisecond})
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// discovers listens for DHCP DISCOVERs on the site's network.
func discovers(t *testing.T, c *Client) net.PacketConn {
	t.Helper()
	var conn net.PacketConn
	err := inNetns(inside(t, c), func() (err error) {
		conn, err = net.ListenPacket("udp4", ":67")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// awaitDiscover returns the architecture that the machine with mac boots as.
func awaitDiscover(t *testing.T, conn net.PacketConn, mac string) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("no DISCOVER of %s came: %v", mac, err)
		}
		p, err := dhcpv4.FromBytes(buf[:n])
		if err == nil && p.MessageType() == dhcpv4.MessageTypeDiscover && p.ClientHWAddr.String() == mac {
			return fmt.Sprint(p.ClientArch())
		}
	}
}

// bootSector says so on the serial port and resets the machine: 6 to the reset
// register CF9h.
func bootSector(message string) []byte {
	return sectorOf(message, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd) // mov dx, 0cf9h; mov al, 6; out dx, al; hlt; jmp
}

// echoSector says so on the serial port, and then whatever it hears there.
func echoSector(message string) []byte {
	return sectorOf(message,
		0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8, // mov dx, 3fdh; in al, dx; test al, 1; jz
		0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb, 0xf1) // mov dx, 3f8h; in al, dx; out dx, al; jmp
}

// sectorOf is a boot sector that writes each byte of the message to 3F8h, and then
// does what follows. No interrupt comes: SeaBIOS would take what is typed for itself.
func sectorOf(message string, then ...byte) []byte {
	code := []byte{0xfa, 0xba, 0xf8, 0x03} // cli; mov dx, 3f8h
	for _, b := range []byte(message) {
		code = append(code, 0xb0, b, 0xee) // mov al, b; out dx, al
	}
	code = append(code, then...)
	sector := make([]byte, 512)
	copy(sector, code)
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

func TestBIOSMachine(t *testing.T) {
	c := up(t, Config{})
	m, err := c.Plug(t.Context(), Spec{Name: "m1", MemoryMB: 256, CPUs: 1})
	if err != nil {
		t.Fatal(err)
	}
	const message = "BOOTED FROM DISK\r\n"
	disk := install(t, c, bootSector(message))
	bmc, wire := provider(t, c, m), discovers(t, c)

	// Once from the network, as the override says.
	must(t, bmc.BootOnce(t.Context(), power.BootNetwork, sprout.BIOS))
	must(t, bmc.Set(t.Context(), sprout.PowerOn))
	if arch := awaitDiscover(t, wire, m.NICs[0].MAC); !strings.Contains(arch, "x86PC") {
		t.Errorf("the machine asks as %s, want Intel x86PC", arch)
	}
	pid := machineOf(t, c).PID
	must(t, bmc.Set(t.Context(), sprout.PowerOff))
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("QEMU %d after power off: %v, want it gone", pid, err)
	}
	if said := console(t, c); strings.Contains(said, message) {
		t.Errorf("the override was not honoured: %q", said)
	}

	// Then from disk, which resets the machine: it comes back, from disk again.
	must(t, bmc.Set(t.Context(), sprout.PowerOn))
	eventually(t, "two boots from disk", time.Minute, func() bool { return strings.Count(console(t, c), message) >= 2 })
	if s := machineOf(t, c); len(s.Starts) < 3 || s.Starts[0] != power.BootNetwork || s.Starts[1] != "" || s.Starts[2] != "" {
		t.Errorf("starts were %q, want network, then normal ones", s.Starts)
	}
	if is, err := bmc.Status(t.Context()); is != sprout.PowerOn || err != nil {
		t.Errorf("a machine that resets itself is %s (%v), want on", is, err)
	}
	must(t, c.Cut(t.Context(), "m1"))
	if is, err := bmc.Status(t.Context()); is != sprout.PowerOff || err != nil {
		t.Errorf("a machine without power is %s (%v), want off", is, err)
	}
	must(t, c.Remove(t.Context(), "m1"))
	if _, err := os.Stat(filepath.Dir(disk)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a removed machine's disk is left: %v", err)
	}
}

// install writes a boot sector to the disk of m1, and returns its file.
func install(t *testing.T, c *Client, sector []byte) string {
	t.Helper()
	disk := filepath.Join(rackPath(c.Dir()), "m1", diskFile(0))
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write(sector)
		err = errors.Join(err, f.Close())
	}
	must(t, err)
	return disk
}

// A machine's BMC has its serial console: it is opened while the machine is off, says
// what its programs say, and types at them.
func TestConsoleOfTheBMC(t *testing.T) {
	c := up(t, Config{})
	m, err := c.Plug(t.Context(), Spec{Name: "m1", MemoryMB: 256, CPUs: 1})
	must(t, err)
	install(t, c, echoSector("LISTENING\r\n"))
	bmc := provider(t, c, m)
	line, err := bmc.Console(t.Context())
	must(t, err)
	late := time.AfterFunc(2*time.Minute, func() { _ = line.Close() })
	defer late.Stop()
	defer line.Close() //nolint:errcheck // nothing was left to say
	said := bufio.NewReader(line)
	for range 2 { // it goes on when the machine is off and on again
		must(t, bmc.Set(t.Context(), sprout.PowerOn))
		hears(t, said, "LISTENING")
		_, err = io.WriteString(line, "who is there\n")
		must(t, err)
		hears(t, said, "who is there")
		must(t, bmc.Set(t.Context(), sprout.PowerOff))
	}
}

// hears reads lines until one has the words.
func hears(t *testing.T, said *bufio.Reader, words string) {
	t.Helper()
	for {
		text, err := said.ReadString('\n')
		if strings.Contains(text, words) {
			return
		}
		if err != nil {
			t.Fatalf("the console ended before %q, with %q: %v", words, text, err)
		}
	}
}

func machineOf(t *testing.T, c *Client) Machine {
	t.Helper()
	m, err := c.Machine(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func console(t *testing.T, c *Client) string {
	t.Helper()
	raw, err := os.ReadFile(ConsolePath(c.Dir(), "m1"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(raw)
}

func TestUEFIMachine(t *testing.T) {
	c := up(t, Config{})
	m, err := c.Plug(t.Context(), Spec{Name: "m1", Firmware: sprout.UEFI, MemoryMB: 512, Disks: []Disk{{Bus: "nvme"}}, NICs: []NIC{{NoLink: true}, {}}})
	if err != nil {
		t.Fatal(err)
	}
	bmc, wire := provider(t, c, m), discovers(t, c)
	must(t, bmc.Set(t.Context(), sprout.PowerOn)) // its disk is empty: the network is next
	if arch := awaitDiscover(t, wire, m.NICs[1].MAC); !strings.Contains(arch, "EFI") {
		t.Errorf("the machine asks as %s, want EFI", arch)
	}
	killedSupervisor(t, c, machineOf(t, c).PID)
}

// killedSupervisor kills the lab: QEMU must die with it, and the next lab in the
// directory finds the machine racked, switched off.
func killedSupervisor(t *testing.T, c *Client, qemu int) {
	t.Helper()
	before := status(t, c)
	fd, err := unix.PidfdOpen(qemu, 0)
	must(t, err)
	defer unix.Close(fd) //nolint:errcheck // only waited on
	must(t, unix.Kill(before.PID, unix.SIGKILL))
	if err := awaitExit(fd, 10*time.Second); err != nil {
		t.Fatalf("QEMU %d outlived its supervisor: %v", qemu, err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoLab) {
		t.Errorf("Status of a dead lab = %v, want that it does not run", err)
	}
	config, err := ReadConfig(c.Dir())
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	_, err = Up(t.Context(), config, self, testLog(t))
	must(t, err)
	after := machineOf(t, c)
	if after.Power != sprout.PowerOff || after.BMC != before.Machines[0].BMC {
		t.Errorf("after a crash the machine is %s with BMC %+v, want off with %+v", after.Power, after.BMC, before.Machines[0].BMC)
	}
}

func TestWANAndAgent(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer echo.Close() //nolint:errcheck // the test is over
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	c := up(t, Config{WAN: []string{echo.Addr().String()}, Agent: []string{"pretend-agent"}})
	ns := inside(t, c)
	dial := func() (net.Conn, error) { return dialHost(t.Context(), ns, echo.Addr().String()) }

	line, err := dial()
	must(t, err)
	defer line.Close() //nolint:errcheck // the test is over
	must(t, echoes(line))
	must(t, c.DelayWAN(t.Context(), 60*time.Millisecond))
	if took := timed(func() { must(t, echoes(line)) }); took < 96*time.Millisecond { // four fifths of the delay are certain
		t.Errorf("an echo over a WAN of 60 ms each way took %s", took)
	}
	must(t, c.DelayWAN(t.Context(), 0))
	must(t, c.CutWAN(t.Context()))
	if err := echoes(line); err == nil {
		t.Error("the connection lives on after the WAN was cut")
	}
	if torn, err := dial(); err == nil {
		if err := echoes(torn); err == nil {
			t.Error("a cut WAN carries")
		}
		_ = torn.Close()
	}
	must(t, c.HealWAN(t.Context()))
	again, err := dial()
	must(t, err)
	defer again.Close() //nolint:errcheck // the test is over
	must(t, echoes(again))

	eventually(t, "the agent", 10*time.Second, func() bool { return status(t, c).Agent.PID > 0 })
	must(t, c.KillAgent(t.Context()))
	eventually(t, "the agent's second start", 10*time.Second, func() bool { s := status(t, c).Agent; return s.Starts == 2 && s.PID > 0 })
	must(t, c.StopAgent(t.Context()))
	eventually(t, "the agent's end", 10*time.Second, func() bool { return status(t, c).Agent.PID == 0 })
	must(t, c.StartAgent(t.Context()))
	eventually(t, "the agent's third start", 10*time.Second, func() bool { s := status(t, c).Agent; return s.Starts == 3 && s.PID > 0 })
}

func echoes(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 5))
	return err
}

func timed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

func TestTakenNamesAndSecondLabs(t *testing.T) {
	c := up(t, Config{})
	self, err := os.Executable()
	must(t, err)
	config, err := ReadConfig(c.Dir())
	must(t, err)
	if _, err := Up(t.Context(), config, self, testLog(t)); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("a second lab in the directory: %v, want a conflict", err)
	}
	config.Dir = filepath.Join(t.TempDir(), "other")
	if _, err := Up(t.Context(), config, self, testLog(t)); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("a second lab of the name: %v, want a conflict", err)
	}
	must(t, Down(t.Context(), config.Dir, false, testLog(t)))
	if s := status(t, c); identity(netnsPath(s.Name)) == "" {
		t.Error("ending the lab that never was took the namespace of the one that is")
	}
}

// The bridge has a MAC of its own, also once the last machine has gone: without
// one its agent cannot ask who has an address.
func TestTheBridgeKeepsItsMAC(t *testing.T) {
	name := status(t, up(t, Config{})).Name
	ip := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "ip", append([]string{"-n", name}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	address := func() string { return strings.Fields(ip("-br", "link", "show", BridgeName))[2] }
	first := address()
	ip("link", "add", "port0", "address", "00:00:00:00:00:01", "type", "veth", "peer", "name", "port1")
	ip("link", "set", "port0", "master", BridgeName)
	with := address()
	ip("link", "del", "port0")
	if after := address(); !strings.HasPrefix(first, "02:53:") || with != first || after != first {
		t.Errorf("the bridge has %s, with a port %s, and after it %s", first, with, after)
	}
}

func TestWrongInput(t *testing.T) {
	for field, c := range map[string]Config{
		"name":    {Name: "No Such", Dir: "/x"},
		"address": {Address: netip.MustParsePrefix("10.0.0.0/24"), Dir: "/x"},
		"dir":     {Dir: "relative"},
		"wan":     {Dir: "/x", WAN: []string{"10.0.0.1:80"}},
	} {
		wantField(t, c.check(), field)
	}
	for field, s := range map[string]Spec{
		"name":       {Name: "../m1"},
		"firmware":   {Name: "m1", Firmware: "coreboot"},
		"memory":     {Name: "m1", MemoryMB: 1},
		"disk":       {Name: "m1", Disks: []Disk{{Serial: "a,file=/etc/shadow"}}},
		"secureBoot": {Name: "m1", SecureBoot: true},
		"nic":        {Name: "m1", NICs: []NIC{{MAC: "01:00:5e:00:00:01"}}},
	} {
		s.complete("lab")
		wantField(t, s.check(), field)
	}
}

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var e *sprout.Error
	if !errors.As(err, &e) || e.Kind != sprout.Invalid || e.Field != field {
		t.Errorf("error %v, want an invalid one about %s", err, field)
	}
}

func TestCorruptImage(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(AgentDir(dir), "images"), 0o700))
	path := filepath.Join(AgentDir(dir), "images", "0abc")
	must(t, os.WriteFile(path, []byte("image"), 0o600))
	got, at, err := CorruptImage(dir, "sha256:0abc")
	must(t, err)
	raw, err := os.ReadFile(path)
	must(t, err)
	if got != path || at != 2 || string(raw) != "im\x9ege" {
		t.Errorf("CorruptImage = %s, %d; the file is %q", got, at, raw)
	}
	if _, _, err := CorruptImage(dir, "sha256:ffff"); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("an image that is not there: %v, want not found", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
