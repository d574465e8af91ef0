package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/dhcp/dhcptest"
	"sprout/health"
	"sprout/image"
	"sprout/sitestore"
)

// Who has these secrets is a machine that boots; a fuzzer is none.
const (
	fuzzSecret = "s3cr3t-of-the-ramdisk"
)

// fuzzSite is a site that has a machine which boots, without a centre.
func fuzzSite(f *testing.F) *site {
	f.Helper()
	dir := f.TempDir()
	for _, name := range []string{"vmlinuz", "initrd", "undionly.kpxe", "snponly.efi"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	store, err := sitestore.Open(filepath.Join(dir, "site.db"), log)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	clock := health.NewClock()
	s := &site{
		config: Config{DataDir: dir, Address: netip.MustParsePrefix("10.0.0.1/24"), RamdiskDir: dir, BootFiles: dir, Log: log},
		log:    log, store: store, clock: clock, started: clock.Now(), orders: newOrders(), troubles: &health.Troubles{Log: log},
	}
	if s.images, err = image.New(filepath.Join(dir, "images")); err != nil {
		f.Fatal(err)
	}
	s.live, s.boots = newLive(s), newBoots(s)
	err = store.Update(context.Background(), func(tx *bbolt.Tx) error {
		if err := store.Give(tx, "att_1", sprout.Order{ID: "ord_1", Kind: sprout.OrderInspect}); err != nil {
			return err
		}
		return store.SetIntent(tx, sprout.Intent{Machine: "mch_1", Attempt: "att_1", Purpose: "deploy", Token: fuzzSecret, HomeToken: fuzzSecret + "-home", ExpiresAt: clock.Now().Add(time.Hour)})
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// FuzzWeb asks the agent's HTTP for anything, with any body: it answers with a status
// that there is, and what is secret it gives to nobody who does not show the token.
func FuzzWeb(f *testing.F) {
	web := fuzzSite(f).web()
	for _, heard := range dhcptest.Requests(f, fuzzSecret) { // of the ramdisk and cloud-init
		f.Add(heard.Method, heard.URL.Path, heard.Header.Get("Authorization"), heard.Content)
	}
	for _, c := range []struct{ method, path, auth, body string }{
		{"POST", "/ramdisk/hello", "", `{"bootMac":"52:54:00:00:00:01"}`},
		{"POST", "/ramdisk/hello", "Bearer " + fuzzSecret, `{"version":"1","bootMac":"52:54:00:00:00:01","architecture":"x86_64","bootMode":"uefi","macs":["52:54:00:00:00:01"]}`},
		{"POST", "/ramdisk/report", "Bearer " + fuzzSecret, `{"order":"ord_1","outcome":"progress","progress":{"done":1,"total":2},"console":[{"text":"x"}]}`},
		{"POST", "/ramdisk/report", "Bearer " + fuzzSecret, `{"order":"ord_1","outcome":"done","inventory":{"disks":[{}],"interfaces":[{"mac":"x"}]}}`},
		{"POST", "/ramdisk/report", "Bearer " + fuzzSecret, `{"order":"ord_1","outcome":"failed","failure":{"code":"internal"}}`},
		{"POST", "/ramdisk/report", "Bearer nobody", `{`},
		{"GET", "/ramdisk/payload", "Bearer nobody", ""},
		{"GET", "/images/sha256:0000", "Bearer " + fuzzSecret, ""},
		{"GET", "/images/../site.db", "Bearer " + fuzzSecret, ""},
		{"GET", "/boot/52-54-00-00-00-01.ipxe", "", ""},
		{"GET", "/latest/meta-data/instance-id", "", ""},
		{"GET", "/meta-data", "", ""},
		{"POST", "/phone-home/att_1/nothing", "", "instance_id=x"},
		{"POST", "/phone-home/att_1/" + fuzzSecret + "-home", "", "\xff\x00"},
	} {
		f.Add(c.method, c.path, c.auth, []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, method, path, auth string, body []byte) {
		if u, err := url.ParseRequestURI(path); err != nil || u.Host != "" || !valid(method) || strings.ContainsAny(auth, "\r\n\x00") {
			return // the library turns it away
		}
		if strings.Contains(auth, fuzzSecret) && (strings.Contains(path, "/order") || strings.Contains(path, "/payload")) {
			return // the one is held open until there is an order, the other is as long as is asked for
		}
		q := httptest.NewRequest(method, "http://10.0.0.1/", strings.NewReader(string(body)))
		q.URL, _ = url.ParseRequestURI(path)
		q.RemoteAddr = "10.0.0.9:999"
		if auth != "" {
			q.Header.Set("Authorization", auth)
		}
		w := httptest.NewRecorder()
		web.ServeHTTP(w, q)
		if w.Code < 200 || w.Code > 599 || w.Code == http.StatusInternalServerError {
			t.Errorf("%s %q is answered by %d: %s", method, path, w.Code, w.Body)
		}
		said := fmt.Sprint(w.Header()) + w.Body.String()
		if strings.Contains(said, fuzzSecret) && !strings.Contains(auth+path+string(body), fuzzSecret) {
			t.Errorf("%s %q gives a secret away: %s", method, path, said)
		}
	})
}

func valid(method string) bool {
	return method != "" && !strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' })
}
