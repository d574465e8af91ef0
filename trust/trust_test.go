package trust_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/trust"
)

func authority(t *testing.T) trust.Authority {
	t.Helper()
	a, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serve answers over TLS with what the source shows.
func serve(t *testing.T, show func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	s.Config.ErrorLog = nil
	listener := tls.NewListener(s.Listener, &tls.Config{GetCertificate: show})
	s.Listener = listener
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, s *httptest.Server, config *tls.Config) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.Listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	answer, err := c.Do(request)
	if err == nil {
		err = answer.Body.Close()
	}
	return err
}

// Who pinned an authority trusts what that issues and nothing else, by its
// certificate or by its fingerprint; another is told apart and named.
func TestPinnedAuthority(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	s := serve(t, trust.NewIssuer(ours, nil).Certificate)
	other := serve(t, trust.NewIssuer(theirs, nil).Certificate)

	only, err := trust.Only(ours.PEM())
	if err != nil {
		t.Fatal(err)
	}
	print := trust.Fingerprint(ours.Certificate)
	for name, config := range map[string]*tls.Config{"certificate": only, "fingerprint": trust.Pinned(print, "127.0.0.1")} {
		if err := get(t, s, config); err != nil {
			t.Errorf("by %s: %v", name, err)
		}
		if err := get(t, other, config); err == nil {
			t.Errorf("by %s another authority is trusted", name)
		}
	}
	if err := get(t, s, trust.Pinned(print, "sprout.example")); err == nil || !strings.Contains(err.Error(), "sprout.example") {
		t.Errorf("a server of another name is trusted: %v", err)
	}
	err = get(t, other, only)
	said := trust.Distrust(err, "https://x", ours.PEM())
	if said == nil || said.Kind != sprout.Denied || !strings.Contains(said.Message, print) || !strings.Contains(said.Message, trust.Fingerprint(theirs.Certificate)) {
		t.Errorf("%v is told as %v", err, said)
	}
	if trust.Distrust(errors.New("refused"), "https://x", nil) != nil {
		t.Error("every error is distrust")
	}
	chain, err := trust.Shown(t.Context(), s.Listener.Addr().String())
	if err != nil || trust.Fingerprint(trust.Top(chain)) != print {
		t.Errorf("the server shows %v, %v", chain, err)
	}
}

func TestAuthorityIsKept(t *testing.T) {
	a := authority(t)
	private, err := a.Private()
	if err != nil {
		t.Fatal(err)
	}
	again, err := trust.ReadAuthority(private)
	if err != nil || !again.Certificate.Equal(a.Certificate) {
		t.Fatalf("%v, %v", again.Certificate, err)
	}
	s := serve(t, trust.NewIssuer(again, nil).Certificate)
	if err := get(t, s, trust.Pinned(trust.Fingerprint(a.Certificate), "127.0.0.1")); err != nil {
		t.Error(err)
	}
	upper := strings.ToUpper(strings.TrimPrefix(trust.Fingerprint(a.Certificate), "sha256:"))
	if got, err := trust.ParseFingerprint(upper[:2] + ":" + upper[2:]); err != nil || got != trust.Fingerprint(a.Certificate) {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := trust.ParseFingerprint("abc"); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("half a fingerprint: %v", err)
	}
}

// A certificate is made anew before it expires, and for each address of ours
// that somebody connects to; else it stays the same.
func TestIssuerRenews(t *testing.T) {
	now := time.Now()
	i := trust.NewIssuer(authority(t), []string{"sprout.example"})
	i.Now = func() time.Time { return now }
	show := func(hello *tls.ClientHelloInfo) *tls.Certificate {
		t.Helper()
		c, err := i.Certificate(hello)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := show(nil)
	now = first.Leaf.NotAfter.Add(-40 * 24 * time.Hour)
	if show(nil) != first {
		t.Error("it is renewed although it is good for long")
	}
	now = first.Leaf.NotAfter.Add(-20 * 24 * time.Hour)
	second := show(nil)
	if second == first || !second.Leaf.NotAfter.After(now.Add(80*24*time.Hour)) {
		t.Errorf("20 days before its end it is good until %v", second.Leaf.NotAfter)
	}
	if second.Leaf.VerifyHostname("sprout.example") != nil || second.Leaf.VerifyHostname("127.0.0.1") == nil {
		t.Errorf("it is good for %v %v", second.Leaf.DNSNames, second.Leaf.IPAddresses)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // only accepted from
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing was said
	third := show(&tls.ClientHelloInfo{Conn: conn})
	if err := third.Leaf.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	if show(&tls.ClientHelloInfo{Conn: conn}) != third {
		t.Error("each connection has a certificate of its own")
	}
}

// Files are read again when they change; while they do not fit, what was before
// is shown.
func TestFilesAreReadAgain(t *testing.T) {
	a, dir := authority(t), t.TempDir()
	crt, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(path string, raw []byte, at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, raw, 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	private := func(a trust.Authority) []byte {
		raw, err := a.Private()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if _, err := trust.OpenFiles(crt, key); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("no files: %v", err)
	}
	write(crt, a.PEM(), time.Unix(1, 0))
	write(key, private(a), time.Unix(1, 0))
	f, err := trust.OpenFiles(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		c, err := f.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return trust.Fingerprint(c.Leaf)
	}
	b := authority(t)
	write(crt, b.PEM(), time.Unix(2, 0))
	if shown() != trust.Fingerprint(a.Certificate) {
		t.Error("a certificate is shown whose key is not there yet")
	}
	write(key, private(b), time.Unix(3, 0))
	if shown() != trust.Fingerprint(b.Certificate) {
		t.Error("the new certificate is not shown")
	}
}
