package dhcptest

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp"
)

// Domain is that of the machines of the contract, and LeaseTime for how long the
// provider gives addresses there.
const (
	Domain    = "lon1.example"
	LeaseTime = 10 * time.Minute
)

// The clients of the contract: machines, and strangers.
const (
	web01 = "52:54:00:00:00:01" // 10.0.0.5 is reserved for it
	db01  = "52:54:00:00:00:02" // nothing is
	app01 = "52:54:00:00:00:03" // 10.0.2.7, of the other subnet of its segment
	key01 = "52:54:00:00:00:04" // nothing is; it enforces Secure Boot
	key02 = "52:54:00:00:00:05" // 10.0.0.6; it enforces Secure Boot
)

// site is what the provider of the contract serves: its own segment, with two
// subnets, and two behind relays where strangers may not boot.
func site() Seed {
	dynamic := func(first, last string) []sprout.Range {
		return []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}}
	}
	at := netip.MustParseAddr
	return Seed{
		Subnets: []sprout.Subnet{
			{
				ID: "sub_a", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: at("10.0.0.254"), Discover: true, MTU: 1400,
				DNS: []netip.Addr{at("10.0.0.53"), at("10.0.0.54")}, NTP: []netip.Addr{at("10.0.0.123")}, Ranges: dynamic("10.0.0.100", "10.0.0.149"),
			},
			{ID: "sub_b", Site: "sit_1", Network: "net_2", CIDR: netip.MustParsePrefix("10.9.0.0/24"), Gateway: at("10.9.0.1"), MTU: 1500, Ranges: dynamic("10.9.0.1", "10.9.0.4")},
			{
				ID: "sub_d", Site: "sit_1", Network: "net_4", CIDR: netip.MustParsePrefix("10.8.0.0/24"), Gateway: at("10.8.0.1"), MTU: 1500, Ranges: dynamic("10.8.0.100", "10.8.0.129"),
				Domain: "rack.example", Search: []string{"rack.example", "lon1.example"}, Routes: []sprout.Route{
					{To: netip.MustParsePrefix("10.30.0.0/16"), Via: at("10.8.0.9")}, {To: netip.MustParsePrefix("10.31.7.0/24"), Via: at("10.8.0.8")},
					{To: netip.MustParsePrefix("10.30.0.0/16"), Via: at("10.8.0.7"), Metric: 10},
				},
			},
			{ID: "sub_c", Site: "sit_1", Network: "net_1", CIDR: netip.MustParsePrefix("10.0.2.0/24"), MTU: 1500},
		},
		Reservations: []sprout.Reservation{
			{MAC: web01, IP: at("10.0.0.5"), Subnet: "sub_a", Machine: "mch_1", Hostname: "web-01"},
			{MAC: app01, IP: at("10.0.2.7"), Subnet: "sub_c", Machine: "mch_3", Hostname: "app-01"},
			{MAC: key02, IP: at("10.0.0.6"), Subnet: "sub_a", Machine: "mch_5", Hostname: "key-02"},
		},
		Machines: []sprout.SiteMachine{
			{ID: "mch_1", Name: "web-01", MACs: []string{web01}}, {ID: "mch_2", Name: "db-01", MACs: []string{db01}}, {ID: "mch_3", Name: "app-01", MACs: []string{app01}},
			{ID: "mch_4", Name: "key-01", MACs: []string{key01}, SecureBoot: true}, {ID: "mch_5", Name: "key-02", MACs: []string{key02}, SecureBoot: true},
		},
	}
}

// A Wire is where a provider of the contract serves: a device with its address,
// and a ledger. On the other end are clients, and relays for them.
type Wire struct {
	Device  string
	Address netip.Addr
	Ledger  *Memory
	Peer    Peer

	saved  chan sprout.Lease
	relays map[string]*net.UDPConn // by address
	client *net.UDPConn            // of one that has 10.0.0.2
	server netip.AddrPort
	next   byte           // of the strangers' MACs
	sent   *dhcpv4.DHCPv4 // the last packet
}

// NewWire lays the cable. The test must be in a network of its own: see Isolate.
func NewWire(t *testing.T) *Wire {
	t.Helper()
	w := &Wire{Device: "sproutd", Address: netip.MustParseAddr("10.0.0.1"), Ledger: NewMemory(site()), saved: make(chan sprout.Lease, 1000), relays: map[string]*net.UDPConn{}}
	w.server = netip.AddrPortFrom(w.Address, 67)
	w.Ledger.OnSave = w.note
	w.Peer = Veth(t, w.Device, "10.0.0.1/24", "52:54:00:00:0a:01")
	for _, address := range []string{"10.0.0.2", "10.9.0.1", "10.8.0.1"} {
		w.Peer.Run(t, "ip", "addr", "add", address+"/24", "dev", w.Peer.Device)
		w.Peer.Inside(t, func() error {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(address), Port: 67})
			w.relays[address] = conn
			return err
		})
		t.Cleanup(func() { _ = w.relays[address].Close() })
	}
	w.Peer.Inside(t, func() (err error) {
		w.client, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP("10.0.0.2"), Port: 68})
		return err
	})
	t.Cleanup(func() { _ = w.client.Close() })
	for _, behind := range []string{"10.9.0.0/24", "10.8.0.0/24"} {
		Command(t, "ip", "route", "add", behind, "via", "10.0.0.2")
	}
	return w
}

// Provider checks a provider with packets on a wire: open makes one that serves
// w.Ledger as w.Address on w.Device, Domain is the site's, and the boot server is
// http://10.0.0.1. It needs a network of its own: see Isolate.
func Provider(t *testing.T, open func(t *testing.T, w *Wire) dhcp.Provider) {
	w := NewWire(t)
	p := open(t, w)
	Serve(t, p)
	t.Run("an unknown client gets an address of the range", w.stranger)
	t.Run("a machine gets its reservation and what the subnet says", w.reserved)
	t.Run("a subnet's names and routes", w.subnetSays)
	t.Run("what operators set is sent", w.settings)
	t.Run("a segment's other subnet counts too", w.otherSubnet)
	t.Run("firmware gets its boot file", w.bootFiles)
	t.Run("what enforces Secure Boot gets what is signed", w.signed)
	t.Run("an unknown machine boots where discovery is allowed", w.discovery)
	t.Run("the relay's subnet counts, and its option comes back", w.relayed)
	t.Run("a lease is renewed, and refused to another", w.renewed)
	t.Run("an address that is given back is free again", w.released)
	t.Run("an address that is in use is left alone", w.declined)
	t.Run("options without an address", w.inform)
	t.Run("programs of one machine share its address", w.programs)
	t.Run("a range gives each address once", w.full)
	t.Run("a change is in effect while it serves", w.changes)
	t.Run("what is switched off is silent until it is on again", func(t *testing.T) { w.off(t, p) })
	t.Run("it explains", func(t *testing.T) { explains(t, p) })
}

// Serve runs a provider until the test ends, and returns once it is ready.
func Serve(t *testing.T, p dhcp.Provider) {
	t.Helper()
	ctx, stop := contextWithStop()
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case <-p.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	case <-time.After(60 * time.Second):
		t.Fatal("not ready after a minute")
	}
}

func (w *Wire) stranger(t *testing.T) {
	mac := w.mac()
	ack := w.acquire(t, mac, "10.0.0.2")
	ip := addr(ack.YourIPAddr)
	if ip.Less(netip.MustParseAddr("10.0.0.100")) || netip.MustParseAddr("10.0.0.149").Less(ip) {
		t.Errorf("it got %s, which is not of the range", ip)
	}
	if got := ack.IPAddressLeaseTime(0); got != LeaseTime {
		t.Errorf("leased for %s, want %s", got, LeaseTime)
	}
	if t1, t2 := ack.IPAddressRenewalTime(0), ack.IPAddressRebindingTime(0); t1 != LeaseTime/2 || t2 != LeaseTime*7/8 {
		t.Errorf("T1 %s, T2 %s", t1, t2)
	}
	if addr(ack.ServerIdentifier()) != w.Address || ack.BootFileName != "" || len(ack.Options.Get(dhcpv4.OptionBootfileName)) > 0 {
		t.Errorf("server %s, boot file %q", ack.ServerIdentifier(), ack.BootFileName)
	}
	l := w.AwaitLease(t, mac, "bound")
	if left := time.Until(l.ExpiresAt); l.IP != ip || l.Subnet != "sub_a" || l.Site != "sit_1" || left < LeaseTime-time.Minute || left > LeaseTime+2*time.Second {
		t.Errorf("the lease of %s is %+v, and lasts %s", ip, l, left)
	}
}

func (w *Wire) reserved(t *testing.T) {
	ack := w.acquire(t, web01, "10.0.0.2", dhcpv4.WithRequestedOptions(dhcpv4.OptionHostName, dhcpv4.OptionNTPServers, dhcpv4.OptionInterfaceMTU))
	if got := ack.YourIPAddr.String(); got != "10.0.0.5" {
		t.Errorf("it got %s", got)
	}
	for name, c := range map[string]struct{ got, want string }{
		"router":       {join(ack.Router()), "10.0.0.254"},
		"name servers": {join(ack.DNS()), "10.0.0.53 10.0.0.54"},
		"time servers": {join(ack.NTPServers()), "10.0.0.123"},
		"mask":         {net.IP(ack.SubnetMask()).String(), "255.255.255.0"},
		"domain":       {ack.DomainName(), Domain},
		"host name":    {ack.HostName(), "web-01"},
		"MTU":          {string(ack.Options.Get(dhcpv4.OptionInterfaceMTU)), "\x05\x78"},
	} {
		if c.got != c.want {
			t.Errorf("%s %q, want %q", name, c.got, c.want)
		}
	}
	if l := w.AwaitLease(t, web01, "bound"); l.IP.String() != "10.0.0.5" || l.Subnet != "sub_a" {
		t.Errorf("the lease is %+v", l)
	}
}

func (w *Wire) otherSubnet(t *testing.T) {
	ack := w.acquire(t, app01, "10.0.0.2")
	if got := ack.YourIPAddr.String(); got != "10.0.2.7" {
		t.Errorf("it got %s", got)
	}
	if got := join(ack.DNS()); got != "10.0.0.1" {
		t.Errorf("the name server of a subnet that names none is %s, not the agent", got)
	}
	if l := w.AwaitLease(t, app01, "bound"); l.Subnet != "sub_c" {
		t.Errorf("the lease is %+v", l)
	}
}

func (w *Wire) relayed(t *testing.T) {
	option := dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte("\x01\x04eth7"))
	ack := w.acquire(t, w.mac(), "10.9.0.1", option)
	if !netip.MustParsePrefix("10.9.0.0/24").Contains(addr(ack.YourIPAddr)) {
		t.Errorf("it got %s", ack.YourIPAddr)
	}
	if got := string(ack.Options.Get(dhcpv4.OptionRelayAgentInformation)); got != "\x01\x04eth7" {
		t.Errorf("option 82 came back as %q", got)
	}
	// RFC 3527: the relay is elsewhere and says where the client is.
	selects := dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{5, 4, 10, 9, 0, 0})
	if ack := w.acquire(t, w.mac(), "10.0.0.2", selects); !netip.MustParsePrefix("10.9.0.0/24").Contains(addr(ack.YourIPAddr)) {
		t.Errorf("with the link selected it got %s", ack.YourIPAddr)
	}
}
