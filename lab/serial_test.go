package lab

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A machine's serial port is read by any number of openings, each from where it was
// opened, and typed at while the machine is on, also after it was off.
func TestSerialPort(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a long way down ", 8)) // more than a socket's path may have
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o700))
	m := &machine{dir: dir}
	say := func(words string) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, consoleLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		must(err)
		_, err = io.WriteString(f, words)
		must(err)
		must(f.Close())
	}
	hears := func(r io.Reader, want string) {
		t.Helper()
		heard := make([]byte, len(want))
		if _, err := io.ReadFull(r, heard); err != nil || string(heard) != want {
			t.Errorf("the port says %q: %v, want %q", heard, err, want)
		}
	}
	say("long ago")
	first, err := m.Console(t.Context())
	must(err)
	_, err = io.WriteString(first, "nobody is there\r")
	must(err)
	say("one ")
	second, err := m.Console(t.Context())
	must(err)
	say("two")
	hears(first, "one two")
	hears(second, "two")

	t.Chdir(dir) // as QEMU does
	for range 2 {
		l, err := net.Listen("unix", consoleSock)
		must(err)
		_, err = io.WriteString(first, "root\r")
		must(err)
		qemu, err := l.Accept()
		must(err)
		hears(qemu, "root\r")
		must(qemu.Close())
		must(l.Close())
		for typed := 0; typed == 0; { // until the other end is known to be gone
			s := first.(*serial)
			if _, err := s.keys.Write([]byte("x")); err != nil {
				typed = 1
			}
		}
	}
	must(first.Close())
	must(first.Close())
	if n, err := first.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a port that was closed says %d bytes: %v", n, err)
	}
	must(second.Close())
}
