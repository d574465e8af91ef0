package builtin_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"sprout"
	"sprout/hwtest"
	"sprout/hwtest/builtin"
	"sprout/hwtest/hwtesttest"
)

const token = "a-token-of-one-boot"

func agent(t *testing.T) hwtest.Peer {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("GET /ramdisk/payload", hwtesttest.Payload(token))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return hwtest.Peer{URL: s.URL, Token: token}
}

// TestContract runs on this host: its loopback stands for a port, its first
// readable disk, if it has one, for a disk.
func TestContract(t *testing.T) {
	inv := sprout.Inventory{Interfaces: []sprout.Interface{{Name: "lo", Link: true, SpeedMbs: 1000}, {Name: "eth9"}}}
	entries, err := os.ReadDir("/sys/block")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f, err := os.Open("/dev/" + e.Name())
		if err == nil && strings.HasPrefix(e.Name(), "vd") {
			inv.Disks = append(inv.Disks, sprout.Disk{Name: e.Name()})
		}
		if err == nil {
			_ = f.Close()
		}
	}
	hwtesttest.Run(t, builtin.Provider{}, inv, agent(t))
}

func run(t *testing.T, name string, d hwtest.Device) ([]sprout.Metric, error) {
	t.Helper()
	for _, test := range (builtin.Provider{}).Tests(d.Inventory) {
		if test.Name == name {
			return test.Run(t.Context(), d)
		}
	}
	t.Fatalf("there is no test %s", name)
	return nil, nil
}

func TestBadHardware(t *testing.T) {
	if _, err := run(t, "disk-read", hwtest.Device{Name: "no-such-disk"}); err == nil || !strings.Contains(err.Error(), "no-such-disk") {
		t.Errorf("a disk that is not there: %v", err)
	}
	lo := sprout.Inventory{Interfaces: []sprout.Interface{{Name: "lo", Link: true}}}
	dead := httptest.NewServer(http.NotFoundHandler())
	defer dead.Close()
	metrics, err := run(t, "nic-link", hwtest.Device{Name: "lo", Inventory: lo, Agent: hwtest.Peer{URL: dead.URL}})
	if err == nil || !strings.Contains(err.Error(), "100 %") || len(metrics) == 0 {
		t.Errorf("an agent that refuses: %v %v", metrics, err)
	}
	r := hwtest.Run(t.Context(), (builtin.Provider{}).Tests(lo)[3:], sprout.Inventory{Interfaces: []sprout.Interface{{Name: "lo"}}}, hwtest.Peer{URL: dead.URL}, nil)
	if len(r) != 1 || r[0].Outcome != sprout.Skipped || !strings.Contains(r[0].Message, "cable") {
		t.Errorf("a port without a cable: %+v", r)
	}
}
