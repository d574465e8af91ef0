package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// A Transfer is how the sending of one file ended.
type Transfer struct {
	Client  netip.AddrPort
	File    string
	Bytes   int64 // acknowledged
	Size    int64 // of the file
	Elapsed time.Duration
	Outcome Outcome
	Detail  string // why, where it is not done
}

// An Outcome is how a transfer ended.
type Outcome string

const (
	Done     Outcome = "done"
	Aborted  Outcome = "aborted"   // the client ended it, as firmware does that only wanted the size: no failure
	NotFound Outcome = "not-found" // firmware probes for files: no failure either
	Refused  Outcome = "refused"
	TimedOut Outcome = "timeout"
	Failed   Outcome = "failed"
)

// maxTries is how often a window is sent before the client counts as gone.
const maxTries = 8

// A sender sends one file to one client. Blocks are counted from 1 without
// end; on the wire they wrap at 65536, also from 65535 to 0.
type sender struct {
	request
	conn   *net.UDPConn // connected to the client
	blocks *blocks
	acked  int64     // all up to this one arrived
	sent   int64     // the newest that was sent
	again  int64     // the acknowledgement for which a window was sent again
	until  time.Time // when the socket's wait ends
	in     [516]byte
}

// run sends the file and returns how it ended.
func (s *sender) run() (Outcome, string) {
	s.again = -1
	if oack := s.oack(s.blocks.size); oack != nil {
		if outcome, detail := s.exchange(oack); outcome != "" {
			return outcome, detail
		}
	}
	for s.acked < s.blocks.last() {
		if outcome, detail := s.exchange(nil); outcome != "" {
			return outcome, detail
		}
	}
	return Done, ""
}

// bytes is how much the client has.
func (s *sender) bytes() int64 { return min(s.acked*int64(s.block), s.blocks.size) }

// exchange sends the OACK, or where it is nil the next window, until the client
// acknowledges any of it. An empty outcome: go on.
func (s *sender) exchange(oack []byte) (Outcome, string) {
	for range maxTries {
		if err := s.send(oack); err != nil {
			return ended(err)
		}
		progress, outcome, detail := s.await(oack != nil)
		if progress || outcome != "" {
			return outcome, detail
		}
	}
	return TimedOut, fmt.Sprintf("no answer to block %d after %d tries", s.acked, maxTries)
}

func (s *sender) send(oack []byte) error {
	if oack != nil {
		_, err := s.conn.Write(oack)
		return ignoreFull(err)
	}
	s.sent = min(s.acked+int64(s.window), s.blocks.last())
	return s.blocks.send(s.conn, s.acked+1, s.sent)
}

// await reads until an acknowledgement moves the transfer on or asks for the
// window again; neither and no outcome: nothing came in time.
func (s *sender) await(ofOACK bool) (progress bool, outcome Outcome, detail string) {
	if err := s.wait(); err != nil {
		return false, Failed, err.Error()
	}
	for {
		n, err := s.conn.Read(s.in[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, "", ""
		}
		if err != nil {
			outcome, detail := ended(err)
			return false, outcome, detail
		}
		if n < 4 || s.in[0] != 0 {
			continue
		}
		number := binary.BigEndian.Uint16(s.in[2:])
		switch s.in[1] {
		case opError:
			return false, s.aborted(number), fmt.Sprintf("client error %d: %s", number, text(s.in[4:n]))
		case opAck:
			if ofOACK && number == 0 || !ofOACK && s.acknowledge(number) {
				return true, "", ""
			}
		}
	}
}

// wait has the socket wait for the timeout from now on, or up to an eighth less:
// setting it costs as much as a packet does.
func (s *sender) wait() error {
	now := time.Now()
	if s.until.Sub(now) >= s.timeout-s.timeout/8 {
		return nil
	}
	s.until = now.Add(s.timeout)
	return s.conn.SetReadDeadline(s.until)
}

// acknowledge takes an ACK and tells whether to send on. An ACK inside the
// window means that what follows it was lost (RFC 7440 section 4). One for what
// was known already is a duplicate and must not be answered, lest both sides
// double every packet for ever (RFC 1123 section 4.2.3.1); in a window it also
// says that the first block was lost, so once it is answered.
func (s *sender) acknowledge(number uint16) bool {
	ahead := int64(number - uint16(s.acked))
	if ahead == 0 {
		if s.window == 1 || s.again == s.acked {
			return false
		}
		s.again = s.acked
		return true
	}
	if ahead > s.sent-s.acked {
		return false
	}
	s.acked += ahead
	return true
}

// aborted tells what an error packet of the client means. Before the first
// block any is the end of a question for the size.
func (s *sender) aborted(code uint16) Outcome {
	if code == errUnwanted || code == errUndefined || s.acked == 0 {
		return Aborted
	}
	return Failed
}

// ended tells what an error of the socket means.
func ended(err error) (Outcome, string) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Aborted, "the client closed its port"
	case errors.Is(err, net.ErrClosed):
		return Aborted, "the server stops"
	}
	return Failed, err.Error()
}

// text is the message of an error packet, as far as it can be printed.
func text(b []byte) string {
	message, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(message, "?")
}
