package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sprout"
	"sprout/power/redfish/emulator"
)

// A Rack is machines with BMCs. Every BMC has its own address of bmcNet, and one
// listener on the loopback device, which nothing outside this host reaches,
// answers for all: a file for each of 10,000 would be too many.
type Rack struct {
	username, password string
	log                *slog.Logger

	server *http.Server
	serves sync.WaitGroup
	cut    atomic.Bool // the BMCs do not answer

	mu    sync.Mutex
	port  uint16 // of every BMC; 0: none was plugged yet
	slots map[string]*Slot
	at    map[netip.Addr]*emulator.BMC
}

// A Slot is one machine in a rack with its BMC.
type Slot struct {
	Machine *Machine
	BMC     *emulator.BMC
	URL     string // of the BMC
}

// bmcNet is where the BMCs are.
var bmcNet = netip.MustParsePrefix("127.240.0.0/12")

// NewRack makes an empty rack whose BMCs are open to one user. Close it.
func NewRack(username, password string, log *slog.Logger) *Rack {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Rack{username: username, password: password, log: log, slots: map[string]*Slot{}, at: map[netip.Addr]*emulator.BMC{}}
	r.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), Handler: http.HandlerFunc(r.serve),
	}
	return r
}

// serve lets the BMC answer whose address was asked.
func (r *Rack) serve(w http.ResponseWriter, req *http.Request) {
	if r.cut.Load() {
		panic(http.ErrAbortHandler) // the connection is torn
	}
	asked, _ := req.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	r.mu.Lock()
	bmc := r.at[asked.AddrPort().Addr().Unmap()]
	r.mu.Unlock()
	if bmc == nil {
		http.NotFound(w, req)
		return
	}
	bmc.ServeHTTP(w, req)
}

// HangUp drops the connections to BMCs on which nothing is asked just now, and
// keeps none from then on.
func (r *Rack) HangUp() { r.server.SetKeepAlivesEnabled(false) }

// CutOff takes every machine and BMC of the rack off the network, or puts them
// back.
func (r *Rack) CutOff(out bool) {
	r.cut.Store(out)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		s.Machine.CutOff(out)
	}
}

// listen opens the port of every BMC, once. r.mu is held.
func (r *Rack) listen() error {
	if r.port != 0 {
		return nil
	}
	onLoopback := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), "lo") })
		return errors.Join(err, bound)
	}}
	l, err := onLoopback.Listen(context.Background(), "tcp4", "0.0.0.0:0")
	if err != nil {
		return fmt.Errorf("cannot open a port for the BMCs: %w", err)
	}
	r.port = uint16(l.Addr().(*net.TCPAddr).Port)
	r.serves.Go(func() {
		if err := r.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("cannot serve the BMCs", "error", err)
		}
	})
	return nil
}

// Plug makes a machine, off, and wires it to a BMC of its own. Conflict: the
// rack has one of that name.
func (r *Rack) Plug(c Config) (*Slot, error) {
	if c.Log == nil {
		c.Log = r.log
	}
	m, err := New(c)
	if err != nil {
		return nil, err
	}
	s := m.spec
	bmc := emulator.New(emulator.Facts{
		Name: s.Name, UUID: s.UUID, Serial: s.Serial, Manufacturer: s.Vendor, Model: s.Model, CPUs: 1,
		MemoryMB: int(s.MemoryBytes >> 20), Modes: []sprout.BootMode{s.BootMode}, MACs: s.MACs,
	}, m, r.username, r.password, c.Log)
	m.override = bmc.TakeBoot
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slots[s.Name] != nil {
		return nil, sprout.Errorf(sprout.Conflict, "cannot plug %s: the rack has a machine of that name", s.Name)
	}
	if err := r.listen(); err != nil {
		return nil, err
	}
	n := len(r.slots) + 1
	at := netip.AddrFrom4([4]byte{127, 240 + byte(n>>16), byte(n >> 8), byte(n)})
	if !bmcNet.Contains(at) {
		return nil, sprout.Errorf(sprout.Conflict, "cannot plug %s: the rack is full with %d machines", s.Name, n-1)
	}
	slot := &Slot{Machine: m, BMC: bmc, URL: "http://" + netip.AddrPortFrom(at, r.port).String()}
	r.slots[s.Name], r.at[at] = slot, bmc
	return slot, nil
}

// Slot returns a machine of the rack by name.
func (r *Rack) Slot(name string) (*Slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.slots[name]; ok {
		return s, nil
	}
	return nil, sprout.Errorf(sprout.NotFound, "there is no machine %s in the rack", name)
}

// Close takes the BMCs off the network and turns every machine off. It returns
// when nothing of the rack runs any more.
func (r *Rack) Close() {
	_ = r.server.Close()
	r.serves.Wait()
	var all sync.WaitGroup
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		all.Go(func() {
			s.BMC.Close()
			s.Machine.Close()
		})
	}
	all.Wait()
}
