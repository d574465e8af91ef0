package agent

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// A client that asks and then takes nothing is let go, and what it asked for with it;
// one that takes a little now and then is not.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	const stalled = 2 * time.Second
	ended := make(chan string, 2)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte("x"), 1<<20)
		for {
			if _, err := w.Write(block); err != nil {
				ended <- r.URL.Path
				return
			}
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	listener, err := listenTCP(ctx, netip.MustParseAddrPort("127.0.0.1:0"), stalled)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serveHTTP(ctx, listener, handler) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	ask := func(path string) net.Conn {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: site\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	slow := ask("/slow")
	ask("/stalled")
	tick := time.NewTicker(stalled / 8)
	defer tick.Stop()
	taken := make([]byte, 4<<20)
	for late := time.After(time.Minute); ; {
		select {
		case path := <-ended:
			if path != "/stalled" {
				t.Fatalf("%s was cut off", path)
			}
			return
		case <-late:
			t.Fatal("a client that takes nothing is still served")
		case <-tick.C:
			if _, err := slow.Read(taken); err != nil {
				t.Fatalf("who takes a little was cut off: %v", err)
			}
		}
	}
}
