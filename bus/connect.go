package bus

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// connectOptions make a connection that comes back for ever and says so. While
// it is away publishing fails at once: who publishes keeps, and knows better
// than a buffer what is still worth sending.
func connectOptions(log *slog.Logger, name string, secure *tls.Config) []nats.Option {
	opts := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(5 * time.Second),
		nats.ConnectHandler(func(c *nats.Conn) { log.Info("bus connected", "url", c.ConnectedUrlRedacted()) }),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("bus connected again", "url", c.ConnectedUrlRedacted()) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("bus connection lost; trying again for ever", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { sayAway(log, err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("bus error", "error", err) }),
	}
	if secure != nil {
		opts = append(opts, nats.Secure(secure))
	}
	return opts
}

// sayAway tells a hub that refuses us, which somebody must look at, from one
// that is away.
func sayAway(log *slog.Logger, err error) {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			log.Warn("bus refuses our credential: was the agent deleted?", "error", err)
			return
		}
	}
	var distrust *tls.CertificateVerificationError
	if errors.As(err, &distrust) || errors.Is(err, nats.ErrSecureConnWanted) {
		log.Warn("bus is not the one that this agent trusts: was its authority made anew?", "error", err)
		return
	}
	log.Debug("bus still away", "error", err)
}

// reconnectDelay grows from 100 ms to 5 s with the rounds of failed attempts.
func reconnectDelay(attempts int) time.Duration {
	return min(100*time.Millisecond<<min(attempts, 6), 5*time.Second)
}
