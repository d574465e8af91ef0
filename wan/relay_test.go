package wan

import (
	"io"
	"net"
	"testing"
	"time"
)

// echo answers every connection with what it says.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func through(t *testing.T, is Weather) (*Relay, net.Conn) {
	t.Helper()
	l, err := Listen("127.0.0.1:0", is, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	l.Lead(echo(t))
	c, err := net.Dial("tcp4", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return l, c
}

func TestRelayDelaysEachWay(t *testing.T) {
	const delay = 50 * time.Millisecond
	l, c := through(t, Weather{Delay: delay})
	began := time.Now()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
		t.Fatalf("%q, %v", buf, err)
	}
	if took := time.Since(began); took < 2*delay*8/10 {
		t.Errorf("there and back took %s over a link of %s each way", took, delay)
	}
	if n := l.Bytes(); n != 10 {
		t.Errorf("%d bytes were counted, want 10", n)
	}
}

func TestRelayLosesConnections(t *testing.T) {
	l, c := through(t, Weather{Loss: 0.5})
	buf := make([]byte, 1)
	for range 100 {
		if _, err := c.Write([]byte("x")); err != nil {
			break
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			break
		}
	}
	if l.Torn() != 1 {
		t.Errorf("%d connections were torn in a hundred requests of which half are lost", l.Torn())
	}
}

func TestRelayIsCutAndHeals(t *testing.T) {
	l, c := through(t, Weather{})
	l.Cut()
	if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
		t.Error("a cut link carries")
	}
	again, err := net.Dial("tcp4", l.Address())
	if err == nil { // it may be torn before Dial returns
		if _, err := io.ReadFull(again, make([]byte, 1)); err == nil {
			t.Error("a cut link takes connections")
		}
		_ = again.Close()
	}
	if l.Torn() != 1 {
		t.Errorf("%d connections were torn by a cut of one", l.Torn())
	}
	l.Heal()
	if again, err = net.Dial("tcp4", l.Address()); err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // the test is over
	if _, err := again.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(again, make([]byte, 1)); err != nil {
		t.Errorf("a healed link does not carry: %v", err)
	}
}

func TestParse(t *testing.T) {
	if l, err := Parse("link", "250ms,1%"); err != nil || l.Delay != 250*time.Millisecond || l.Loss != 0.01 {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := Parse("link", "1s"); err != nil || l.Delay != time.Second || l.Loss != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	for _, bad := range []string{"", "fast", "-1s", "1s,1", "1s,80%", "1s,x%"} {
		if l, err := Parse("link", bad); err == nil {
			t.Errorf("%q is %+v", bad, l)
		}
	}
}
