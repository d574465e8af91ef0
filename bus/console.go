package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"sprout"
)

// How much may wait of a tap whose reader is slow. What comes beyond it is lost,
// which the reader sees.
const (
	tapMessages = 1024
	tapBytes    = 4 << 20
)

// A Tap hears what the console of one machine says.
type Tap struct {
	sub     *nats.Subscription
	machine sprout.MachineID
}

// Tap begins to hear what a site's agent says of a machine's console. Nobody is
// asked to say anything: OpenConsole does that, after the tap is there.
func (c *Centre) Tap(site sprout.SiteID, machine sprout.MachineID) (*Tap, error) {
	if err := checkSite(site); err != nil {
		return nil, err
	}
	sub, err := c.conn.SubscribeSync(subject(liveSubject, site))
	if err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot hear the consoles of site %s: %w", site, err)
	}
	if err := errors.Join(sub.SetPendingLimits(tapMessages, tapBytes), c.conn.Flush()); err != nil {
		_ = sub.Unsubscribe() // it is of no use
		return nil, sprout.Errorf(sprout.Unavailable, "cannot hear the consoles of site %s: %w", site, err)
	}
	return &Tap{sub, machine}, nil
}

// Next returns what is said next. It waits until ctx ends.
func (t *Tap) Next(ctx context.Context) (sprout.ConsoleOutput, error) {
	for {
		m, err := t.sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			continue // it shows in At
		}
		if err != nil {
			return sprout.ConsoleOutput{}, err
		}
		var live sprout.Live
		if decode(m.Subject, m.Header, m.Data, &live) == nil && live.Console != nil && live.Console.Machine == t.machine {
			return *live.Console, nil
		}
	}
}

// Close ends it.
func (t *Tap) Close() { _ = t.sub.Unsubscribe() } // the connection may be closed already
