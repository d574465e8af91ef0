package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/store"
)

// askAgain is after how many seconds a request that still runs may be asked for
// again.
const askAgain = 1

// mostTimes is how often a request is carried out that other requests stand in
// the way of: each time nothing of it was done.
const mostTimes = 5

// carryOut carries a request out, and does so again where PostgreSQL undid all of
// it for the sake of another request.
func carryOut[In, Out any](ctx context.Context, s *Server, spec api.Spec, in *In, handle func(context.Context, *In) (Out, error)) (out Out, err error) {
	for times := 1; ; times++ {
		out, err = carryOnce(ctx, s, spec, in, handle)
		if !store.Undone(err) || times == mostTimes || spec.Upload || spec.Many {
			return out, err
		}
		s.log.Debug("a request is carried out again", "id", api.RequestID(ctx), "operation", spec.Name, "error", err)
	}
}

// carryOnce carries a request out: on what its sender has seen, if it says so by
// If-Match, and only once, if it bears an Idempotency-Key. Either needs that all
// of it is one transaction, which the kept answer is part of: whenever the
// server dies, everything is there or nothing.
func carryOnce[In, Out any](ctx context.Context, s *Server, spec api.Spec, in *In, handle func(context.Context, *In) (Out, error)) (out Out, err error) {
	x := api.ExchangeOf(ctx)
	matches := x.IfMatch != "" && spec.Method != http.MethodGet
	key, err := requestKey(ctx, spec, x, in)
	switch {
	case err != nil:
		return out, err
	case matches && spec.Resource() == "":
		return out, changed(ctx, fmt.Sprintf("cannot %s: it is about nothing yet that If-Match could compare", spec.Name), "leave the header If-Match out")
	case key == nil && !matches:
		return handle(ctx, in)
	case spec.Upload || spec.Many:
		return apart(ctx, s, *key, func(ctx context.Context) (Out, error) { return handle(ctx, in) })
	}
	if spec.Shared && !matches {
		if out, err = handle(withKey(ctx, *key), in); !errors.Is(err, errAlone) {
			return out, err
		}
	}
	err = s.store.Join(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if key != nil {
			before, err := s.store.TakeKey(ctx, tx, *key)
			if err != nil {
				return err
			}
			if before != nil {
				x.Replayed = before
				return json.Unmarshal(before, &out)
			}
		}
		if matches {
			if err := s.unchanged(ctx, tx, spec, x); err != nil {
				return err
			}
		}
		if out, err = handle(ctx, in); err != nil || key == nil {
			return err
		}
		raw, err := api.Encode(out)
		if err != nil {
			return err
		}
		return s.store.PutAnswer(ctx, tx, *key, raw)
	})
	return out, keyFault(ctx, err)
}

// errAlone says that a request was not carried out together with others, and has
// to be on its own.
var errAlone = errors.New("asked together with others, without an answer")

type keyKey struct{}

// withKey hands the key of a request to who takes it in a transaction shared with
// others.
func withKey(ctx context.Context, k store.RequestKey) context.Context {
	return context.WithValue(ctx, keyKey{}, &k)
}

// keyOf returns what withKey handed on; nil: there is none.
func keyOf(ctx context.Context) *store.RequestKey {
	if store.Joined(ctx) {
		return nil // Join has taken it
	}
	k, _ := ctx.Value(keyKey{}).(*store.RequestKey)
	return k
}

// apart carries out, once, what is no single transaction: it reads a long body,
// or changes many things each by itself. Its transactions bear witness of it, so
// that two replicas cannot both do it; after a crash midway a part may be done,
// and who asks again with the key is told so.
func apart[Out any](ctx context.Context, s *Server, key store.RequestKey, handle func(context.Context) (Out, error)) (out Out, err error) {
	if _, runs := s.underway.LoadOrStore(string(key.ID), true); runs {
		return out, keyFault(ctx, store.ErrKeyBusy)
	}
	defer s.underway.Delete(string(key.ID))
	before, err := s.store.Answer(ctx, key)
	if err != nil {
		return out, keyFault(ctx, err)
	}
	if before != nil {
		api.ExchangeOf(ctx).Replayed = before
		return out, json.Unmarshal(before, &out)
	}
	claim := &store.Claim{Key: key, By: sprout.NewSecret()[:16]}
	if out, err = handle(store.WithClaim(ctx, claim)); claim.Lost() {
		return out, keyFault(ctx, store.ErrKeyBusy)
	}
	if err != nil {
		return out, err
	}
	raw, err := api.Encode(out)
	if err != nil {
		return out, err
	}
	return out, keyFault(ctx, s.store.KeepAnswer(ctx, claim, raw))
}

// requestKey returns the key of a POST that bears one. A request without a token
// has none: agent enrol is answered the same again by itself.
func requestKey[In any](ctx context.Context, spec api.Spec, x *api.Exchange, in *In) (*store.RequestKey, error) {
	who := bearer(ctx).ID
	if x.Key == "" || spec.Method != http.MethodPost || who == "" {
		return nil, nil
	}
	for _, c := range x.Key {
		if c <= ' ' || c > '~' || len(x.Key) > 255 {
			return nil, sprout.InvalidField("Idempotency-Key", "must be 1 to 255 visible ASCII characters").WithRemedy("a random UUID")
		}
	}
	asks, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what is asked for: %w", err)
	}
	id := sha256.Sum256([]byte(string(who) + "\n" + x.Key))
	digest := sha256.Sum256([]byte(x.Key + "\n" + spec.Name + "\n" + string(asks)))
	return &store.RequestKey{ID: id[:], Digest: digest[:]}, nil
}

// keyFault says what stands against a key; other errors pass.
func keyFault(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, store.ErrKeyBusy):
		f := api.NewFault(ctx, http.StatusConflict, sprout.Conflict, "a request with this Idempotency-Key is being carried out")
		f.Field, f.Remedy, f.RetryAfter = "Idempotency-Key", "send the same request again in a moment: it will be given the answer", askAgain
		return f
	case errors.Is(err, store.ErrKeyOther):
		e := sprout.InvalidField("Idempotency-Key", "another request had this key in the last %s", store.KeepKeys)
		return e.WithRemedy("a new key for each new request")
	case errors.Is(err, store.ErrKeyLost):
		e := sprout.Errorf(sprout.Conflict, "cannot repeat the answer: the request was carried out, at least in part, but its answer was lost")
		e.Field = "Idempotency-Key"
		return e.WithRemedy("sprout audit list shows what it did; a new key does it again")
	}
	return err
}

// changed makes a problem of what stands against a change on condition.
func changed(ctx context.Context, detail, remedy string) *api.Fault {
	f := api.NewFault(ctx, http.StatusPreconditionFailed, sprout.Conflict, detail)
	f.Field, f.Remedy = "If-Match", remedy
	return f
}

// A resource is what If-Match can be about: as GET shows it.
type resource struct {
	id   string
	name string
	now  any
}

// resource shows one of each noun whose operations change one of its kind.
func (s *Server) resource(ctx context.Context, noun, ref string) (r resource, known bool, err error) {
	switch noun {
	case "site":
		v, err := s.siteShow(ctx, &api.SiteRef{Site: ref})
		return resource{string(v.ID), v.Name, v}, true, err
	case "agent":
		v, err := s.agentShow(ctx, &api.AgentRef{Agent: ref})
		return resource{string(v.ID), v.Name, v}, true, err
	case "network":
		v, err := s.networkShow(ctx, &api.NetworkRef{Network: ref})
		return resource{string(v.ID), v.Name, v}, true, err
	case "dnsrecord":
		v, err := s.findDNSRecord(ctx, ref)
		return resource{string(v.ID), v.Name, v}, true, err
	case "dhcpoption":
		v, err := s.findDHCPOption(ctx, ref)
		return resource{string(v.ID), v.Name, v}, true, err
	case "dnskey":
		_, v, err := s.findDNSKey(ctx, ref)
		return resource{string(v.Site) + "/" + v.Name, v.Name, v}, true, err
	case "address":
		v, err := s.addressShow(ctx, &api.AddressRef{Address: ref})
		return resource{string(v.ID), v.IP.String(), v}, true, err
	case "subnet":
		v, err := s.subnetShow(ctx, &api.SubnetRef{Subnet: ref})
		return resource{string(v.ID), v.CIDR.String(), v}, true, err
	case "machine":
		v, err := s.machineShow(ctx, &api.MachineRef{Machine: ref})
		return resource{string(v.ID), v.Name, v}, true, err
	case "image":
		v, err := s.imageShow(ctx, &api.ImageRef{Image: ref})
		return resource{string(v.ID), v.Name, v}, true, err
	case "model":
		v, err := s.modelShow(ctx, &api.ModelRef{Model: ref})
		return resource{v.String(), v.String(), v}, true, err
	case "allocation":
		v, err := s.findAllocation(ctx, ref)
		return resource{string(v.ID), string(v.ID), v}, true, err
	case "rule":
		v, err := s.findRule(ctx, ref)
		return resource{v.Name, v.Name, v}, true, err
	case "alias":
		v, err := s.findImageAlias(ctx, ref)
		return resource{v.Name, v.Name, v}, true, err
	case "quota":
		v, err := s.findQuota(ctx, ref)
		return resource{v.Owner, v.Owner, v}, true, err
	case "workflow":
		v, err := s.workflowShow(ctx, &api.ShowWorkflow{WorkflowRef: api.WorkflowRef{Workflow: ref}})
		return resource{string(v.ID), string(v.ID), v}, true, err
	}
	return r, false, nil
}

// groupOf is how commands call a noun that a path calls otherwise.
var groupOf = map[string]string{"alias": "image alias", "dnskey": "dns key", "dnsrecord": "dns record", "dhcpoption": "dhcp option"}

// unchanged takes the row of what is to be changed, and refuses if it is not
// what the sender has seen. Of two who saw the same the second finds what the
// first has made of it.
func (s *Server) unchanged(ctx context.Context, tx pgx.Tx, spec api.Spec, x *api.Exchange) error {
	noun := spec.Resource()
	seen, known, err := s.resource(ctx, noun, x.Ref)
	if err != nil {
		return err
	}
	if !known {
		return changed(ctx, fmt.Sprintf("cannot %s on condition: a %s has no entity tag", spec.Name, noun), "leave the header If-Match out")
	}
	if err := s.store.Lock(ctx, tx, noun, seen.id); err != nil {
		return err
	}
	now, _, err := s.resource(ctx, noun, seen.id)
	if err != nil {
		return err
	}
	raw, err := api.Encode(now.now)
	if err != nil {
		return err
	}
	tag := api.TagOf(now.now, raw)
	if api.MayChange(x.IfMatch, tag, now.now) {
		return nil
	}
	why := fmt.Sprintf("cannot %s: %s %s has changed since %s: it is %s now", spec.Name, noun, now.name, x.IfMatch, tag)
	last, found, err := s.store.LastAudit(ctx, now.id)
	if err != nil {
		return err
	}
	if found {
		why += fmt.Sprintf("; last by %s, %s at %s", last.Actor, last.Action, last.At.Format("2006-01-02 15:04:05 MST"))
	}
	return changed(ctx, why, strings.TrimSpace(fmt.Sprintf("sprout %s show %s, and decide anew", cmp.Or(groupOf[noun], noun), now.name)))
}

const (
	forgetEvery = 10 * time.Minute
	forgetBatch = 1000
)

// forgetKeys removes the answers that were kept long enough, until ctx ends.
func (s *Server) forgetKeys(ctx context.Context) error {
	for {
		gone, err := s.store.ForgetKeys(ctx, forgetBatch)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("cannot forget old answers", "error", err)
		}
		if err == nil && gone == forgetBatch {
			continue
		}
		if sprout.Pause(ctx, forgetEvery) != nil {
			return nil
		}
	}
}
