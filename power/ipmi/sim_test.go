package ipmi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/ipmi"
	"sprout/power/ipmi/emulator"
	"sprout/power/powertest"
)

// chassis is the machine behind ipmi_sim: it is asked "get power", "set power 1"
// and "set boot pxe", keeps each value in a file, and writes down what it boots
// from.
const chassis = `#!/bin/sh
cd "$(dirname "$0")" && shift
case $1 in
get) shift; for what; do echo "$what:$(cat "$what")"; done ;;
set)
	shift
	while [ $# -gt 1 ]; do
		if [ "$1 $2 $(cat power)" = "power 1 0" ]; then
			cat boot >>boots
			echo none >boot
		fi
		echo "$2" >"$1"
		shift 2
	done ;;
esac
`

const simConfig = `name "sprout"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 %[1]d
  priv_limit admin
  guid a123456789abcdefa123456789abcdef
endlan
sol "tcp:127.0.0.1:%[4]d" 115200
chassis_control "%[2]s/chassis 0x20"
user 2 true "admin" "%[3]s" admin 10 none
`

// 0x1291 is the maker that OpenIPMI's own examples name.
const simCommands = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
`

// simulate starts OpenIPMI's BMC simulator on a port of its own, and returns its
// URL and the directory of the machine behind it, whose serial port is a TCP port.
func simulate(t *testing.T, serial int) (url, dir string) {
	t.Helper()
	program, err := exec.LookPath("ipmi_sim")
	if err != nil {
		t.Skip("ipmi_sim is not installed: it is of Debian's package openipmi")
	}
	dir = t.TempDir()
	port := freePort(t)
	for name, text := range map[string]string{
		"chassis": chassis, "power": "0\n", "boot": "none\n", "boots": "",
		"lan.conf": fmt.Sprintf(simConfig, port, dir, password, serial), "commands": simCommands,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	c := exec.Command(program, "-n", "-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "commands"), "-s", dir)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Log("ipmi_sim:", out.String())
		}
	})
	return fmt.Sprintf("ipmi://127.0.0.1:%d", port), dir
}

// freePort is a UDP port that nobody has just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.LocalAddr().(*net.UDPAddr).Port
}

// simulated is a rig on ipmi_sim.
func simulated(t *testing.T) powertest.Rig {
	url, dir := simulate(t, freePort(t)) // at which nothing listens
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(raw))
	}
	r := powertest.Rig{
		Provider: client(t, ipmi.Config{URL: url, Password: password}), Mode: sprout.BIOS,
		Power: func() sprout.PowerState {
			return map[string]sprout.PowerState{"1": sprout.PowerOn, "0": sprout.PowerOff}[read("power")]
		},
		Boots: func() (boots []power.BootDevice) {
			names := map[string]power.BootDevice{"none": "", "pxe": power.BootNetwork, "default": power.BootDisk}
			for _, line := range strings.Fields(read("boots")) {
				device, known := names[line]
				if !known {
					t.Errorf("the machine boots from %q, which this test does not know", line)
				}
				boots = append(boots, device)
			}
			return boots
		},
	}
	awaitBMC(t, url)
	return r
}

// awaitBMC returns when the BMC answers, which the simulator does some time after
// it was started.
func awaitBMC(t *testing.T, url string) {
	t.Helper()
	p, err := ipmi.New(ipmi.Config{URL: url, Username: "admin", Password: password, RequestTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; {
		if _, err = p.Power(t.Context()); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("ipmi_sim does not answer: %v: %s", err, evidence(err))
		}
		<-time.After(10 * time.Millisecond)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSimulatorContract holds the provider to the contract against OpenIPMI's
// simulator, which knows no cipher suite but those of HMAC-SHA1.
func TestSimulatorContract(t *testing.T) { powertest.Run(t, simulated) }

// The simulator's serial over LAN: the provider reads and types at its machine's
// port, one alone at a time, and gives it back.
func TestSimulatorConsole(t *testing.T) {
	serial, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer serial.Close() //nolint:errcheck // of a test
	ports := make(chan net.Conn, 1)
	go func() {
		if conn, err := serial.Accept(); err == nil {
			ports <- conn
		}
	}()
	url, _ := simulate(t, serial.Addr().(*net.TCPAddr).Port)
	awaitBMC(t, url)
	p := client(t, ipmi.Config{URL: url, Password: password})
	line, err := p.Console(t.Context())
	if err != nil {
		t.Fatalf("%v: %s", err, evidence(err))
	}
	port := <-ports
	defer port.Close() //nolint:errcheck // of a test
	_, err = io.WriteString(port, "login: ")
	must(t, err)
	heard := make([]byte, 7)
	if _, err := io.ReadFull(line, heard); err != nil || string(heard) != "login: " {
		t.Fatalf("the console says %q: %v", heard, err)
	}
	_, err = io.WriteString(line, "root\r")
	must(t, err)
	typed := make([]byte, 5)
	if _, err := io.ReadFull(port, typed); err != nil || string(typed) != "root\r" {
		t.Fatalf("the machine reads %q: %v", typed, err)
	}
	must(t, p.Set(t.Context(), sprout.PowerOn)) // meanwhile
	must(t, line.Close())
	if n, err := line.Read(heard); err == nil {
		t.Errorf("a console that was closed says %q", heard[:n])
	}
	again, err := p.Console(t.Context())
	if err != nil {
		t.Fatalf("a console that was given back: %v: %s", err, evidence(err))
	}
	must(t, again.Close())
}

// TestIPMITool has ipmitool find, steer and switch the machine of our emulator.
func TestIPMITool(t *testing.T) {
	if _, err := exec.LookPath("ipmitool"); err != nil {
		t.Skip("ipmitool is not installed: it is Debian's package of that name")
	}
	bmc, m := serve(t, emulator.Faults{})
	host, port, err := net.SplitHostPort(bmc.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	tool := func(suite, says string, args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "ipmitool", append([]string{
			"-I", "lanplus", "-H", host, "-p", port, "-U", "admin", "-E", "-L", "OPERATOR", "-C", suite,
		}, args...)...)
		c.Env = append(os.Environ(), "IPMI_PASSWORD="+password)
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), says) {
			t.Fatalf("ipmitool %s: %v: %s; want %q", strings.Join(args, " "), err, out, says)
		}
	}
	for _, suite := range []string{"3", "17"} {
		tool(suite, "Chassis Power is off", "power", "status")
		tool(suite, "Set Boot Device to pxe", "chassis", "bootdev", "pxe", "options=efiboot")
		tool(suite, "Force PXE", "chassis", "bootparam", "get", "5")
		tool(suite, "Up/On", "power", "on")
		tool(suite, "Chassis Power is on", "power", "status")
		tool(suite, "Cycle", "power", "cycle")
		tool(suite, "Down/Off", "power", "off")
	}
	if got := fmt.Sprint(m.booted(), m.modes); got != "[network  network ] [uefi  uefi ]" {
		t.Errorf("the machine booted from %s", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func evidence(err error) string {
	var f *sprout.Failure
	_ = errors.As(err, &f)
	return f.Evidence
}

// ipmi_sim is found without a password, and tells its GUID with one.
func TestSimulatorIsFoundAndRead(t *testing.T) {
	url, _ := simulate(t, freePort(t))
	greeter, err := ipmi.New(ipmi.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) { // until it serves
		if err = greeter.Greet(t.Context()); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("ipmi_sim does not answer: %v", err)
		}
	}
	all, err := client(t, ipmi.Config{URL: url, Password: password}).Systems(t.Context())
	if err != nil || len(all) != 1 || all[0].UUID == "" || all[0].Power != sprout.PowerOff || all[0].BMCFirmware == "" {
		t.Errorf("it tells of %+v: %v", all, err)
	}
	wantFailure(t, errOf(client(t, ipmi.Config{URL: url, Password: "wrong"}).Systems(t.Context())), sprout.BMCDenied, "cannot log in")
	nobody, err := ipmi.New(ipmi.Config{URL: fmt.Sprintf("ipmi://127.0.0.1:%d", freePort(t))})
	if err != nil {
		t.Fatal(err)
	}
	wantFailure(t, nobody.Greet(t.Context()), sprout.BMCUnreachable, "cannot reach the BMC")
}

func errOf[T any](_ T, err error) error { return err }
