package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sprout"
)

// A CentreConfig says where the control plane finds the bus: its own embedded
// Server, or the URLs of a cluster that trusts the same Keys.
type CentreConfig struct {
	Server   *Server // embedded; or nil, and
	URL      string  // one or more, with commas
	Keys     Keys
	TLS      *tls.Config
	Replicas int   // of each stream; 0 means 1
	MaxBytes int64 // of each stream; 0 means 1 GiB
	Log      *slog.Logger
}

// A Centre is the control plane's side of the bus.
type Centre struct {
	conn  *nats.Conn
	js    jetstream.JetStream
	log   *slog.Logger
	alone bool // it embeds the hub: no other replica has taken anything
}

// ConnectCentre connects the control plane and makes the streams, or brings
// existing ones to the limits of this version.
func ConnectCentre(ctx context.Context, c CentreConfig) (*Centre, error) {
	token, seed, err := c.Keys.centreUser()
	if err != nil {
		return nil, err
	}
	opts := connectOptions(c.Log, "sprout-centre", c.TLS)
	opts = append(opts, nats.UserJWTAndSeed(token, seed))
	if c.Server != nil {
		opts = append(opts, nats.InProcessServer(c.Server.nats))
	}
	conn, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot connect to the bus: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot use the bus: %w", err)
	}
	centre := &Centre{conn: conn, js: js, log: c.Log, alone: c.Server != nil}
	if err := centre.makeStreams(ctx, c); err != nil {
		conn.Close()
		return nil, err
	}
	return centre, nil
}

// Close leaves the bus. What was published before is sent.
func (c *Centre) Close() {
	if err := c.conn.FlushTimeout(2 * time.Second); err != nil {
		c.log.Warn("bus not flushed", "error", err)
	}
	c.conn.Close()
}

// Ready tells whether the bus can be used now.
func (c *Centre) Ready() error {
	if !c.conn.IsConnected() {
		return sprout.Errorf(sprout.Unavailable, "cannot reach the bus: %s", c.conn.Status())
	}
	return nil
}

// makeStreams sets the streams' limits. down drops its oldest messages when it
// is full: the outbox in PostgreSQL repairs. up refuses new ones instead: the
// site keeps what was not acknowledged.
func (c *Centre) makeStreams(ctx context.Context, cfg CentreConfig) error {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 1 << 30
	}
	base := jetstream.StreamConfig{
		Storage: jetstream.FileStorage, Replicas: max(cfg.Replicas, 1),
		MaxBytes: cfg.MaxBytes, Duplicates: repeatWithin,
	}
	down, up := base, base
	down.Name, down.Subjects = downStream, []string{downStream + ".*"}
	down.Discard, down.MaxAge = jetstream.DiscardOld, 7*24*time.Hour
	down.MaxMsgSize = 4 << 20
	up.Name, up.Subjects = upStream, []string{upStream + ".*.*"}
	up.Discard, up.Retention, up.MaxMsgSize = jetstream.DiscardNew, jetstream.WorkQueuePolicy, 4<<20
	for _, s := range []jetstream.StreamConfig{down, up} {
		if _, err := c.js.CreateOrUpdateStream(ctx, s); err != nil {
			return sprout.Errorf(sprout.Unavailable, "cannot make stream %s: %w", s.Name, err)
		}
	}
	return nil
}

// AddSite makes what the site's agent needs to receive its changes; to be
// called before the agent is given its credential. It may be repeated.
func (c *Centre) AddSite(ctx context.Context, site sprout.SiteID) error {
	if err := checkSite(site); err != nil {
		return err
	}
	_, err := c.js.CreateOrUpdateConsumer(ctx, downStream, jetstream.ConsumerConfig{
		Durable: string(site), FilterSubject: subject(downStream, site),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1,
		MaxAckPending: 1024, MaxRequestBatch: 256, MaxWaiting: 16,
	})
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot make the consumer of site %s: %w", site, err)
	}
	return nil
}

// RemoveSite drops the site's consumer; a missing one is no error.
func (c *Centre) RemoveSite(ctx context.Context, site sprout.SiteID) error {
	if err := checkSite(site); err != nil {
		return err
	}
	err := c.js.DeleteConsumer(ctx, downStream, string(site))
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return sprout.Errorf(sprout.Unavailable, "cannot remove the consumer of site %s: %w", site, err)
	}
	return nil
}

// Kept tells how many changes the bus still has for a site, and whether its stream
// is so full that it drops the oldest, taken or not.
func (c *Centre) Kept(ctx context.Context, site sprout.SiteID) (changes int, full bool, err error) {
	unread := func(err error) (int, bool, error) {
		return 0, false, sprout.Errorf(sprout.Unavailable, "cannot ask the bus what it has for site %s: %w", site, err)
	}
	stream, err := c.js.Stream(ctx, downStream)
	if err != nil {
		return unread(err)
	}
	consumer, err := c.js.Consumer(ctx, downStream, string(site))
	if err != nil {
		return unread(err)
	}
	holds, has := stream.CachedInfo(), consumer.CachedInfo()
	return int(has.NumPending) + has.NumAckPending, 2*holds.State.Bytes >= uint64(holds.Config.MaxBytes), nil
}

// Publish sends a change to its site and returns once it is stored. The same
// Seq published twice within repeatWithin is stored once. An Invalid error means
// that the bus takes this change at no time, as it is larger than a message may be.
func (c *Centre) Publish(ctx context.Context, site sprout.SiteID, change sprout.Change) error {
	return c.publish(ctx, site, change, fmt.Sprintf("%s/%d", site, change.Seq))
}

// Republish sends a change again although it was sent before: to a site whose
// heartbeat says that it never applied it.
func (c *Centre) Republish(ctx context.Context, site sprout.SiteID, change sprout.Change) error {
	return c.publish(ctx, site, change, "")
}

func (c *Centre) publish(ctx context.Context, site sprout.SiteID, change sprout.Change, id string) error {
	if err := checkSite(site); err != nil {
		return err
	}
	m, err := message(subject(downStream, site), change)
	if err != nil {
		return err
	}
	var opts []jetstream.PublishOpt
	if id != "" {
		opts = append(opts, jetstream.WithMsgID(id))
	}
	if _, err := c.js.PublishMsg(ctx, m, opts...); err != nil {
		if tooLarge(err) {
			return sprout.Errorf(sprout.Invalid, "cannot publish change %d of site %s: its %d bytes are more than a message may have", change.Seq, site, len(m.Data))
		}
		return sprout.Errorf(sprout.Unavailable, "cannot publish change %d of site %s: %w", change.Seq, site, err)
	}
	return nil
}

// errTooLarge is JetStream's code for a message above the stream's limit
// (JSStreamMessageExceedsMaximumErr).
const errTooLarge jetstream.ErrorCode = 10054

// tooLarge tells that a message was refused for its size: by the client, which
// knows the server's limit, or by the stream.
func tooLarge(err error) bool {
	var said *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &said) && said.ErrorCode == errTooLarge
}
