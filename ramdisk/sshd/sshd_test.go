package sshd_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sprout/ramdisk/sshd"
)

// A desk is where an operator sits: with two keys, of which the machine knows one.
type desk struct {
	dir, port string
	server    *sshd.Server
}

func newDesk(t *testing.T) desk {
	t.Helper()
	for _, program := range []string{"ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed: apt-get install openssh-client")
		}
	}
	d := desk{dir: t.TempDir()}
	for _, name := range []string{"mine", "other"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", filepath.Join(d.dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	key, err := os.ReadFile(filepath.Join(d.dir, "mine.pub"))
	if err != nil {
		t.Fatal(err)
	}
	d.server, err = sshd.Listen("127.0.0.1:0", sshd.Config{
		Keys: []string{string(key)}, Command: []string{"/bin/sh"}, Env: []string{"PATH=/usr/bin:/bin", "WHERE=rescue"}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, d.port, _ = net.SplitHostPort(d.server.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); d.server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the server does not end")
		}
	})
	return d
}

// ssh runs Debian's client, and returns what it prints and its exit code.
func (d desk) ssh(t *testing.T, key, input string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	all := append([]string{
		"-F", "none", "-p", d.port, "-i", filepath.Join(d.dir, key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(d.dir, "known"), "root@127.0.0.1",
	}, args...)
	cmd := exec.CommandContext(ctx, "ssh", all...)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("ssh %v does not end: %s", args, out.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func TestOnlyTheNamedKeyGetsAShell(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		name, key, input string
		args             []string
		says             string
		code             int
	}{
		{"a command", "mine", "", []string{"echo in $WHERE; exit 7"}, "in rescue", 7},
		{"its input", "mine", "some words\n", []string{"tr a-z A-Z"}, "SOME WORDS", 0},
		{"a shell", "mine", "echo $((6*7))\nexit 3\n", nil, "42", 3},
		{"killed by a signal", "mine", "", []string{"kill -TERM $$"}, "", 143},
		{"a terminal", "mine", "", []string{"-tt", "test -t 0 && echo on $TERM"}, "on ", 0},
		{"another key", "other", "", []string{"echo in"}, "Permission denied", 255},
		{"no forwarding", "mine", "", []string{"-W", "127.0.0.1:22"}, "prohibited", 255},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := d.ssh(t, c.key, c.input, c.args...)
			if !strings.Contains(out, c.says) || code != c.code {
				t.Errorf("ssh exits %d, want %d, and says %q, want %q", code, c.code, out, c.says)
			}
		})
	}
	known, err := os.ReadFile(filepath.Join(d.dir, "known"))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := exec.Command("ssh-keygen", "-l", "-f", filepath.Join(d.dir, "known")).Output()
	if err != nil || !strings.Contains(string(shown), d.server.HostKey()) {
		t.Errorf("the client knows the host by %s (%s, %v), the server says %s", shown, known, err, d.server.HostKey())
	}
}

// A client that goes leaves no shell behind, and none that will not hear of it.
func TestTheShellEndsWithItsClient(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		command string
	}{
		"a terminal": {[]string{"-tt"}, "exec sleep 1000"},
		"deaf":       {[]string{"-T"}, "trap '' HUP; exec sleep 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endsWithItsClient(t, c.args, c.command)
		})
	}
}

func endsWithItsClient(t *testing.T, args []string, command string) {
	t.Helper()
	d := newDesk(t)
	pids := filepath.Join(d.dir, "pid")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append(args, "-F", "none", "-p", d.port, "-i", filepath.Join(d.dir, "mine"), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "root@127.0.0.1", "echo $$ >"+pids+".new; mv "+pids+".new "+pids+"; "+command)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := await(t, "the shell to run", func() (string, bool) {
		raw, err := os.ReadFile(pids)
		return strings.TrimSpace(string(raw)), err == nil
	})
	cancel()
	_ = cmd.Wait()
	await(t, "the shell to end", func() (string, bool) {
		_, err := os.Stat("/proc/" + pid)
		return "", err != nil
	})
}

func TestAKeyThatIsNoneIsRefused(t *testing.T) {
	_, err := sshd.Listen("127.0.0.1:0", sshd.Config{Keys: []string{"ssh-ed25519 nonsense me"}})
	if err == nil || !strings.Contains(fmt.Sprint(err), "cannot read the public key") {
		t.Errorf("it says %v", err)
	}
}

func await(t *testing.T, what string, seen func() (string, bool)) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if got, ok := seen(); ok {
			return got
		}
	}
	t.Fatalf("waited in vain for %s", what)
	return ""
}
