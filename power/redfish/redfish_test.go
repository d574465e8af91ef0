package redfish_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/governor"
	"sprout/power/powertest"
	"sprout/power/redfish"
	"sprout/power/redfish/emulator"
)

const password = "correct horse"

// A switchable is a machine that is nothing but its power.
type switchable struct {
	mu    sync.Mutex
	on    bool
	boots []power.BootDevice
}

func (m *switchable) Power() sprout.PowerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on {
		return sprout.PowerOn
	}
	return sprout.PowerOff
}

func (m *switchable) PowerOn(_ context.Context, boot emulator.Boot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.on {
		m.on, m.boots = true, append(m.boots, boot.Device)
	}
	return nil
}

func (m *switchable) PowerOff(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on = false
	return nil
}

func (m *switchable) InsertMedia(ctx context.Context, url string) error {
	return emulator.FetchMedia(ctx, url, io.Discard, 1<<20)
}
func (m *switchable) EjectMedia(context.Context) error { return nil }

func (m *switchable) Shutdown(ctx context.Context) error { return m.PowerOff(ctx) }

func (m *switchable) Boots() []power.BootDevice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots
}

// A rig is a client, its BMC over TLS, and the machine behind.
type rig struct {
	power.Provider
	bmc     *emulator.BMC
	machine *switchable
}

func open(t *testing.T, faults emulator.Faults, wrap func(http.Handler) http.Handler) rig {
	return openOf(t, "Acme", faults, wrap)
}

// openOf opens the BMC of a make.
func openOf(t *testing.T, vendor string, faults emulator.Faults, wrap func(http.Handler) http.Handler) rig {
	t.Helper()
	return openMachine(t, vendor, faults, wrap, func(m *switchable) emulator.Machine { return m })
}

func openModes(t *testing.T, vendor string, faults emulator.Faults, modes []sprout.BootMode) rig {
	t.Helper()
	return openMachine(t, vendor, faults, nil, func(m *switchable) emulator.Machine { return m }, modes...)
}

func openMachine(t *testing.T, vendor string, faults emulator.Faults, wrap func(http.Handler) http.Handler, wired func(*switchable) emulator.Machine, modes ...sprout.BootMode) rig {
	t.Helper()
	if len(modes) == 0 {
		modes = []sprout.BootMode{sprout.UEFI}
	}
	m := &switchable{}
	facts := emulator.Facts{Name: "m1", Serial: "S1", Manufacturer: vendor, Model: "M1", CPUs: 2, MemoryMB: 1024, Modes: modes}
	bmc := emulator.New(facts, wired(m), "admin", password, slog.New(slog.DiscardHandler))
	bmc.SetFaults(faults)
	t.Cleanup(bmc.Close)
	var h http.Handler = bmc
	if wrap != nil {
		h = wrap(bmc)
	}
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	p := client(t, redfish.Config{URL: server.URL, Password: password})
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return rig{p, bmc, m}
}

func client(t *testing.T, c redfish.Config) power.Provider {
	t.Helper()
	c.Username, c.Insecure, c.Poll = "admin", true, time.Millisecond
	d, err := redfish.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return governor.New(d, governor.Config{Burst: 1000, Failures: 1000, Poll: time.Millisecond, Settle: 300 * time.Millisecond})
}

func TestContract(t *testing.T) {
	for name, faults := range map[string]emulator.Faults{
		"a good BMC":                     {},
		"one that is busy at first":      {Unavailable: 1},
		"one with basic authentication":  {NoSessions: true},
		"one without boot mode":          {NoMode: true},
		"one with media of its manager":  {OldMedia: true},
		"one that resets by tasks":       {SlowReset: 20 * time.Millisecond},
		"one that is slow in everything": {Delay: 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			powertest.Run(t, func(t *testing.T) powertest.Rig {
				r := open(t, faults, nil)
				return powertest.Rig{
					Provider: r.Provider, Power: r.machine.Power, Boots: r.machine.Boots, Mode: sprout.UEFI,
					Image: imageOf(t), Inserted: r.bmc.Inserted,
				}
			})
		})
	}
}

// imageOf serves a CD image, and nothing else.
func imageOf(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/media/att_1/t0ken/boot.iso" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "CD")
	}))
	t.Cleanup(server.Close)
	return server.URL + "/media/att_1/t0ken/boot.iso"
}

// wantFailure checks code and words of a failure, and that it holds no secret.
func wantFailure(t *testing.T, err error, code sprout.Code, words string) {
	t.Helper()
	var f *sprout.Failure
	if !errors.As(err, &f) || f.Code != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
	all := f.Reason + " | " + f.Evidence
	if !strings.Contains(all, words) {
		t.Errorf("failure says %q, want %q in it", all, words)
	}
	if strings.Contains(fmt.Sprintf("%+v", *f), password) {
		t.Errorf("failure shows the password: %+v", *f)
	}
}

func TestFailures(t *testing.T) {
	ctx := t.Context()
	t.Run("power that does not follow", func(t *testing.T) {
		r := open(t, emulator.Faults{IgnoreReset: true}, nil)
		wantFailure(t, r.Set(ctx, sprout.PowerOn), sprout.PowerNotChanged, `expected on, found PowerState "Off"`)
	})
	t.Run("override that is not kept", func(t *testing.T) {
		r := open(t, emulator.Faults{IgnoreOverride: 1}, nil)
		wantFailure(t, r.BootOnce(ctx, power.BootNetwork, ""), sprout.BMCFailed, `found target "None"`)
	})
	t.Run("mode that the BMC does not offer", func(t *testing.T) {
		r := open(t, emulator.Faults{}, nil)
		wantFailure(t, r.BootOnce(ctx, power.BootNetwork, sprout.BIOS), sprout.BMCFailed, "allowed: UEFI")
	})
	t.Run("no virtual media", func(t *testing.T) {
		r := open(t, emulator.Faults{NoMedia: true}, nil)
		wantFailure(t, r.InsertMedia(ctx, imageOf(t)), sprout.MediaRefused, "offers no VirtualMedia")
		if err := r.EjectMedia(ctx); err != nil {
			t.Errorf("EjectMedia without a drive: %v", err)
		}
	})
	t.Run("media that stay in", func(t *testing.T) {
		r := open(t, emulator.Faults{}, nil)
		if err := r.InsertMedia(ctx, imageOf(t)); err != nil {
			t.Fatal(err)
		}
		r.bmc.SetFaults(emulator.Faults{KeepMedia: true})
		wantFailure(t, r.EjectMedia(ctx), sprout.MediaRefused, "expected nothing in it, found ")
	})
	t.Run("nobody there", func(t *testing.T) {
		p := client(t, redfish.Config{URL: "http://127.0.0.1:1"})
		wantFailure(t, p.Set(ctx, sprout.PowerOn), sprout.BMCUnreachable, "connection refused")
	})
	t.Run("busy for ever", func(t *testing.T) {
		r := open(t, emulator.Faults{Unavailable: 1 << 20}, nil)
		after := func(time.Duration) <-chan time.Time { c := make(chan time.Time); close(c); return c }
		p := client(t, redfish.Config{URL: urlOf(t, r), After: after})
		_, err := p.Status(ctx)
		wantFailure(t, err, sprout.BMCFailed, "ServiceTemporarilyUnavailable")
	})
	t.Run("a request that hangs", func(t *testing.T) {
		r := open(t, emulator.Faults{Delay: time.Second}, nil)
		p := client(t, redfish.Config{URL: urlOf(t, r), RequestTimeout: 20 * time.Millisecond})
		_, err := p.Status(ctx)
		wantFailure(t, err, sprout.BMCUnreachable, "deadline exceeded")
	})
	t.Run("a task that fails", func(t *testing.T) {
		r := openMachine(t, "Acme", emulator.Faults{SlowReset: time.Millisecond}, nil, func(m *switchable) emulator.Machine { return unfed{m} })
		wantFailure(t, r.Set(ctx, sprout.PowerOn), sprout.BMCFailed, "the BMC's task ended as Exception | no power supply")
	})
	t.Run("system that is not there", func(t *testing.T) {
		r := open(t, emulator.Faults{}, nil)
		p := client(t, redfish.Config{URL: urlOf(t, r), System: "blade7", Password: password})
		_, err := p.Status(ctx)
		wantFailure(t, err, sprout.BMCFailed, "it has: 1")
	})
}

// An unfed machine cannot be turned on.
type unfed struct{ *switchable }

func (unfed) PowerOn(context.Context, emulator.Boot) error { return errors.New("no power supply") }

// What a BMC calls itself is short, and no secret, whatever it echoes.
func TestNamesOfABMC(t *testing.T) {
	for vendor, want := range map[string]string{
		"Acme": "Acme", "Acme " + password: "Acme [secret]", "Ac\x00me": "Acme", strings.Repeat("é", 60): strings.Repeat("é", 50), "x" + strings.Repeat("é", 60): "x" + strings.Repeat("é", 49),
	} {
		r := openOf(t, vendor, emulator.Faults{}, nil)
		if _, err := r.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.About().Vendor; got != want {
			t.Errorf("%.20q is kept as %q, want %q", vendor, got, want)
		}
	}
}

// urlOf serves the rig's BMC once more, for a client of other settings.
func urlOf(t *testing.T, r rig) string {
	t.Helper()
	server := httptest.NewServer(r.bmc)
	t.Cleanup(server.Close)
	return server.URL
}

func TestWrongPassword(t *testing.T) {
	for name, faults := range map[string]emulator.Faults{"session": {}, "basic": {NoSessions: true}} {
		t.Run(name, func(t *testing.T) {
			r := open(t, faults, nil)
			p := client(t, redfish.Config{URL: urlOf(t, r), Password: "wrong"})
			_, err := p.Status(t.Context())
			wantFailure(t, err, sprout.BMCDenied, "401")
		})
	}
}

func TestEchoedPasswordIsNotShown(t *testing.T) {
	r := open(t, emulator.Faults{}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error": {"message": "you sent %s %s"}}`, strings.ReplaceAll(string(body), `"`, `'`), password)
		})
	})
	_, err := r.Status(t.Context())
	wantFailure(t, err, sprout.BMCFailed, "you sent")
}

func TestSessions(t *testing.T) {
	var logins int
	r := open(t, emulator.Faults{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/Sessions") {
				logins++
			}
			next.ServeHTTP(w, r)
		})
	})
	for range 3 {
		if _, err := r.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if logins != 1 || r.bmc.Sessions() != 1 {
		t.Fatalf("three calls made %d logins and left %d sessions, want one of each", logins, r.bmc.Sessions())
	}
	r.bmc.DropSessions()
	if _, err := r.Status(t.Context()); err != nil || logins != 2 {
		t.Fatalf("after the BMC forgot the session: %v, %d logins; want a second one", err, logins)
	}
	if err := r.Close(t.Context()); err != nil || r.bmc.Sessions() != 0 {
		t.Fatalf("Close: %v, %d sessions left", err, r.bmc.Sessions())
	}
}

func TestLinksToOtherHostsAreNotFollowed(t *testing.T) {
	var asked int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer other.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"link": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"Systems": {"@odata.id": %q}}`, other.URL)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, emulator.Faults{}, func(http.Handler) http.Handler { return answer })
			if _, err := r.Status(t.Context()); err == nil || asked > 0 {
				t.Errorf("err %v, the other host was asked %d times", err, asked)
			}
		})
	}
}

func TestStaleETagIsReadAgain(t *testing.T) {
	patches := 0
	r := open(t, emulator.Faults{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				if patches++; patches == 1 {
					r.Header.Set("If-Match", `"older"`)
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	if err := r.BootOnce(t.Context(), power.BootNetwork, sprout.UEFI); err != nil || patches != 2 {
		t.Fatalf("BootOnce = %v after %d patches, want success at the second", err, patches)
	}
	if boot := r.bmc.TakeBoot(); boot != (emulator.Boot{Device: power.BootNetwork, Mode: sprout.UEFI}) {
		t.Errorf("the BMC kept %+v", boot)
	}
}

func TestBadURLs(t *testing.T) {
	for _, url := range []string{"", "10.0.0.5", "ftp://x", "https://admin:" + password + "@x", "https://x/redfish", "https://%"} {
		_, err := redfish.New(redfish.Config{URL: url})
		if sprout.KindOf(err) != sprout.Invalid || strings.Contains(err.Error(), password) {
			t.Errorf("New(%q) = %v, want an invalid error", url, err)
		}
	}
}
