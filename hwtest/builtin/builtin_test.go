package builtin_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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

// TestLibrary holds every test that comes with Sprout to what a reader is told,
// and its script to the shell's grammar.
func TestLibrary(t *testing.T) {
	page, err := os.ReadFile("../../docs/how-to/hardware-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range builtin.Library() {
		if !strings.Contains(string(page), "`"+e.Name+"`") {
			t.Errorf("the how-to does not tell of %s", e.Name)
		}
		if e.Program != "" {
			if e.Program != e.Name || !e.Usual {
				t.Errorf("%s is the ramdisk's program %q, usual: %v", e.Name, e.Program, e.Usual)
			}
			continue
		}
		name := filepath.Join(t.TempDir(), e.Name)
		if err := os.WriteFile(name, e.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sh", "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", e.Name, err, out)
		}
		for _, p := range e.Parameters {
			if !bytes.Contains(e.Content, []byte("SPROUT_"+strings.ToUpper(p.Name))) {
				t.Errorf("%s does not use its parameter %s", e.Name, p.Name)
			}
		}
	}
}

// TestHowToExample holds the page to its word: the test that it shows is one.
func TestHowToExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/how-to/hardware-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, ok := strings.Cut(string(page), "    #!/bin/sh\n")
	example, _, _ := strings.Cut(shown, "\n\n")
	test, err := hwtest.Parse("steady-writes", []byte("#!/bin/sh\n"+strings.ReplaceAll(example, "\n    ", "\n")+"\n"))
	if !ok || err != nil || len(test.Parameters) != 2 || len(test.Metrics) != 1 || !test.Destructive {
		t.Errorf("the example is %+v: %v", test, err)
	}
}
