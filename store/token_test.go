package store_test

import (
	"context"
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
	list, _, err := s.Tokens(t.Context(), store.Page{})
	if err != nil || len(list) != 3 {
		t.Errorf("tokens %+v, %v", list, err)
	}
}
