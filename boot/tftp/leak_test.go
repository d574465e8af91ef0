package tftp_test

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// what this process holds: goroutines and open files.
func held(t *testing.T) (int, int) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NumGoroutine(), len(files)
}

// Whatever is sent to the server, what it holds afterwards is what it held before.
func TestNothingIsHeldAfterwards(t *testing.T) {
	s := serveMany(t, "0.0.0.0:0", "127.0.0.1", 256, map[string][]byte{"f": content(3000)})
	goroutines, files := held(t)
	odd := []string{
		"\x00\x01f\x00octet\x00", "\x00\x01f\x00octet\x00blksize\x001468\x00windowsize\x0016\x00", "\x00\x01missing\x00octet\x00", "\x00\x02f\x00octet\x00",
		"\x00\x01f", "\x00\x01\x00\x00", "\x00\x01f\x00octet\x00tsize\x00-1\x00timeout\x00999\x00", "\x00\x06", "\xff\xff\xff\xff",
	}
	for round := range 20 {
		for _, packet := range odd {
			c := dial(t, s)
			c.write(c.to, []byte(packet))
			if round%2 == 0 {
				c.read(20 * time.Millisecond)
			}
			if c.from != nil {
				c.write(c.from, []byte("\x00\x05\x00\x00no more\x00"))
			}
			_ = c.conn.Close()
			s.next(t)
		}
	}
	for late := time.After(20 * time.Second); ; {
		g, f := held(t)
		if g <= goroutines && f <= files {
			return
		}
		select {
		case <-late:
			t.Fatalf("%d goroutines and %d files are held, before it were %d and %d", g, f, goroutines, files)
		case <-time.After(10 * time.Millisecond): // nobody tells when a socket is closed
		}
	}
}
