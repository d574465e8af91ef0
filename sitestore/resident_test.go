package sitestore

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// mappedKB is how much of a file is in the process's memory.
func mappedKB(t *testing.T, path string) (kb int) {
	t.Helper()
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close() //nolint:errcheck // only read
	its := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case strings.Contains(words[0], "-"):
			its = words[len(words)-1] == path
		case its && words[0] == "Rss:":
			n, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			kb += n
		}
	}
	return kb
}

// TestLetGo: what was written is no memory of the process any more, and is read as
// it was, also while it is given back.
func TestLetGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	value := []byte(strings.Repeat("x", 3000))
	key := func(i int) []byte { return fmt.Appendf(nil, "%04d", i) }
	for round := range 2 {
		err = s.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("bulk"))
			for i := 0; i < 1000 && err == nil; i++ {
				err = b.Put(key(i), value)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		read := func() {
			err := s.db.View(func(tx *bbolt.Tx) error {
				for i := range 1000 {
					if got := tx.Bucket([]byte("bulk")).Get(key(i)); string(got) != string(value) {
						return fmt.Errorf("round %d: %s is %d bytes", round, key(i), len(got))
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		read()
		before := mappedKB(t, path)
		if err := s.LetGo(); err != nil {
			t.Fatal(err)
		}
		if after := mappedKB(t, path); before < 2000 || after > 100 {
			t.Errorf("round %d: %d KB are mapped, and %d KB afterwards", round, before, after)
		}
		read()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.LetGo(); err != nil {
		t.Errorf("after it was closed: %v", err)
	}
}
