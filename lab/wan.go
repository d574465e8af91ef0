package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// A wan is the link between site and control plane: TCP relays that listen
// inside the lab and dial outside, at the same addresses. It can be cut, healed
// and slowed down.
type wan struct {
	to   []string
	dial func(ctx context.Context, address string) (net.Conn, error)
	log  *slog.Logger

	mu        sync.Mutex
	listeners []net.Listener // none: cut
	conns     map[net.Conn]struct{}
	delay     time.Duration // each way
	relays    sync.WaitGroup
}

// dialPatience is how long the control plane may take to accept.
const dialPatience = 10 * time.Second

// heal listens, if the link is cut.
func (w *wan) heal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.listeners) > 0 {
		return nil
	}
	for _, address := range w.to {
		l, err := net.Listen("tcp", address)
		if err != nil {
			w.drop()
			return fmt.Errorf("cannot lead the WAN to %s: %w", address, err)
		}
		w.listeners = append(w.listeners, l)
		w.relays.Go(func() { w.serve(l, address) })
	}
	w.log.Info("WAN is up", "to", w.to)
	return nil
}

// cut refuses new connections and drops those that are.
func (w *wan) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop()
	w.log.Info("WAN is cut")
}

// drop closes everything. w.mu is held.
func (w *wan) drop() {
	for _, l := range w.listeners {
		_ = l.Close() // what it refuses is what we want
	}
	w.listeners = nil
	for c := range w.conns {
		reset(c)
	}
	clear(w.conns)
}

// reset closes a connection without a farewell, as a broken line does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// slow delays what is sent from now on, in each direction.
func (w *wan) slow(delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = delay
	w.log.Info("WAN delay", "each way", delay)
}

// state tells whether the link is up, and its delay each way.
func (w *wan) state() (up bool, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.listeners) > 0 || len(w.to) == 0, w.delay
}

// close cuts the link and waits for every relay.
func (w *wan) close() {
	w.cut()
	w.relays.Wait()
}

func (w *wan) serve(l net.Listener, address string) {
	for {
		inside, err := l.Accept()
		if err != nil {
			return // cut
		}
		if !w.keep(l, inside) {
			continue
		}
		w.relays.Go(func() { w.relay(l, inside, address) })
	}
}

// keep remembers a connection for the next cut. A connection that was accepted
// as the link was cut is dropped.
func (w *wan) keep(l net.Listener, c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, open := range w.listeners {
		if open == l {
			w.conns[c] = struct{}{}
			return true
		}
	}
	reset(c)
	return false
}

func (w *wan) forget(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
	_ = c.Close()
}

// relay joins a connection from inside with one to the host.
func (w *wan) relay(l net.Listener, inside net.Conn, address string) {
	defer w.forget(inside)
	ctx, cancel := context.WithTimeout(context.Background(), dialPatience)
	outside, err := w.dial(ctx, address)
	cancel()
	if err != nil {
		w.log.Debug("the control plane is not there", "address", address, "err", err)
		reset(inside)
		return
	}
	if !w.keep(l, outside) {
		return
	}
	defer w.forget(outside)
	var both sync.WaitGroup
	both.Go(func() { w.carry(outside, inside) })
	both.Go(func() { w.carry(inside, outside) })
	both.Wait()
}

// A parcel is bytes on the line, and when they arrive.
type parcel struct {
	bytes []byte
	due   time.Time
}

// carry copies from one end to the other, late by the link's delay, and passes
// the end of the stream on.
func (w *wan) carry(to, from net.Conn) {
	line := make(chan parcel, 256)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(line)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				_, delay := w.state()
				line <- parcel{buf[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	})
	if !deliver(to, line) {
		reset(from)
		for range line { // lets the reader end
		}
	}
	reader.Wait()
}

// deliver writes what arrives, and tells whether all of it went out.
func deliver(to net.Conn, line <-chan parcel) bool {
	for p := range line {
		if wait := time.Until(p.due); wait > 0 {
			<-time.After(wait)
		}
		if _, err := to.Write(p.bytes); err != nil {
			reset(to)
			return false
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails only where the other side has left
	}
	return true
}
