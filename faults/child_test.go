package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sprout/agent"
	"sprout/bus"
	"sprout/faults/lossy"
	"sprout/provision"
	"sprout/server"
	"sprout/store"
	"sprout/workflow"
)

// childVariable makes this binary one of the processes that are broken, in place
// of running tests: a child as JSON.
const childVariable = "SPROUT_FAULTS_CHILD"

// A child is what one process is to be.
type child struct {
	Role     string // server, nats or agent
	Name     string // of its log
	Dir      string // of its data
	Gate     string // socket of the gatekeeper
	Database string
	Listen   string // of the API, or of NATS
	Bus      string // URL of NATS; empty: the server embeds it, at BusAt
	BusAt    string
	Token    string // of enrolment
	Agent    agent.Config
}

func TestMain(m *testing.M) {
	if raw := os.Getenv(childVariable); raw != "" {
		os.Exit(beChild(raw))
	}
	os.Exit(m.Run())
}

// beChild is the process until a signal; it returns its exit code.
func beChild(raw string) int {
	var c child
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := json.Unmarshal([]byte(raw), &c)
	if err == nil {
		err = map[string]func(context.Context, *slog.Logger) error{"server": c.serve, "nats": c.carry, "agent": c.manage}[c.Role](ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, c.Name+":", err)
		return 1
	}
	return 0
}

func ready() { fmt.Println("ready") }

// serve is a replica of the control plane.
func (c child) serve(ctx context.Context, log *slog.Logger) error {
	config := server.Defaults()
	config.Dir, config.Listen, config.Log, config.TLS.Disable = c.Dir, c.Listen, log, true
	config.Database.URL, config.Gate = c.Database, c.gate("centre")
	config.Bus = server.BusConfig{Listen: c.BusAt, URL: c.Bus, Plain: c.Bus == ""}
	s, err := server.New(ctx, config)
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-s.Started():
			ready()
		case <-ctx.Done():
		}
	}()
	return s.Run(ctx)
}

// carry is NATS alone. Its keys are in the database.
func (c child) carry(ctx context.Context, log *slog.Logger) error {
	key, err := store.OpenKey(filepath.Join(c.Dir, "key"))
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, c.Database, 6, store.Config{Key: key})
	if err != nil {
		return err
	}
	err = store.Migrate(ctx, s.Pool(), log)
	var keys bus.Keys
	if err == nil {
		keys, err = server.BusKeys(ctx, s)
	}
	s.Close()
	if err != nil {
		return err
	}
	hub, err := bus.StartServer(bus.Config{Dir: filepath.Join(c.Dir, "streams"), Listen: c.Listen, Keys: keys, Log: log})
	if err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	hub.Close(context.WithoutCancel(ctx))
	return nil
}

// manage is a site's agent.
func (c child) manage(ctx context.Context, log *slog.Logger) error {
	config := c.Agent
	config.Log, config.Token, config.Gate = log, c.Token, c.gate("site")
	if config.Token == "" {
		config.Token = "none: it has enrolled"
	}
	if err := lossy.Record(config.DataDir, c.kept()); err != nil {
		return err
	}
	ready()
	return agent.Run(ctx, config)
}

// kept is where an agent keeps what it has synced.
func (c child) kept() string { return c.Agent.DataDir + ".synced" }

// gate asks the gatekeeper before a step's outcome is saved, and waits for its
// leave. Without a gatekeeper steps pass.
func (c child) gate(at string) workflow.Gate {
	var dialer net.Dialer
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", c.Gate)
	}}}
	return func(ctx context.Context, run workflow.Run, done bool) {
		id, err := provision.MachineOf(run)
		if err != nil || !done || run.State != "running" {
			return
		}
		raw, _ := json.Marshal(pass{Machine: string(id), place: place{Kind: run.Kind, At: at, Step: run.StepName}}) // of our own types
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gate/", bytes.NewReader(raw))
		if err != nil {
			return
		}
		if resp, err := web.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
}

// A process is a child that runs.
type process struct {
	child
	log *os.File
	cmd *exec.Cmd
}

// startWithin is how long a process may take to say that it works.
const startWithin = 3 * time.Minute

// start starts the process and returns once it says that it works. What it needs
// may have been killed too: it is tried again.
func (p *process) start() error {
	for until := time.Now().Add(startWithin); ; {
		err := p.tryStart()
		if err == nil || time.Now().After(until) {
			return err
		}
	}
}

func (p *process) tryStart() error {
	raw, err := json.Marshal(p.child)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(raw))
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	said := make([]byte, 64)
	n, _ := out.Read(said)
	if strings.TrimSpace(string(said[:n])) != "ready" {
		p.kill()
		return errors.New(p.Name + " does not start; its log is " + p.log.Name())
	}
	return nil
}

// kill ends the process at once, and it says goodbye to nobody.
func (p *process) kill() {
	if p.cmd != nil && p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

func (p *process) pids() []int { return []int{p.cmd.Process.Pid} }

// signalAll sends a signal to each process.
func signalAll(pids []int, sig syscall.Signal) error {
	var all []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
