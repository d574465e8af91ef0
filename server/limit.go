package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"sprout"
	"sprout/api"
)

// A LimitsConfig says how often one replica may be asked.
type LimitsConfig struct {
	TokenRate    int `json:"tokenRate" doc:"Requests a second of one token; 0: 1000, -1: any number"`
	TokenBurst   int `json:"tokenBurst" doc:"Requests of one token at once; 0: 2000"`
	AddressRate  int `json:"addressRate" doc:"Requests a second of one address without a good token; 0: 20, -1: any number"`
	AddressBurst int `json:"addressBurst" doc:"Requests of one address at once without a good token; 0: 200"`
}

// check refuses what is no rate.
func (c LimitsConfig) check() error {
	for key, n := range map[string]int{"tokenRate": c.TokenRate, "tokenBurst": c.TokenBurst, "addressRate": c.AddressRate, "addressBurst": c.AddressBurst} {
		if n < -1 || n == -1 && (key == "tokenBurst" || key == "addressBurst") {
			return sprout.InvalidField("limits."+key, "%d is no limit; 0 is the usual one", n)
		}
	}
	return nil
}

// pace is a rate with its burst, each the usual one where none is given.
func pace(perSecond, usual, burst, usualBurst int) pacing {
	p := pacing{rate.Limit(perSecond), burst}
	switch perSecond {
	case 0:
		p.rate = rate.Limit(usual)
	case -1:
		p.rate = rate.Inf
	}
	if burst == 0 {
		p.burst = usualBurst
	}
	return p
}

type pacing struct {
	rate  rate.Limit
	burst int
}

// bearers is how many tokens, and addresses, a replica knows the pace of: the
// latest. Whoever is forgotten begins anew with a full burst.
const bearers = 10000

// limits is how often this replica was asked, by whom.
type limits struct {
	perToken, perAddress pacing
	tokens               *lru.Cache[[sha256.Size]byte, *bearerPace] // by the secret's hash: good ones only
	addresses            *lru.Cache[string, *rate.Limiter]
}

// A bearerPace is what a replica remembers of a token that was good.
type bearerPace struct {
	limiter *rate.Limiter
	noted   atomic.Int64 // when its use was noted last, in Unix seconds
}

func newLimits(c LimitsConfig) (*limits, error) {
	l := &limits{perToken: pace(c.TokenRate, 1000, c.TokenBurst, 2000), perAddress: pace(c.AddressRate, 20, c.AddressBurst, 200)}
	var err error
	if l.tokens, err = lru.New[[sha256.Size]byte, *bearerPace](bearers); err != nil {
		return nil, err
	}
	l.addresses, err = lru.New[string, *rate.Limiter](bearers)
	return l, err
}

// bearer returns what is remembered of a secret that has just been found good.
func (l *limits) bearer(secret [sha256.Size]byte) *bearerPace {
	fresh := &bearerPace{limiter: rate.NewLimiter(l.perToken.rate, l.perToken.burst)}
	if before, known, _ := l.tokens.PeekOrAdd(secret, fresh); known {
		return before
	}
	return fresh
}

// address returns the pace of an address. Of IPv6 one host has a whole /64.
func (l *limits) address(source string) *rate.Limiter {
	if ip, err := netip.ParseAddr(source); err == nil && ip.Is6() && !ip.Is4In6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			source = prefix.String()
		}
	}
	if known, ok := l.addresses.Get(source); ok {
		return known
	}
	fresh := rate.NewLimiter(l.perAddress.rate, l.perAddress.burst)
	if before, known, _ := l.addresses.PeekOrAdd(source, fresh); known {
		return before
	}
	return fresh
}

// take takes one request from a pace, or says after how many seconds there will
// be one.
func take(l *rate.Limiter) (wait int, ok bool) {
	r := l.Reserve()
	delay := r.Delay()
	if delay == 0 {
		return 0, true
	}
	r.Cancel()
	return int(math.Ceil(delay.Seconds())), false
}

// spent tells whether a pace has nothing left, without taking from it.
func spent(l *rate.Limiter) bool { return l.Limit() != rate.Inf && l.Tokens() < 1 }

// tooOften is the refusal of who asks more often than it may.
func tooOften(ctx context.Context, who string, p pacing, key string, wait int) *api.Fault {
	f := api.NewFault(ctx, http.StatusTooManyRequests, sprout.Unavailable,
		fmt.Sprintf("%s asks more often than %g times a second (%d at once)", who, float64(p.rate), p.burst))
	f.RetryAfter = max(wait, 1)
	f.Remedy = fmt.Sprintf("the same request again after %d s; limits.%s in the server's configuration is how often it may", f.RetryAfter, key)
	return f
}

// strangers takes a request that no good token came with from its address.
func (s *Server) strangers(ctx context.Context) *api.Fault {
	wait, ok := take(s.limits.address(source(ctx)))
	if ok {
		return nil
	}
	return tooOften(ctx, "the address "+source(ctx)+", without a good token,", s.limits.perAddress, "addressRate", wait)
}

// noteUse remembers that a token was used, to be written soon, unless that was
// so within the last minute. It never waits: what is too much is left out.
func (s *Server) noteUse(b *bearerPace, id sprout.TokenID) {
	now, before := time.Now().Unix(), b.noted.Load()
	if now-before < 60 || !b.noted.CompareAndSwap(before, now) {
		return
	}
	select {
	case s.used <- id:
	default:
	}
}

// usedBatch is how many uses wait to be written, and how many are written at once.
const usedBatch = 1000

// writeUses writes when tokens were used, several at a time, until ctx ends.
func (s *Server) writeUses(ctx context.Context) error {
	for {
		var ids []sprout.TokenID
		select {
		case <-ctx.Done():
			return nil
		case id := <-s.used:
			ids = append(ids, id)
		}
		for more := true; more && len(ids) < usedBatch; {
			select {
			case id := <-s.used:
				ids = append(ids, id)
			default:
				more = false
			}
		}
		if err := s.store.UseTokens(ctx, ids); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot record when tokens were used", "error", err)
		}
	}
}
