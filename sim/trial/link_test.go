package trial

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"sprout"
)

func fieldOf(err error) string {
	var known *sprout.Error
	if errors.As(err, &known) {
		return known.Field
	}
	return ""
}

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

func through(t *testing.T, is Link) (*link, net.Conn) {
	t.Helper()
	l, err := newLink(is, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.lead(echo(t))
	c, err := net.Dial("tcp4", l.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return l, c
}

func TestLinkDelaysEachWay(t *testing.T) {
	const delay = 50 * time.Millisecond
	l, c := through(t, Link{Delay: delay})
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
	if n := l.bytes.Load(); n != 10 {
		t.Errorf("%d bytes were counted, want 10", n)
	}
}

func TestLinkLosesConnections(t *testing.T) {
	l, c := through(t, Link{Loss: 0.5})
	buf := make([]byte, 1)
	for range 100 {
		if _, err := c.Write([]byte("x")); err != nil {
			break
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			break
		}
	}
	if l.torn.Load() != 1 {
		t.Errorf("%d connections were torn in a hundred requests of which half are lost", l.torn.Load())
	}
}

func TestLinkIsCutAndHeals(t *testing.T) {
	l, c := through(t, Link{})
	l.setCut(true)
	if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
		t.Error("a cut link carries")
	}
	again, err := net.Dial("tcp4", l.address())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(again, make([]byte, 1)); err == nil {
		t.Error("a cut link takes connections")
	}
	_ = again.Close()
	l.setCut(false)
	if again, err = net.Dial("tcp4", l.address()); err != nil {
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
