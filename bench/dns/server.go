package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server is one of those that are measured: its own process group.
type server struct {
	name  string
	port  int
	args  []string
	dir   string
	cmd   *exec.Cmd
	rates []float64 // answers a second, a turn each
	costs []float64 // microseconds of its CPU an answer, a turn each
}

// start runs the server and waits until it answers.
func (s *server) start(ctx context.Context) error {
	log, err := os.Create(filepath.Join(s.dir, s.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has it
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", s.name, err)
	}
	for until := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		out, _ := exec.CommandContext(ctx, "dig", "@127.0.0.1", "-p", strconv.Itoa(s.port), "+short", "+tries=1", "+time=1", hostName(0)).Output()
		if strings.TrimSpace(string(out)) == hostIP(0).String() {
			return nil
		}
		if time.Now().After(until) || ctx.Err() != nil {
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s does not answer: %s", s.name, said)
		}
	}
}

// stop ends the group that start made.
func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		_ = s.cmd.Wait()
	}
}

// cpu is what the group has used of the processors.
func (s *server) cpu() (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	ticks := 0
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 || fields[2] != strconv.Itoa(s.cmd.Process.Pid) {
			continue
		}
		for _, f := range fields[11:13] {
			n, err := strconv.Atoi(f)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100
}

// completed is how dnsperf says how much was answered.
var completed = regexp.MustCompile(`Queries completed:\s+(\d+)`)

// measure has dnsperf ask a server for a while.
func (b *trial) measure(ctx context.Context, s *server) error {
	before, err := s.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	out, err := exec.CommandContext(ctx, "dnsperf", "-s", "127.0.0.1", "-p", strconv.Itoa(s.port), "-d", filepath.Join(b.dir, "queries"),
		"-l", strconv.Itoa(int(b.each.Seconds())), "-c", "8", "-T", "1", "-q", "200").CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return fmt.Errorf("cannot measure %s: %w: %s", s.name, err, out)
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	found := completed.FindSubmatch(out)
	if found == nil {
		return fmt.Errorf("dnsperf does not say what was completed: %s", out)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || n == 0 {
		return fmt.Errorf("%s answered nothing: %s", s.name, out)
	}
	s.rates = append(s.rates, n/took.Seconds())
	s.costs = append(s.costs, float64((after-before).Microseconds())/n)
	fmt.Fprintf(os.Stderr, "%-8s %8.0f answers/s %6.2f µs\n", s.name, s.rates[len(s.rates)-1], s.costs[len(s.costs)-1])
	return nil
}

func (b *trial) sprout() *server {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return &server{name: "sprout", port: 5301, dir: b.dir, args: []string{self, "serve", "127.0.0.1:5301"}}
}

// nsd runs with as many processes as there are processors, a socket each, and
// answers one client as fast as it asks.
func (b *trial) nsd() *server {
	return &server{name: "nsd", port: 5302, dir: b.dir, args: []string{"nsd", "-d", "-c", b.file("nsd.conf")}}
}

func (b *trial) nsdConfig() string {
	zones := ""
	for _, z := range []string{domain, reverse} {
		zones += fmt.Sprintf("zone:\n name: %s\n zonefile: %s\n", z, b.file(z))
	}
	return fmt.Sprintf(`server:
 server-count: %d
 reuseport: yes
 rrl-ratelimit: 0
 ip-address: 127.0.0.1@5302
 username: ""
 chroot: ""
 zonesdir: %q
 database: ""
 pidfile: ""
 xfrdfile: ""
 zonelistfile: %q
remote-control:
 control-enable: no
%s`, runtime.NumCPU(), b.dir, b.file("zone.list"), zones)
}

// peer is CoreDNS, with a socket for each processor.
func (b *trial) peer() *server {
	return &server{name: "coredns", port: 5303, dir: b.dir, args: []string{b.coredns, "-conf", b.file("Corefile"), "-quiet"}}
}

func (b *trial) corefile() string {
	config := ""
	for _, z := range []string{domain, reverse} {
		config += fmt.Sprintf("%s:5303 {\n multisocket %d\n file %s\n}\n", z, runtime.NumCPU(), b.file(z))
	}
	return config
}

func (b *trial) file(name string) string { return filepath.Join(b.dir, name) }
