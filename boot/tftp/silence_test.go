package tftp_test

import (
	"fmt"
	"testing"
	"time"

	"sprout/boot/tftp"
)

// What the client asks for as its timeout (RFC 2349) is how long the server waits
// before it sends again: not less, or a slow link is flooded, and not the second
// that holds without a word about it.
func TestTheClientsTimeoutIsKept(t *testing.T) {
	s := serve(t, map[string][]byte{"f": content(10)})
	c := dial(t, s)
	c.ask(1, "f", "octet", "timeout", "2")
	c.want("\x00\x06timeout\x002\x00")
	c.ack(0)
	c.block(1)
	begin := time.Now()
	c.block(1)
	if waited := time.Since(begin); waited < 1700*time.Millisecond {
		t.Errorf("sent again after %s", waited)
	}
	c.ack(1)
	if one := s.next(t); one.Outcome != tftp.Done {
		t.Errorf("%+v", one)
	}
}

// An acknowledgement of options that is lost is sent again, from the same port.
func TestALostOACK(t *testing.T) {
	s := serve(t, map[string][]byte{"f": content(10)})
	c := dial(t, s)
	c.ask(1, "f", "octet", "blksize", "1000")
	c.want("\x00\x06blksize\x001000\x00")
	port := c.from.Port
	c.want("\x00\x06blksize\x001000\x00")
	if c.from.Port != port {
		t.Errorf("it came from port %d and then from %d", port, c.from.Port)
	}
	c.ack(0)
	c.block(1)
	c.ack(1)
	if one := s.next(t); one.Outcome != tftp.Done || one.Bytes != 10 {
		t.Errorf("%+v", one)
	}
}

// A client that is gone costs eight sendings and then nothing: the transfer ends
// by itself and says after which block.
func TestAClientThatIsGone(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string][]byte{"f": content(2000)})
	c := dial(t, s)
	c.ask(1, "f", "octet")
	c.block(1)
	c.ack(1)
	sent := 0
	for c.read(3*time.Second) != nil {
		sent++
	}
	one := s.next(t)
	if want := fmt.Sprintf("no answer to block %d after %d tries", 1, 8); sent != 8 || one.Outcome != tftp.TimedOut || one.Detail != want || one.Bytes != 512 {
		t.Errorf("sent %d times, then %+v", sent, one)
	}
}
