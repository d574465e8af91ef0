package sim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"

	"sprout"
	"sprout/boot"
	"sprout/boot/tftp"
	"sprout/dhcp/builtin"
	"sprout/sim"
	"sprout/sitestore"
)

// A site is a provisioning network on loopback: Sprout's own DHCP, TFTP, boot
// scripts and store, and the ramdisk's protocol played by the test.
type site struct {
	t       *testing.T
	wire    sim.Wire
	store   *sitestore.Store
	subnet  sprout.Subnet
	url     string
	hellos  chan sprout.Hello
	orders  chan sprout.Order
	reports chan sprout.Report // those that end an order
	homes   chan url.Values
	image   []byte // as stored
}

const within = 10 * time.Second

func newSite(t *testing.T) *site {
	t.Helper()
	agent, relay := netip.MustParseAddr("127.30.0.1"), netip.MustParseAddr("127.30.0.2")
	store, err := sitestore.Open(filepath.Join(t.TempDir(), "site.db"), slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	s := &site{
		t: t, store: store, hellos: make(chan sprout.Hello, 8), orders: make(chan sprout.Order, 8),
		reports: make(chan sprout.Report, 8), homes: make(chan url.Values, 8),
		subnet: sprout.Subnet{
			ID: "sub_1", CIDR: netip.MustParsePrefix("127.30.0.0/24"), Discover: true,
			Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr("127.30.0.100"), Last: netip.MustParseAddr("127.30.0.199")}},
		},
	}
	s.apply(sprout.ChangeSubnet, string(s.subnet.ID), s.subnet)
	l, err := net.Listen("tcp4", netip.AddrPortFrom(agent, 0).String())
	must(t, err)
	s.url = "http://" + l.Addr().String()
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: s.handler()}}
	server.Start()
	t.Cleanup(server.Close)
	s.wire = sim.Wire{Relay: relay}
	s.serveDHCP(agent)
	s.serveTFTP(agent)
	return s
}

// serve runs a server until the test has ended.
func (s *site) serve(run func(context.Context) error, ready <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	s.t.Cleanup(func() { cancel(); must(s.t, <-ended) })
	select {
	case <-ready:
	case err := <-ended:
		s.t.Fatalf("server ended: %v", err)
		ended <- err
	case <-time.After(within):
		s.t.Fatal("server does not come up")
	}
}

func (s *site) serveDHCP(agent netip.Addr) {
	free, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(agent, 0)))
	must(s.t, err)
	s.wire.DHCP = free.LocalAddr().(*net.UDPAddr).AddrPort()
	must(s.t, free.Close())
	server, err := builtin.New(builtin.Config{Address: agent, Port: s.wire.DHCP.Port(), Ledger: s.store, BootURL: s.url})
	must(s.t, err)
	s.serve(server.Serve, server.Ready())
}

func (s *site) serveTFTP(agent netip.Addr) {
	dir := s.t.TempDir()
	for _, name := range boot.LoaderFiles {
		must(s.t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("loader "), 3000), 0o600))
	}
	server, err := tftp.New(tftp.Config{Address: netip.AddrPortFrom(agent, 0), Open: tftp.Files(dir, boot.LoaderFiles...)})
	must(s.t, err)
	s.serve(server.Serve, server.Ready())
	s.wire.TFTPPort = server.Addr().Port()
}

func (s *site) handler() http.Handler {
	dir := s.t.TempDir()
	for _, name := range append([]string{"vmlinuz", "initrd"}, boot.LoaderFiles...) {
		must(s.t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name), 3000), 0o600))
	}
	mux := http.NewServeMux()
	mux.Handle("/boot/", boot.Handler(boot.Config{Ledger: s.store, URL: s.url, Files: dir, Loaders: dir}))
	ramdisk := func(pattern string, h http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			if _, err := s.store.Admit(token, sitestore.RamdiskUse); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			h(w, r)
		})
	}
	ramdisk("POST /ramdisk/hello", func(w http.ResponseWriter, r *http.Request) {
		s.hellos <- decode[sprout.Hello](s.t, r)
		w.WriteHeader(http.StatusNoContent)
	})
	ramdisk("GET /ramdisk/order", func(w http.ResponseWriter, r *http.Request) {
		select {
		case o := <-s.orders:
			_ = json.NewEncoder(w).Encode(o)
		case <-r.Context().Done():
		}
	})
	ramdisk("POST /ramdisk/report", func(w http.ResponseWriter, r *http.Request) {
		if report := decode[sprout.Report](s.t, r); report.Outcome != "progress" {
			s.reports <- report
		}
		w.WriteHeader(http.StatusNoContent)
	})
	ramdisk("GET /images/{digest}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.image))
	})
	mux.HandleFunc("POST /phone-home/{attempt}/{token}", func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		r.PostForm.Set("from", r.RemoteAddr)
		s.homes <- r.PostForm
	})
	return mux
}

func (s *site) apply(kind sprout.ChangeKind, key string, v any) {
	s.t.Helper()
	raw, err := json.Marshal(v)
	must(s.t, err)
	applied, err := s.store.Applied()
	must(s.t, err)
	must(s.t, s.store.Apply(s.t.Context(), sprout.Change{Seq: applied + 1, Kind: kind, Key: key, Body: raw}))
}

// intend makes the machine known and has it boot the ramdisk next.
func (s *site) intend(spec sim.Spec) {
	s.t.Helper()
	id := sprout.MachineID("mch_" + spec.Name)
	s.apply(sprout.ChangeMachine, string(id), sprout.SiteMachine{ID: id, Name: spec.Name, MACs: spec.MACs})
	s.apply(sprout.ChangeReservation, spec.MACs[0], sprout.Reservation{MAC: spec.MACs[0], IP: netip.MustParseAddr("127.30.0.10"), Machine: id})
	in := sprout.Intent{
		Machine: id, Attempt: sprout.NewID[sprout.AttemptID](sprout.PrefixAttempt), Purpose: "deploy",
		Token: sprout.NewSecret(), HomeToken: "home", ExpiresAt: time.Now().Add(time.Hour),
	}
	must(s.t, s.store.Update(s.t.Context(), func(tx *bbolt.Tx) error { return s.store.SetIntent(tx, in) }))
}

func (s *site) bootDisk(spec sim.Spec) {
	s.t.Helper()
	id := sprout.MachineID("mch_" + spec.Name)
	must(s.t, s.store.Update(s.t.Context(), func(tx *bbolt.Tx) error { return s.store.ClearIntent(tx, id) }))
}

// order gives an order and returns its report.
func (s *site) order(o sprout.Order) sprout.Report {
	s.t.Helper()
	o.ID = string(o.Kind) + "/" + sprout.NewSecret()
	s.orders <- o
	r := receive(s.t, s.reports)
	if r.Order != o.ID {
		s.t.Fatalf("report of order %s, want %s", r.Order, o.ID)
	}
	return r
}

// writeOrder is an order to write a fresh image of n bytes.
func (s *site) writeOrder(spec sim.Spec, n int) sprout.Order {
	s.t.Helper()
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(i * i >> 7)
	}
	var stored bytes.Buffer
	w, err := zstd.NewWriter(&stored)
	must(s.t, err)
	_, err = w.Write(raw)
	must(s.t, err)
	must(s.t, w.Close())
	s.image = stored.Bytes()
	img := sprout.Image{
		Name: "test", Compression: "zstd", Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(s.image)), Bytes: int64(len(s.image)),
		RawDigest: fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), RawBytes: int64(n),
	}
	return sprout.Order{Kind: sprout.OrderWrite, Write: &sprout.Write{
		URL: "/images/" + img.Digest, Image: img, Hostname: spec.Name + ".example",
		ConfigDrive: sprout.ConfigDrive{
			MetaData:      "instance-id: i-1\nlocal-hostname: " + spec.Name + "\n",
			UserData:      "#cloud-config\n{}\n",
			VendorData:    "#cloud-config\nphone_home: {url: \"" + s.url + "/phone-home/a/home\", tries: 3, post: [hostname]}\n",
			NetworkConfig: "version: 2\nethernets: {id0: {match: {macaddress: \"" + spec.MACs[0] + "\"}, addresses: [127.30.0.10/24]}}\n",
		},
	}}
}

func (s *site) machine(spec sim.Spec, faults ...sim.Fault) *sim.Machine {
	s.t.Helper()
	m, err := sim.New(sim.Config{Spec: spec, Wire: s.wire, Faults: faults})
	must(s.t, err)
	s.t.Cleanup(func() {
		m.Close()
		if s.t.Failed() {
			for _, e := range m.Journal() {
				s.t.Log(e)
			}
		}
	})
	return m
}

func decode[T any](t *testing.T, r *http.Request) (v T) {
	t.Helper()
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		t.Errorf("%s: %v", r.URL, err)
	}
	return v
}

func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(within):
		t.Fatalf("no %T in %s", v, within)
	}
	return v
}

// await waits until the machine comes to a step.
func await(t *testing.T, m *sim.Machine, step sim.Step, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	_, _, err := m.Await(ctx, 0, func(e sim.Entry) bool { return e.Step == step && strings.Contains(e.Detail, words) })
	if err != nil {
		t.Fatalf("machine does not come to step %s with %q", step, words)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
