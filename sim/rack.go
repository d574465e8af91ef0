package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sprout"
	"sprout/power/redfish/emulator"
)

// A Rack is machines with BMCs. Every BMC has its own port on loopback, and one
// HTTP server answers for all.
type Rack struct {
	username, password string
	log                *slog.Logger

	server *http.Server
	serves sync.WaitGroup

	mu    sync.Mutex
	slots map[string]*Slot
}

// A Slot is one machine in a rack with its BMC.
type Slot struct {
	Machine *Machine
	BMC     *emulator.BMC
	URL     string // of the BMC
}

// bmcKey is where a connection keeps the BMC that it came to.
type bmcKey struct{}

// NewRack makes an empty rack whose BMCs are open to one user. Close it.
func NewRack(username, password string, log *slog.Logger) *Rack {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Rack{username: username, password: password, log: log, slots: map[string]*Slot{}}
	r.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			req.Context().Value(bmcKey{}).(http.Handler).ServeHTTP(w, req)
		}),
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), bmcKey{}, l.(*slotListener).bmc)
		},
	}
	return r
}

// slotListener is the port of one BMC.
type slotListener struct {
	net.Listener
	bmc *emulator.BMC
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
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot open a port for the BMC of %s: %w", m.spec.Name, err)
	}
	s := m.spec
	bmc := emulator.New(emulator.Facts{
		Name: s.Name, UUID: s.UUID, Serial: s.Serial, Manufacturer: s.Vendor, Model: s.Model, CPUs: 1,
		MemoryMB: int(s.MemoryBytes >> 20), Modes: []sprout.BootMode{s.BootMode}, MACs: s.MACs,
	}, m, r.username, r.password, c.Log)
	m.override = bmc.TakeBoot
	slot := &Slot{Machine: m, BMC: bmc, URL: "http://" + l.Addr().String()}
	r.mu.Lock()
	_, taken := r.slots[s.Name]
	if !taken {
		r.slots[s.Name] = slot
	}
	r.mu.Unlock()
	if taken {
		_ = l.Close()
		return nil, sprout.Errorf(sprout.Conflict, "cannot plug %s: the rack has a machine of that name", s.Name)
	}
	r.serves.Go(func() {
		if err := r.server.Serve(&slotListener{l, bmc}); err != nil && !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("cannot serve a BMC", "machine", s.Name, "error", err)
		}
	})
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
