package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func TestEnrolTokenWorksOnce(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	token := func(ttl time.Duration) (secret string) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
			secret, _, err = s.CreateEnrolToken(ctx, tx, site.ID, ttl)
			return err
		})
		return secret
	}
	take := func(secret string) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			got, err := s.TakeEnrolToken(ctx, tx, secret)
			if err == nil && got != site.ID {
				t.Errorf("it is for %s", got)
			}
			return err
		})
	}
	secret := token(time.Hour)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = take(secret) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if wantField(t, err, sprout.Denied, "token"); !strings.Contains(err.Error(), "used at") {
			t.Errorf("it does not say why: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d took it", won)
	}
	for why, secret := range map[string]string{"expired at": token(-time.Second), "not known": sprout.NewSecret()} {
		err := take(secret)
		wantField(t, err, sprout.Denied, "token")
		if !strings.Contains(err.Error(), why) {
			t.Errorf("want %q, got %v", why, err)
		}
	}
}

// The answer to an enrolment may be lost: the same agent is told the same again,
// as long as nothing was heard of it. Nobody else is told anything.
func TestEnrolAgainTellsTheSameAgentTheSame(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	var secret string
	var agent sprout.Agent
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
		if secret, _, err = s.CreateEnrolToken(ctx, tx, site.ID, time.Hour); err != nil {
			return err
		}
		if _, err = s.TakeEnrolToken(ctx, tx, secret); err != nil {
			return err
		}
		if agent, err = s.EnrolAgent(ctx, tx, sprout.Agent{Site: site.ID, Name: "a", PublicKey: "U1", SealKey: "X1"}); err != nil {
			return err
		}
		return s.KeepEnrolment(ctx, tx, secret, agent.ID, "for-images")
	})
	again := func(secret, public, seal string) (e store.Enrolled, ok bool) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
			e, ok, err = s.EnrolAgain(ctx, tx, secret, public, seal)
			return err
		})
		return e, ok
	}
	for range 2 {
		if e, ok := again(secret, "U1", "X1"); !ok || e.Agent.ID != agent.ID || e.Token != "for-images" {
			t.Errorf("%v %+v", ok, e)
		}
	}
	for _, c := range [][3]string{{secret, "U2", "X1"}, {secret, "U1", "X2"}, {sprout.NewSecret(), "U1", "X1"}} {
		if e, ok := again(c[0], c[1], c[2]); ok {
			t.Errorf("%q was told %+v", c, e)
		}
	}
	for _, change := range []string{
		`UPDATE enrol_token SET expires_at = now() - interval '1 s'`, `UPDATE agent SET last_seen = now()`, `UPDATE inbox SET last_fact = 1`, `UPDATE inbox SET agent = ''`,
	} {
		err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, change); err != nil {
				return err
			}
			if e, ok, err := s.EnrolAgain(ctx, tx, secret, "U1", "X1"); ok || err != nil {
				t.Errorf("%s: told %+v, %v", change, e, err)
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			t.Error(err)
		}
	}
}

var errUndo = errors.New("undo")

func TestTokensExpireAndAreRevoked(t *testing.T) {
	s := storetest.New(t)
	past := time.Now().Add(-time.Minute)
	create := func(token sprout.Token) (secret string, err error) {
		err = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
			_, secret, err = s.CreateToken(ctx, tx, token)
			return err
		})
		return secret, err
	}
	secret, err := create(sprout.Token{Name: "ci", Role: sprout.Operator})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.TokenBySecret(t.Context(), secret)
	if err != nil || got.Name != "ci" || got.Role != sprout.Operator {
		t.Errorf("token %+v, %v", got, err)
	}
	_, err = create(sprout.Token{Name: "ci", Role: sprout.Viewer})
	wantField(t, err, sprout.Conflict, "name")
	_, err = create(sprout.Token{Name: "king", Role: "king"})
	wantField(t, err, sprout.Invalid, "role")
	old, err := create(sprout.Token{Name: "old", Role: sprout.Viewer, ExpiresAt: &past})
	if err != nil {
		t.Fatal(err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.RevokeToken(ctx, tx, "ci")
		return err
	})
	for why, secret := range map[string]string{"revoked": secret, "expired": old, "not known": "x"} {
		_, err := s.TokenBySecret(t.Context(), secret)
		wantKind(t, err, sprout.Denied)
		if err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("want %q, got %v", why, err)
		}
	}
	if _, err := create(sprout.Token{Name: "ci", Role: sprout.Viewer}); err != nil {
		t.Errorf("the name of a revoked token is free: %v", err)
	}
	list, _, err := s.Tokens(t.Context(), store.TokenFilter{})
	if err != nil || len(list) != 3 {
		t.Errorf("tokens %+v, %v", list, err)
	}
}
