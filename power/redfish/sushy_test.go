package redfish_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/powertest"
	"sprout/power/redfish"
)

// The account of sushy-tools' emulator, as htpasswd has it.
const htpasswd = "admin:$2b$04$cUio9KaxkBemvNqbuGor9OnPupYr4hTGTnAuu.4YoulgAVkevJ3DW\n"

const sushyConfig = `SUSHY_EMULATOR_AUTH_FILE = %q
SUSHY_EMULATOR_STATE_DIR = %q
`

// A sushy is sushy-tools' emulator with its one fake machine.
type sushy struct{ url string }

// startSushy runs OpenStack's Redfish emulator on a port of its own.
func startSushy(t *testing.T) sushy {
	t.Helper()
	cache := os.Getenv("CACHE")
	if cache == "" {
		cache = "/var/cache/sprout"
	}
	python := filepath.Join(cache, "sushy-tools/bin/python")
	if _, err := os.Stat(python); err != nil {
		t.Skip("make sushy-tools installs OpenStack's Redfish emulator: ", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	must(t, l.Close())
	dir := t.TempDir()
	auth, config := filepath.Join(dir, "auth"), filepath.Join(dir, "config")
	must(t, os.WriteFile(auth, []byte(htpasswd), 0o600))
	must(t, os.WriteFile(config, fmt.Appendf(nil, sushyConfig, auth, dir), 0o600))
	var out bytes.Buffer
	c := exec.Command(python, "testdata/sushy_emulator.py", "--fake", "--config", config, "-i", "127.0.0.1", "-p", port)
	c.Stdout, c.Stderr, c.Env = &out, &out, append(os.Environ(), "TMPDIR="+dir)
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Log("sushy-emulator:", out.String())
		}
	})
	s := sushy{"http://127.0.0.1:" + port}
	for end := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		res, err := http.Get(s.url + "/redfish/v1/")
		if err == nil {
			_ = res.Body.Close()
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("sushy-emulator does not answer: %v", err)
		}
	}
}

// read asks the emulator itself, past what is tested.
func (s sushy) read(t *testing.T, path string, into any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	must(t, err)
	r.SetBasicAuth("admin", password)
	res, err := http.DefaultClient.Do(r)
	must(t, err)
	defer res.Body.Close()
	must(t, json.NewDecoder(res.Body).Decode(into))
}

const sushySystem = "/redfish/v1/Systems/27946b59-9e44-4fa7-8e91-f3527a1ef094"

// TestSushyToolsContract holds the driver to the contract against OpenStack's
// emulator. Its fake machine has power, a boot device and a virtual CD, and starts
// nothing; sessions it has none.
func TestSushyToolsContract(t *testing.T) {
	s := startSushy(t)
	var system struct {
		PowerState string
		Boot       struct{ BootSourceOverrideTarget, BootSourceOverrideMode string }
	}
	devices := map[string]power.BootDevice{"Pxe": power.BootNetwork, "Hdd": power.BootDisk, "Cd": power.BootMedia}
	rig := func(t *testing.T) powertest.Rig {
		p := client(t, redfish.Config{URL: s.url, Password: password})
		must(t, p.EjectMedia(t.Context()))
		must(t, p.Set(t.Context(), sprout.PowerOff))
		image := imageOf(t)
		return powertest.Rig{
			Provider: p, Mode: sprout.UEFI, Image: image,
			Power: func() sprout.PowerState {
				s.read(t, sushySystem, &system)
				return sprout.PowerState(strings.ToLower(system.PowerState))
			},
			Next: func() (power.BootDevice, sprout.BootMode) {
				s.read(t, sushySystem, &system)
				mode := map[string]sprout.BootMode{"UEFI": sprout.UEFI, "Legacy": sprout.BIOS}[system.Boot.BootSourceOverrideMode]
				return devices[system.Boot.BootSourceOverrideTarget], mode
			},
			Inserted: func() string {
				var drive struct {
					Image    string
					Inserted bool
				}
				s.read(t, sushySystem+"/VirtualMedia/Cd", &drive)
				if !drive.Inserted {
					return ""
				}
				return drive.Image
			},
		}
	}
	powertest.Run(t, rig)

	p := rig(t).Provider
	for _, mode := range []sprout.BootMode{sprout.BIOS, sprout.UEFI} {
		must(t, p.BootOnce(t.Context(), power.BootNetwork, mode))
		if s.read(t, sushySystem, &system); system.Boot.BootSourceOverrideMode != map[sprout.BootMode]string{sprout.BIOS: "Legacy", sprout.UEFI: "UEFI"}[mode] {
			t.Errorf("by %s the emulator keeps %+v", mode, system.Boot)
		}
	}
	all, err := p.Systems(t.Context())
	if err != nil || len(all) != 1 || !strings.EqualFold(all[0].UUID, path.Base(sushySystem)) || len(all[0].MACs) == 0 || all[0].Power == "" {
		t.Errorf("it tells of %+v: %v", all, err)
	}
	_, err = client(t, redfish.Config{URL: s.url, Password: "wrong"}).Status(t.Context())
	var f *sprout.Failure
	if !errors.As(err, &f) || f.Code != sprout.BMCDenied {
		t.Errorf("with a wrong password: %v, want bmc-denied", err)
	}
}
