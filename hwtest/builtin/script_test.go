package builtin_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sprout/hwtest/builtin"
)

// play runs a script that comes with Sprout on this host, with programs of these names
// in place of the real ones, and returns how it ended, and what it said and measured.
// A name that begins with / is a file that the script finds there, and nothing else of
// the kernel's.
func play(t *testing.T, name string, programs map[string]string, env ...string) (status int, said, figures string) {
	t.Helper()
	dir := t.TempDir()
	places := strings.NewReplacer()
	write := func(name, content string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range programs {
		if name == "mark" { // what it left before a restart
			write(name, content)
			continue
		}
		if strings.HasPrefix(name, "/") {
			places = strings.NewReplacer("/sys/", dir+"/sys/", "/proc/", dir+"/proc/", "/dev/", dir+"/dev/")
			write(name, content)
			continue
		}
		write(name, "#!/bin/sh\n"+content)
	}
	for _, e := range builtin.Library() {
		if e.Name == name {
			write("script", strings.ReplaceAll(places.Replace(string(e.Content)), dir+"/dev/null", "/dev/null"))
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "script"))
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + dir + ":/usr/sbin:/usr/bin:/sbin:/bin", "SPROUT_METRICS=" + dir + "/metrics", "SPROUT_MARK=" + dir + "/mark"}, env...)
	out, err := cmd.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(dir + "/metrics") // it may have measured nothing
	return cmd.ProcessState.ExitCode(), string(out), string(raw)
}

func TestNVMeSelfTest(t *testing.T) {
	const idle = `echo "Current operation  : 0"; echo "Self Test Result[0]:"; echo "  Operation Result             : `
	for _, c := range []struct {
		name, oacs, begins, log string
		status                  int
		says                    string
	}{
		{"good", "0x1f", "exit 0", idle + `0"`, 0, ""},
		{"a segment failed", "0x1f", "exit 0", idle + `0x7"`, 1, "ended badly: result 0x7"},
		{"aborted", "0x1f", "exit 0", idle + `0x2"`, 1, "ended before its time"},
		{"no record", "0x1f", "exit 0", idle + `0xf"`, 77, "no record"},
		{"one runs already, and takes a while", "0x10", "echo Device self-test in progress >&2; exit 1", `[ -e ran ] || { touch ran; echo "Current operation  : 0x1"; echo "Current Completion : 40%"; exit; }; ` + idle + `0"`, 0, ""},
		{"no test of its own", "0xf", "exit 1", "exit 1", 77, "no test of itself"},
		{"refuses", "0x10", "echo Invalid Field; exit 1", "exit 1", 1, "does not begin"},
		{"is gone", "0x10", "exit 0", "exit 1", 1, "does not say how"},
	} {
		nvme := `case $1 in id-ctrl) echo "oacs : ` + c.oacs + `";; device-self-test) ` + c.begins + `;; self-test-log) ` + c.log + `;; esac`
		status, said, figures := play(t, "smart-selftest", map[string]string{"nvme": nvme, "sleep": "exit 0"},
			"SPROUT_DEVICE=nvme0n1", "SPROUT_PATH=/dev/nvme0n1", "SPROUT_EXTENT=short")
		if status != c.status || !strings.Contains(said, c.says) || status == 0 && !strings.HasPrefix(figures, "minutes 0") {
			t.Errorf("%s: status %d, %q, figures %q", c.name, status, said, figures)
		}
	}
}

// The clock of this host is compared with that of an agent, which is the same; and with
// one that runs at half the speed.
func TestClock(t *testing.T) {
	peer := agent(t)
	env := []string{"SPROUT_AGENT=" + peer.URL, "SPROUT_TOKEN=" + peer.Token, "SPROUT_RUNTIME=1", "SPROUT_MOST=0"}
	status, said, figures := play(t, "clock", nil, append(env, "SPROUT_DRIFT=200000")...)
	if status != 0 || !strings.Contains(figures, "drift ") || !strings.Contains(figures, "offset 0") && !strings.Contains(figures, "offset -0") && !strings.Contains(figures, "offset -1") && !strings.Contains(figures, "offset 1") {
		t.Errorf("status %d, %q, figures %q", status, said, figures)
	}
	slow := `for a; do [ "$last" = --dump-header ] && file=$a; last=$a; done
n=$(cat n 2>/dev/null || echo 0); echo $((n + 30)) >n; printf 'HTTP/1.1 200 OK\r\nSprout-Time: %s.000\r\n' "$((1700000000 + n))" >$file`
	status, said, _ = play(t, "clock", map[string]string{"curl": slow}, append(env, "SPROUT_DRIFT=1000")...)
	if status != 1 || !strings.Contains(said, "the clock went -") {
		t.Errorf("a clock that is far too slow: status %d, %q", status, said)
	}
	if status, said, _ = play(t, "clock", map[string]string{"curl": "echo refused >&2; exit 7"}, append(env, "SPROUT_DRIFT=1000")...); status != 1 || !strings.Contains(said, "does not answer") {
		t.Errorf("no agent: status %d, %q", status, said)
	}
}

func TestPacketLoss(t *testing.T) {
	env := []string{"SPROUT_DEVICE=lo", "SPROUT_AGENT=http://127.0.0.1:8080", "SPROUT_RUNTIME=2", "SPROUT_MOST=0"}
	ip := map[string]string{"ip": "echo inet 127.0.0.1/8 scope global lo"}
	lossy := `echo "64 bytes from 127.0.0.1: seq=0 ttl=64 time=0.052 ms"; echo "100 packets transmitted, 90 packets received, 10% packet loss"`
	for _, c := range []struct {
		name    string
		ping    string
		most    string
		status  int
		says    string
		figures string
	}{
		{"real", `exec busybox ping "$@"`, "0", 0, "", "loss 0.00"},
		{"some are lost", lossy, "0", 1, "20 of 200 packets to 127.0.0.1 were lost", "loss 10.00"},
		{"that is borne", lossy, "10", 0, "", "round-trip 0.052"},
		{"no way there", `echo "ping: sendto: Network is unreachable" >&2; exit 1`, "0", 1, "no packet could be sent", ""},
	} {
		status, said, figures := play(t, "packet-loss", map[string]string{"ip": ip["ip"], "cat": `case $1 in */carrier) echo 1;; */mtu) echo 1500;; *) exec /bin/cat "$@";; esac`, "ping": c.ping}, append(env, "SPROUT_MOST="+c.most)...)
		if status != c.status || !strings.Contains(said, c.says) || !strings.Contains(figures, c.figures) {
			t.Errorf("%s: status %d, %q, figures %q", c.name, status, said, figures)
		}
	}
}

// What takes hours goes on where its mark says, with what is left only.
func TestBurnInsGoOn(t *testing.T) {
	const size = `case $1 in */size) echo 67108864;; *) exec /bin/cat "$@";; esac` // 32 GiB
	for _, c := range []struct {
		name, test, mark, program, body string
		env                             []string
		status                          int
		ran, says, figures              string
	}{
		{"memtester from the start", "memtester", "", "memtester", "", []string{"SPROUT_SHARE=1", "SPROUT_PASSES=2"}, 0, "1,1", "no errors", "errors 0"},
		{"memtester goes on", "memtester", "2 of 3 passes\n", "memtester", "", []string{"SPROUT_SHARE=1", "SPROUT_PASSES=3"}, 0, "1", "goes on after 2 of 3 passes", "errors 0"},
		{"memtester fails at once", "memtester", "", "memtester", "echo FAILURE: 0x1; exit 1", []string{"SPROUT_SHARE=1", "SPROUT_PASSES=9"}, 1, "1", "1 bad places", "errors 1"},
		{"stress", "stress", "", "stress-ng", "echo stress-ng: info: [1] cpu 1 2 3 4 500 6", []string{"SPROUT_RUNTIME=700", "SPROUT_MEMORY=5"}, 0, "300s,300s,100s", "", "operations 500.00"},
		{"stress goes on", "stress", "300 of 700 s; 2 150000\n", "stress-ng", "echo stress-ng: info: [1] cpu 1 2 3 4 500 6", []string{"SPROUT_RUNTIME=700", "SPROUT_MEMORY=5"}, 0, "300s,100s", "goes on after 300 of 700 s", "throttled 2\noperations 500.00"},
		{"stress finds something", "stress", "", "stress-ng", "echo fail: wrong result; exit 2", []string{"SPROUT_RUNTIME=700", "SPROUT_MEMORY=5"}, 1, "300s", "status 2: fail: wrong result", ""},
		{"burn-in", "disk-burn-in", "", "badblocks", ": >bad", nil, 0, "262143 0,524287 262144", "", "bad 0"},
		{"burn-in goes on", "disk-burn-in", "262144 of 524288 blocks, 0 bad\n", "badblocks", ": >bad", nil, 0, "524287 262144", "goes on after 262144 of 524288 blocks", "bad 0"},
		{"burn-in finds a bad block", "disk-burn-in", "", "badblocks", "echo 7 >bad", nil, 1, "262143 0,524287 262144", "2 blocks of 64 KiB did not keep", "bad 2"},
	} {
		ran := filepath.Join(t.TempDir(), "ran")
		words := map[string]string{"memtester": `echo "$2"`, "stress-ng": `for a; do [ "$last" = --timeout ] && echo "$a"; last=$a; done`, "badblocks": `for a; do last2=$last; last=$a; done; echo "$last2 $last"`}[c.program]
		status, said, figures := play(t, c.test, map[string]string{"mark": c.mark, c.program: "{ " + words + "; } >>" + ran + "\n" + c.body, "cat": size},
			append([]string{"SPROUT_DEVICE=vdz", "SPROUT_PATH=/dev/vdz"}, c.env...)...)
		raw, _ := os.ReadFile(ran) // it may not have run
		if got := strings.ReplaceAll(strings.TrimSpace(string(raw)), "\n", ","); status != c.status || got != c.ran || !strings.Contains(said, c.says) || !strings.Contains(figures, c.figures) {
			t.Errorf("%s: status %d, ran %q, %q, figures %q", c.name, status, got, said, figures)
		}
	}
}
