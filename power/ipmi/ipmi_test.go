package ipmi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
	"sprout/power/ipmi"
	"sprout/power/ipmi/emulator"
	"sprout/power/powertest"
)

const password = "correct-horse"

// A machine is its power and what it booted from.
type machine struct {
	mu    sync.Mutex
	on    bool
	boots []power.BootDevice
	modes []sprout.BootMode
}

func (m *machine) power() sprout.PowerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return map[bool]sprout.PowerState{true: sprout.PowerOn, false: sprout.PowerOff}[m.on]
}

func (m *machine) wired() emulator.Machine {
	return emulator.Machine{
		Power: m.power,
		On: func(_ context.Context, device power.BootDevice, mode sprout.BootMode) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.on, m.boots, m.modes = true, append(m.boots, device), append(m.modes, mode)
			return nil
		},
		Off: func(context.Context) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.on = false
			return nil
		},
	}
}

func (m *machine) booted() []power.BootDevice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]power.BootDevice(nil), m.boots...)
}

// serve opens the BMC of a machine that is off.
func serve(t *testing.T, faults emulator.Faults) (*emulator.BMC, *machine) {
	t.Helper()
	m := &machine{}
	bmc, err := emulator.Open("127.0.0.1:0", m.wired(), "admin", password, faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bmc.Close)
	return bmc, m
}

// client is a provider that is quick to give up.
func client(t *testing.T, c ipmi.Config) power.Provider {
	t.Helper()
	if c.Username == "" {
		c.Username = "admin"
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 2 * time.Second // a busy host's, not the BMC's
	}
	p, err := ipmi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	g := governor.New(p, governor.Config{Burst: 1000, Poll: time.Millisecond, Settle: 50 * time.Millisecond})
	t.Cleanup(func() { _ = g.Close(context.WithoutCancel(t.Context())) })
	return g
}

func TestContract(t *testing.T) {
	powertest.Run(t, func(t *testing.T) powertest.Rig {
		bmc, m := serve(t, emulator.Faults{})
		return powertest.Rig{
			Provider: client(t, ipmi.Config{URL: bmc.URL(), Password: password}), Power: m.power, Boots: m.booted, Mode: sprout.UEFI,
		}
	})
}

// wantFailure checks code and words of a failure, and that it holds no secret.
func wantFailure(t *testing.T, err error, code sprout.Code, words string) {
	t.Helper()
	var f *sprout.Failure
	if !errors.As(err, &f) || f.Code != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
	if all := f.Reason + " | " + f.Evidence; !strings.Contains(all, words) {
		t.Errorf("failure says %q, want %q in it", all, words)
	}
	if strings.Contains(fmt.Sprintf("%+v", *f), password) {
		t.Errorf("failure shows the password: %+v", *f)
	}
}

func TestFailures(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		faults emulator.Faults
		config ipmi.Config
		do     func(power.Provider) error
		code   sprout.Code
		words  string
	}{
		"power that does not follow": {
			faults: emulator.Faults{IgnorePower: true}, config: ipmi.Config{Password: password},
			do:   func(p power.Provider) error { return p.Set(ctx, sprout.PowerOn) },
			code: sprout.PowerNotChanged, words: "accepted power on; expected on, found chassis status off",
		},
		"flags that are not kept": {
			faults: emulator.Faults{IgnoreFlags: true}, config: ipmi.Config{Password: password},
			do:   func(p power.Provider) error { return p.BootOnce(ctx, power.BootNetwork, sprout.UEFI) },
			code: sprout.BMCFailed, words: "found boot flags 00 00 00 00 00",
		},
		"wrong password": {
			config: ipmi.Config{Password: "wrong"},
			do:     func(p power.Provider) error { return p.Set(ctx, sprout.PowerOn) },
			code:   sprout.BMCDenied, words: "RAKP",
		},
		"wrong user": {
			config: ipmi.Config{Username: "nobody", Password: password},
			do:     func(p power.Provider) error { return p.Set(ctx, sprout.PowerOn) },
			code:   sprout.BMCDenied, words: "refuses the user name or password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bmc, m := serve(t, c.faults)
			c.config.URL = bmc.URL()
			wantFailure(t, c.do(client(t, c.config)), c.code, c.words)
			if m.power() != sprout.PowerOff {
				t.Error("the machine is on")
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for name, at := range map[string]string{"no answer": silent.LocalAddr().String(), "closed port": "127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			p := client(t, ipmi.Config{URL: "ipmi://" + at, Password: password, RequestTimeout: 20 * time.Millisecond})
			_, err := p.Status(t.Context())
			wantFailure(t, err, sprout.BMCUnreachable, at)
		})
	}
}

// The mode that nobody names is that of the machine; one that is named goes
// before it.
func TestModes(t *testing.T) {
	bmc, m := serve(t, emulator.Faults{})
	p := client(t, ipmi.Config{URL: bmc.URL(), Password: password, Mode: sprout.UEFI})
	for _, mode := range []sprout.BootMode{"", sprout.BIOS, sprout.UEFI} {
		for _, err := range []error{
			p.BootOnce(t.Context(), power.BootDisk, mode), p.Set(t.Context(), sprout.PowerOn), p.Set(t.Context(), sprout.PowerOff),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := fmt.Sprint(m.modes); got != "[uefi bios uefi]" {
		t.Errorf("the machine started in the modes %s", got)
	}
}

// A BMC that restarts forgets its sessions, and says nothing to who has one.
func TestRestartedBMC(t *testing.T) {
	bmc, m := serve(t, emulator.Faults{})
	at := bmc.Addr.String()
	p := client(t, ipmi.Config{URL: "ipmi://" + at, Password: password, RequestTimeout: 200 * time.Millisecond})
	if err := p.Set(t.Context(), sprout.PowerOn); err != nil {
		t.Fatal(err)
	}
	bmc.Close()
	again, err := emulator.Open(at, m.wired(), "admin", password, emulator.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if state, err := p.Status(t.Context()); state != sprout.PowerOn || err != nil {
		t.Errorf("after the BMC restarted Status = %s, %v", state, err)
	}
}

func TestBadConfigs(t *testing.T) {
	for _, url := range []string{
		"", "10.0.0.5", "https://10.0.0.5", "ipmi://", "ipmi://admin:" + password + "@x", "ipmi://x/path", "ipmi://x:0", "ipmi://x:70000",
		"ipmi://x?cipher=0", "ipmi://x?cipher=1", "ipmi://x?chiper=3", "ipmi://%",
	} {
		_, err := ipmi.New(ipmi.Config{URL: url})
		if sprout.KindOf(err) != sprout.Invalid || strings.Contains(err.Error(), password) {
			t.Errorf("New(%q) = %v, want an invalid error", url, err)
		}
	}
	for field, c := range map[string]ipmi.Config{
		"bmc.username": {URL: "ipmi://x", Username: strings.Repeat("u", 17)},
		"bmc.password": {URL: "ipmi://x", Password: strings.Repeat("p", 21)},
	} {
		var invalid *sprout.Error
		if _, err := ipmi.New(c); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("New with a long %s = %v", field, err)
		}
	}
}
