package boot_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
)

// fetch opens a file as the client, and returns what it holds.
func fetch(t *testing.T, r *rack, name, client string) (string, error) {
	t.Helper()
	f, err := r.tftp(name, netip.MustParseAddr(client))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), nil
}

// web-01 boots from a lease here: TFTP has no other word of who asks.
func leased() *ledger {
	l := lon1()
	l.leases["10.0.0.104"] = sprout.Lease{MAC: web01, IP: netip.MustParseAddr("10.0.0.104"), State: "bound", ExpiresAt: now.Add(time.Minute)}
	return l
}

func TestSignedLoaders(t *testing.T) {
	for name, c := range map[string]struct {
		file, client string
		want         string // empty: there is no such file
		event        string
	}{
		"shim, with an intent":        {"shimx64.efi", "10.0.0.104", "the shim", ""},
		"shim, without an intent":     {"shimx64.efi", "10.0.0.101", "", db01 + " http-script-disk db-01 has no boot intent"},
		"shim, an intent ran out":     {"shimx64.efi", "10.0.0.102", "", late + " http-script-disk the intent of late-01"},
		"shim, leased to nobody":      {"shimx64.efi", "10.0.0.50", "", "http-script-refused 10.0.0.50 is leased to nobody"},
		"GRUB":                        {"grubx64.efi", "10.0.0.104", "the grub", ""},
		"kernel":                      {"vmlinuz", "10.0.0.104", "the kernel", ""},
		"initrd":                      {"initrd", "10.0.0.104", "the initrd", ""},
		"loader":                      {"snponly.efi", "10.0.0.104", "the loader", ""},
		"shim of arm64":               {"shimaa64.efi", "10.0.0.104", "the arm64 shim", ""},
		"the same, without an intent": {"shimaa64.efi", "10.0.0.101", "", db01 + " http-script-disk db-01 has no boot intent"},
		"GRUB of arm64":               {"grubaa64.efi", "10.0.0.104", "the arm64 grub", ""},
		"the same, leased to nobody":  {"grubaa64.efi", "10.0.0.50", "", "http-script-refused 10.0.0.50 is leased to nobody"},
		"kernel of arm64":             {"arm64/vmlinuz", "10.0.0.104", "the arm64 kernel", ""},
		"initrd of arm64":             {"arm64/initrd", "10.0.0.104", "the arm64 initrd", ""},
		"a way out of arm64":          {"arm64/../secret", "10.0.0.104", "", ""},
		"what shim looks for":         {"revocations_sbat.efi", "10.0.0.104", "", ""},
		"what GRUB looks for":         {"grub/x86_64-efi/grub.cfg", "10.0.0.104", "", ""},
		"another file of the folder":  {"secret", "10.0.0.104", "", ""},
		"a way out":                   {"../shim", "10.0.0.104", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := handlerOf(t, leased())
			got, err := fetch(t, r, c.file, c.client)
			if got != c.want || (c.want == "") != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			if told := strings.Join(r.events, "\n"); c.event == "" && told != "" || !strings.Contains(told, c.event) {
				t.Errorf("told %q, want %q", told, c.event)
			}
		})
	}
}

func TestGRUBConfiguration(t *testing.T) {
	r := handlerOf(t, leased())
	got, err := fetch(t, r, "grub/grub.cfg", "10.0.0.104")
	if err != nil {
		t.Fatal(err)
	}
	want := "linux /vmlinuz 'sprout.url=http://10.0.0.1:8080' 'sprout.token=TOKEN1' 'BOOTIF=01-52-54-00-00-00-01' ip=none panic=30 console=ttyS0 console=tty0 quiet;"
	if !strings.Contains(got, want) || !strings.Contains(got, "initrd /initrd") {
		t.Errorf("%s\nlacks %s", got, want)
	}
	for _, want := range []string{`if [ "$grub_cpu" = arm64 ]`, "linux /arm64/vmlinuz 'sprout.url=http://10.0.0.1:8080' 'sprout.token=TOKEN1'", "initrd /arm64/initrd;"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	if want := []string{web01 + " " + sprout.SawScript + " web-01 boots the ramdisk to deploy"}; !slices.Equal(r.events, want) {
		t.Errorf("told %q, want %q", r.events, want)
	}
	if strings.Contains(r.log.String(), "TOKEN") {
		t.Errorf("a token is in the log: %s", &r.log)
	}
	for client, why := range map[string]string{"10.0.0.101": "no boot intent", "10.0.0.102": "ran out", "10.9.0.103": "does not allow discovery", "10.0.0.50": "leased to nobody", "192.168.1.1": "leased to nobody"} {
		got, err := fetch(t, r, "grub/grub.cfg", client)
		if err != nil || strings.Contains(got, "TOKEN") || strings.Contains(got, "linux") || !strings.Contains(got, why) || !strings.HasSuffix(got, "reboot\n") {
			t.Errorf("%s is told %q, %v", client, got, err)
		}
	}
}

// TestWhoHasTheAddress: a leased address is not enough to get a token, from either
// loader; who has it on the link must be who leased it.
func TestWhoHasTheAddress(t *testing.T) {
	const ip = "10.0.0.104"
	for name, c := range map[string]struct {
		at   map[string]string
		want string // empty: the token
	}{
		"it has it":         {map[string]string{ip: web01}, ""},
		"behind a router":   {nil, ""},
		"another has it":    {map[string]string{ip: stranger}, ip + " is used by " + stranger + ", not by " + web01},
		"nobody answers":    {map[string]string{}, "it cannot be known whose " + ip + " is: no host on the link answers for it"},
		"a machine we know": {map[string]string{ip: db01}, ip + " is used by " + db01},
	} {
		t.Run(name, func(t *testing.T) {
			r := handlerOf(t, leased())
			r.at = c.at
			for _, file := range []string{"shimx64.efi", "grubaa64.efi"} {
				if _, err := fetch(t, r, file, ip); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v", file, err)
				}
			}
			r.events = nil
			config, err := fetch(t, r, "grub/grub.cfg", ip)
			if err != nil || strings.Contains(config, "TOKEN1") != (c.want == "") || !strings.Contains(config, c.want) {
				t.Errorf("GRUB is told %q, %v", config, err)
			}
			script := r.do("GET", "/boot/"+web01+".ipxe", ip)
			if (script.Code == http.StatusOK) != (c.want == "") || strings.Contains(script.Body.String(), "TOKEN1") != (c.want == "") || !strings.Contains(script.Body.String(), c.want) {
				t.Errorf("iPXE is told %d %s", script.Code, script.Body)
			}
			if told := strings.Join(r.events, "\n"); c.want != "" && strings.Count(told, sprout.SawRefused+" "+c.want) != 2 {
				t.Errorf("told %q", told)
			}
		})
	}
	r := handlerOf(t, leased())
	r.at = map[string]string{"10.0.0.103": db01}
	if w := r.do("GET", "/boot/"+stranger+".ipxe", "10.0.0.103"); w.Code != http.StatusForbidden || len(r.ledger.started) != 0 {
		t.Errorf("the unknown: %d %s, started %v", w.Code, w.Body, r.ledger.started)
	}
}

// TestGRUBQuotes: a machine's name cannot become a command.
func TestGRUBQuotes(t *testing.T) {
	l := leased()
	l.known[web01] = sprout.SiteMachine{ID: "mch_1", Name: "x'\nreboot; echo '$y"}
	got, err := fetch(t, handlerOf(t, l), "grub/grub.cfg", "10.0.0.104")
	if first, _, _ := strings.Cut(got, "\n"); err != nil || first != "echo 'Sprout: x..reboot. echo ..y boots the ramdisk to deploy'" {
		t.Errorf("%q, %v", first, err)
	}
}

// TestSignedLoaderMissing: it is said how to get it.
func TestSignedLoaderMissing(t *testing.T) {
	r := handlerOf(t, leased())
	if err := os.Remove(filepath.Join(r.files, "shim")); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, r, "shimx64.efi", "10.0.0.104"); !errors.Is(err, fs.ErrNotExist) || !bytes.Contains(r.log.Bytes(), []byte("apt-get install shim-signed")) {
		t.Errorf("%v; log: %s", err, &r.log)
	}
}
