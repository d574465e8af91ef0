package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/power"
	"sprout/power/redfish/emulator"
)

// A testMachine is a machine with a BMC. Powered on from the network it asks
// the agent for its boot script and runs the ramdisk that the script names.
type testMachine struct {
	t     *testing.T
	agent string // URL
	mac   string
	bmc   *httptest.Server
	// On is called in the ramdisk before an order is done; it may be nil.
	on func(o sprout.Order)

	mu      sync.Mutex
	power   sprout.PowerState
	stop    context.CancelFunc
	running sync.WaitGroup
	tokens  []string // that its ramdisks were given
	homes   []string // phone-home URLs that it was given
	drives  []sprout.ConfigDrive
	// First is called by the installed system before it reports; it may be nil.
	first func()
}

func newMachine(t *testing.T, agent, mac string) *testMachine {
	t.Helper()
	m := &testMachine{t: t, agent: agent, mac: mac, power: sprout.PowerOff}
	m.bmc = httptest.NewServer(emulator.New(emulator.Facts{Name: "m1", MACs: []string{mac}}, m, "admin", "hunter2", slog.New(slog.DiscardHandler)))
	t.Cleanup(func() {
		_ = m.PowerOff(context.Background())
		m.bmc.Close()
	})
	return m
}

func (m *testMachine) Power() sprout.PowerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.power
}

func (m *testMachine) PowerOn(_ context.Context, b emulator.Boot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.power == sprout.PowerOn {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	m.power, m.stop = sprout.PowerOn, stop
	if b.Device == power.BootNetwork {
		m.running.Go(func() { m.boot(ctx) })
	}
	return nil
}

func (m *testMachine) PowerOff(context.Context) error {
	m.mu.Lock()
	if m.stop != nil {
		m.stop()
	}
	m.power, m.stop = sprout.PowerOff, nil
	m.mu.Unlock()
	m.running.Wait()
	return nil
}

func (m *testMachine) InsertMedia(context.Context, string) error { return nil }
func (m *testMachine) EjectMedia(context.Context) error          { return nil }
func (m *testMachine) Shutdown(ctx context.Context) error        { return m.PowerOff(ctx) }

var scriptToken = regexp.MustCompile(`sprout\.token=(\S+)`)

// boot goes on asking until it is told what to do; an agent may be away.
func (m *testMachine) boot(ctx context.Context) {
	for {
		status, script := m.try(ctx, http.MethodGet, m.agent+"/boot/"+m.mac+".ipxe", "", nil)
		if ctx.Err() != nil {
			return
		}
		if found := scriptToken.FindSubmatch(script); status == 200 && found != nil {
			m.mu.Lock()
			m.tokens = append(m.tokens, string(found[1]))
			m.mu.Unlock()
			m.ramdisk(ctx, string(found[1]))
			return
		}
		_ = sprout.Pause(ctx, 20*time.Millisecond)
	}
}

// ramdisk does what it is told until it reboots from its disk.
func (m *testMachine) ramdisk(ctx context.Context, token string) {
	m.ask(ctx, http.MethodPost, "/ramdisk/hello", token, sprout.Hello{Version: "1", BootMAC: m.mac, BootMode: sprout.BIOS, MACs: []string{m.mac}}, nil)
	for after := ""; ctx.Err() == nil; {
		var order sprout.Order
		m.ask(ctx, http.MethodGet, "/ramdisk/order?after="+after, token, nil, &order)
		if order.ID == "" {
			continue
		}
		after = order.ID
		if m.on != nil {
			m.on(order)
		}
		report := m.do(ctx, token, order)
		m.ask(ctx, http.MethodPost, "/ramdisk/report", token, report, nil)
		m.ask(ctx, http.MethodPost, "/ramdisk/report", token, report, nil) // an answer was lost
		if order.Kind == sprout.OrderReboot {
			m.home(ctx)
			return
		}
	}
}

func (m *testMachine) do(ctx context.Context, token string, o sprout.Order) sprout.Report {
	r := sprout.Report{Order: o.ID, Outcome: "done"}
	switch o.Kind {
	case sprout.OrderInspect:
		r.Inventory = &sprout.Inventory{Serial: "S1", BootMode: sprout.BIOS, CPU: sprout.CPU{Cores: 2}, Disks: []sprout.Disk{{Name: "vda", Bytes: 4 << 30}}}
	case sprout.OrderTest:
		r.Tests = []sprout.TestResult{{Test: "disk-read", Kind: "disk", Device: "vda", Outcome: sprout.Passed}}
	case sprout.OrderWrite:
		m.ask(ctx, http.MethodPost, "/ramdisk/report", token, sprout.Report{
			Order: o.ID, Outcome: "progress", Progress: &sprout.Progress{Done: 1, Total: o.Write.Image.Bytes, Unit: "B"},
		}, nil)
		status, body := m.try(ctx, http.MethodGet, m.agent+o.Write.URL, token, nil)
		sum := sha256.Sum256(body)
		if digest := "sha256:" + hex.EncodeToString(sum[:]); digest != o.Write.Image.Digest && ctx.Err() == nil {
			r.Outcome, r.Failure = "failed", sprout.Fail(sprout.DigestMismatch, "the bytes are not the image's", fmt.Sprintf("%d, %s", status, digest))
		}
		r.Written = &sprout.Written{RawDigest: o.Write.Image.RawDigest, RawBytes: o.Write.Image.RawBytes, Verified: true}
		m.mu.Lock()
		m.drives = append(m.drives, o.Write.ConfigDrive)
		m.homes = append(m.homes, regexp.MustCompile(`http://\S+/phone-home/\S+`).FindString(o.Write.ConfigDrive.VendorData))
		m.mu.Unlock()
	case sprout.OrderErase:
		r.Erased = []sprout.Erased{{Disk: sprout.Disk{Name: "vda"}, Method: "discard"}}
	case sprout.OrderReboot, sprout.OrderPowerOff:
	}
	return r
}

// home is the installed system, which tries until somebody hears it.
func (m *testMachine) home(ctx context.Context) {
	if m.first != nil {
		m.first()
	}
	m.mu.Lock()
	url := m.homes[len(m.homes)-1]
	m.mu.Unlock()
	for ctx.Err() == nil {
		if status, _ := m.try(ctx, http.MethodPost, url, "", map[string]string{"hostname": "web-01"}); status == 200 {
			return
		}
		_ = sprout.Pause(ctx, 50*time.Millisecond)
	}
}

// ask repeats a request until it has been answered for good.
func (m *testMachine) ask(ctx context.Context, method, path, token string, in, out any) {
	for ctx.Err() == nil {
		status, raw := m.try(ctx, method, m.agent+path, token, in)
		switch {
		case status == 200 && out != nil:
			if err := json.Unmarshal(raw, out); err != nil {
				m.t.Errorf("%s: %v", path, err)
			}
			return
		case status/100 == 2 || status == http.StatusConflict:
			return
		}
		_ = sprout.Pause(ctx, 20*time.Millisecond)
	}
}

// try makes one request; 0: it was not answered whole.
func (m *testMachine) try(ctx context.Context, method, url, token string, in any) (int, []byte) {
	raw, err := json.Marshal(in)
	if err != nil {
		m.t.Error(err)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(raw))
	if err != nil {
		m.t.Error(err)
		return 0, nil
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}
