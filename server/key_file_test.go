package server_test

import (
	"os"
	"testing"

	"sprout"
	"sprout/bus"
	"sprout/server"
	"sprout/store"
	"sprout/store/storetest"
)

// The key of secrets is changed in three steps; the old one is dropped only once
// nothing needs it, and nothing is lost.
func TestKeyIsChangedInSteps(t *testing.T) {
	c := server.Defaults()
	c.Dir, c.Database.URL = t.TempDir(), storetest.NewURL(t)
	open := func() *store.Store {
		return must(store.Open(t.Context(), c.Database.URL, 6, store.Config{Key: must(c.OpenKey())(t)}))(t)
	}
	keys := func() bus.Keys {
		s := open()
		defer s.Close()
		return must(server.BusKeys(t.Context(), s))(t)
	}
	before := keys()
	answered := store.RequestKey{ID: []byte("key of a request"), Digest: []byte("its body")}
	func() {
		s := open()
		defer s.Close()
		claim := &store.Claim{Key: answered, By: "one attempt"}
		for _, err := range []error{
			s.AuditAll(t.Context(), []sprout.AuditRecord{{Actor: "ann", Action: "site create", Outcome: "refused"}}),
			third(s.SealAudit(t.Context())), s.KeepAnswer(t.Context(), claim, []byte("its answer")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}()
	if _, _, err := server.UseKey(t.Context(), c); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("there is no other key: %v", err)
	}
	if n, _, err := server.AddKey(t.Context(), c); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if n, _, err := server.UseKey(t.Context(), c); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if _, _, err := server.DropKeys(t.Context(), c); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("a key is dropped that is needed: %v", err)
	}
	s := open()
	n, err := s.Reseal(t.Context())
	s.Close()
	if n != 3 || err != nil { // the keys of the bus, the answer, and the audit's head
		t.Errorf("%d were sealed anew, %v", n, err)
	}
	if n, _, err := server.DropKeys(t.Context(), c); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if keys() != before {
		t.Error("a secret is lost")
	}
	s = open()
	defer s.Close()
	if n, _, err := s.VerifyAudit(t.Context(), sprout.AuditHead{}); n != 1 || err != nil {
		t.Errorf("the audit's head is not trusted any more: %d records, %v", n, err)
	}
	if answer, err := s.Answer(t.Context(), answered); string(answer) != "its answer" || err != nil {
		t.Errorf("an answer that was kept is %q, %v", answer, err)
	}
	if info := must(os.Stat(c.KeyPath()))(t); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }
