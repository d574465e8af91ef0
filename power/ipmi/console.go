package ipmi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bougou/go-ipmi/pkg/command/transport"
	"github.com/bougou/go-ipmi/pkg/types"

	"sprout"
)

// A line is a serial console by serial over LAN (section 15): a session of its own,
// as the library hands out what the BMC sends of itself to one reader.
type line struct {
	session *session
	keys    *io.PipeWriter // what is typed, to the machine
	says    *io.PipeReader // what the machine says
	end     context.CancelFunc
	ended   chan struct{}
	once    sync.Once
}

// closePatience is how long the BMC is told that a line has ended.
const closePatience = 3 * time.Second

// instance is the one serial port that BMCs have.
const instance = 1

// Console opens serial over LAN.
func (p *Driver) Console(ctx context.Context) (io.ReadWriteCloser, error) {
	if err := p.login(ctx); err != nil { // which finds the suite, and names what is wrong
		return nil, err
	}
	s, err := p.dial(ctx, p.suites[0])
	if err != nil {
		return nil, p.unopened(err)
	}
	_, err = s.ActivatePayload(ctx, &transport.ActivatePayloadRequest{
		PayloadType: types.PayloadTypeSOL, PayloadInstance: instance, EnableEncryption: true, EnableAuthentication: true,
	})
	if err != nil {
		_ = s.Close(ctx) // it expires by itself
		return nil, p.noConsole(err)
	}
	p.log.Info("serial over LAN is open")
	return p.stream(s), nil
}

// noPayload says what to do about the completion codes of Activate Payload (table
// 24-2).
var noPayload = map[types.CompletionCode]struct{ why, remedy string }{
	0x80: {"somebody else has it, or had it and was cut off", "have them leave it, or end it (ipmitool sol deactivate); what was cut off ends by itself within minutes"},
	0x81: {"serial over LAN is off", "turn it on: ipmitool sol set enabled true 1, or in the BMC's settings"},
	0x82: {"the BMC can open no more of it", "have others leave it, or restart the BMC"},
	0x83: {"the BMC does not encrypt it", "allow encryption of serial over LAN in the BMC's settings"},
	0x84: {"the BMC has it without encryption only", "allow encryption of serial over LAN in the BMC's settings"},
	0xd4: {"the BMC's user may not", "allow the user serial over LAN: ipmitool sol payload enable 1 USERID"},
	0xc1: {"the BMC has no serial over LAN", "use the BMC's own console, or give the machine's kernel a console that is on its network"},
}

func (p *Driver) noConsole(err error) *sprout.Failure {
	f := p.failed("open the console", err)
	code, answered := completionOf(err)
	if known, ok := noPayload[code]; answered && ok {
		f.Reason, f.Remedy = "cannot open the console: "+known.why, known.remedy
	}
	return f
}

// stream carries both ways until the line is closed or the BMC ends it.
func (p *Driver) stream(s *session) *line {
	typed, keys := io.Pipe()
	says, said := io.Pipe()
	ctx, end := context.WithCancel(context.Background())
	l := &line{session: s, keys: keys, says: says, end: end, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		err := s.SOLStream(ctx, typed, said, nil)
		if err == nil || errors.Is(err, context.Canceled) {
			err = io.EOF
		} else {
			err = p.fail(sprout.BMCUnreachable, "cannot go on with the console", fmt.Sprintf("%s: %v", p.at(), err))
		}
		_ = said.CloseWithError(err)  // it never fails
		_ = typed.CloseWithError(err) // nor does this
	}()
	return l
}

func (l *line) Read(b []byte) (int, error)  { return l.says.Read(b) }
func (l *line) Write(b []byte) (int, error) { return l.keys.Write(b) }

// Close ends serial over LAN, so that others can have it, and its session.
func (l *line) Close() error {
	l.once.Do(func() {
		_ = l.says.Close() // so that nothing waits for a reader
		_ = l.keys.Close()
		l.end()
		<-l.ended
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		_, _ = l.session.DeactivatePayload(ctx, &transport.DeactivatePayloadRequest{PayloadType: types.PayloadTypeSOL, PayloadInstance: instance})
		_ = l.session.Close(ctx) // both end by themselves where the BMC is silent
	})
	return nil
}
