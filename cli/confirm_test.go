package cli

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// A person is shown what is lost and types how many machines it is about; a mere
// "y" does nothing.
func TestConfirm(t *testing.T) {
	for _, c := range []struct {
		said  string
		count int
		code  int
	}{
		{"yes\n", 1, 0}, {"YES \n", 3, 0}, {"3\n", 3, 0}, {"2\n", 3, exitUnconfirmed}, {"1\n", 1, exitUnconfirmed},
		{"y\n", 3, exitUnconfirmed}, {"\n", 1, exitUnconfirmed}, {"", 1, exitUnconfirmed},
	} {
		var errs strings.Builder
		e := newEnv(strings.NewReader(c.said), io.Discard, &errs)
		e.interactive = func() bool { return true }
		err := e.confirm(t.Context(), c.count, "destroys what is on 1 disk")
		if code := 0; err != nil {
			code = exitOf(err)
			if code != c.code {
				t.Errorf("%q of %d: exit code %d: %v", c.said, c.count, code, err)
			}
		} else if c.code != 0 {
			t.Errorf("%q of %d is taken for a yes", c.said, c.count)
		}
		if !strings.Contains(errs.String(), "destroys what is on 1 disk. Type ") {
			t.Errorf("it asks %q", errs.String())
		}
	}
}

// Whoever interrupts the question gets no answer to wait for.
func TestConfirmIsInterrupted(t *testing.T) {
	silent, end := io.Pipe()
	defer end.Close() //nolint:errcheck // a pipe
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	e := newEnv(silent, io.Discard, io.Discard)
	e.interactive = func() bool { return true }
	if err := e.confirm(ctx, 1, "destroys"); err == nil {
		t.Error("nobody said yes")
	}
}
