package builtin

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"sprout"
)

// notifyLimit is how long it takes at most until a secondary that does not answer
// is told again (RFC 1996 section 3.6).
const notifyLimit = 5 * time.Minute

// A notifier tells secondaries of changed zones, each until it has acknowledged
// the newest one.
type notifier struct {
	server *Server
	from   netip.Addr

	mu   sync.Mutex
	told map[secondary]*pending
}

// A pending is what one secondary must still be told.
type pending struct {
	origins map[string]bool
	wake    chan struct{}
}

// run tells secondaries until ctx ends; with other rules it begins anew.
func (n *notifier) run(ctx context.Context) {
	zones := n.server.config.Zones
	zones.Watch(n.changed)
	defer zones.Watch(nil)
	for ctx.Err() == nil {
		rules, next := n.server.config.Rules.now()
		n.runWith(ctx, rules, next)
	}
}

// runWith tells the secondaries of the rules, until there are others.
func (n *notifier) runWith(ctx context.Context, rules *Rules, next <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	n.mu.Lock()
	n.told = map[secondary]*pending{}
	for _, s := range rules.notify {
		if n.told[s] != nil {
			continue
		}
		p := &pending{origins: map[string]bool{}, wake: make(chan struct{}, 1)}
		n.told[s] = p
		running.Go(func() { n.tell(ctx, s, p, rules) })
	}
	n.mu.Unlock()
	n.changed(n.server.config.Zones.Origins()) // it may have missed some
	select {
	case <-ctx.Done():
	case <-next:
	}
	cancel()
	running.Wait()
}

// changed notes zones as to be told.
func (n *notifier) changed(origins []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.told {
		for _, o := range origins {
			p.origins[o] = true
		}
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// take returns the zones to be told now.
func (n *notifier) take(p *pending) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := slices.Sorted(maps.Keys(p.origins))
	clear(p.origins)
	return all
}

// tell tells one secondary until ctx ends.
func (n *notifier) tell(ctx context.Context, to secondary, p *pending, rules *Rules) {
	usual := n.server.config.Limits.Notify
	wait := usual
	for {
		var failed []string
		for _, origin := range n.take(p) {
			if err := n.notify(ctx, to, origin, rules); err != nil && ctx.Err() == nil {
				n.server.config.Log.Warn("secondary did not acknowledge a change", "secondary", to.at, "zone", readable(origin), "again", wait, "error", err)
				failed = append(failed, origin)
			}
		}
		if len(failed) == 0 {
			wait = usual
			select {
			case <-ctx.Done():
				return
			case <-p.wake:
			}
			continue
		}
		if sprout.Pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, notifyLimit)
		n.mu.Lock()
		for _, o := range failed {
			p.origins[o] = true
		}
		n.mu.Unlock()
	}
}

// notify sends one NOTIFY and waits for its acknowledgement (RFC 1996).
func (n *notifier) notify(ctx context.Context, to secondary, origin string, rules *Rules) error {
	at, ok := n.server.config.Zones.Zone(origin)
	if !ok {
		return nil // it has gone
	}
	soa, err := record(readable(origin), at.SOA.Data)
	if err != nil {
		return err
	}
	m := new(dns.Msg).SetNotify(readable(origin))
	m.Answer = []dns.RR{soa}
	c := dns.Client{Timeout: n.server.config.Limits.Notify, Dialer: &net.Dialer{Timeout: n.server.config.Limits.Notify}}
	if n.from.IsValid() && !n.from.IsUnspecified() && n.from.Is4() == to.at.Addr().Is4() {
		c.Dialer.LocalAddr = &net.UDPAddr{IP: n.from.AsSlice()}
	}
	if key, ok := rules.key(to.key); ok {
		m.SetTsig(dns.Fqdn(key.Name), dns.Fqdn(key.Algorithm), fudge, time.Now().Unix())
		c.TsigSecret = map[string]string{dns.Fqdn(key.Name): key.Secret}
	}
	got, _, err := c.ExchangeContext(ctx, m, to.at.String())
	if err == nil && got.Rcode != dns.RcodeSuccess {
		err = sprout.Errorf(sprout.Unavailable, "%s", dns.RcodeToString[got.Rcode])
	}
	return err
}
