package boot_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/boot"
	"sprout/dhcp/dhcptest"
)

// FuzzHandler asks for anything over HTTP: nothing outside of the boot files is
// served, and no token to a machine that it is not meant for.
func FuzzHandler(f *testing.F) {
	for _, heard := range dhcptest.Requests(f, "") { // of OVMF and iPXE
		f.Add(heard.Method, heard.URL.Path, "10.0.0.5", heard.Header.Get("Range"))
	}
	for _, path := range []string{
		"/boot/52-54-00-00-00-01.ipxe", "/boot/52:54:00:00:00:09.ipxe", "/boot/vmlinuz", "/boot/initrd", "/boot/snponly.efi",
		"/boot/secret", "/boot/../secret", "/boot/%2e%2e/secret", "/boot//", "/boot/52-54-00-00-00-01.ipxe?arch=x",
	} {
		for _, header := range []string{"", "bytes=0-3", "bytes=-1", "bytes=5-1,0-"} {
			f.Add("GET", path, "10.0.0.5", header)
		}
	}
	f.Add("HEAD", "/boot/vmlinuz", "10.0.0.103", "")
	f.Add("POST", "/boot/vmlinuz", "::1", "")
	files := f.TempDir()
	for name, content := range map[string]string{"vmlinuz": "the kernel", "initrd": "the initrd", "snponly.efi": "the loader", "secret": "no"} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(content), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	served := boot.Handler(boot.Config{
		Ledger: lon1(), URL: "http://10.0.0.1:8080", Files: files, Loaders: files, Cmdline: "quiet",
		Events: func(sprout.BootEvent) {}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	})
	f.Fuzz(func(t *testing.T, method, path, from, ranges string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || strings.ContainsAny(method, " \r\n\t") || method == "" {
			return // the library turns it away
		}
		q := &http.Request{Method: method, URL: u, Header: http.Header{"Range": {ranges}}, RemoteAddr: from + ":40000", Body: http.NoBody}
		w := httptest.NewRecorder()
		served.ServeHTTP(w, q.WithContext(t.Context()))
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("%s %q: status %d", method, path, w.Code)
		}
		body := w.Body.String()
		if body == "no" {
			t.Errorf("%s %q serves what is no boot file", method, path)
		}
		if strings.Contains(body, "TOKEN1") && from != "10.0.0.5" {
			t.Errorf("%s %q from %s is given the token of another", method, path, from)
		}
	})
}
