package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"

	"sprout"
	"sprout/wan"
)

// envDir is set in the environment of every child, so that a later lab knows
// which processes were this one's.
const envDir = "SPROUT_LAB_DIR"

// A supervisor is a running lab.
type supervisor struct {
	config  Config
	log     *slog.Logger
	starter *starter
	rack    *rack
	wan     wan.Relays
	agent   *agentChild // nil: none
	stop    context.CancelFunc
}

// Serve runs the lab of dir until ctx ends or somebody asks it to stop, then
// takes everything down but the files. The process must have been started by Up:
// in a network namespace of its own, with host as the one it came from. Serve
// writes "ok" to ready once the lab stands, or why it does not, and closes it.
func Serve(ctx context.Context, dir string, host *os.File, ready io.WriteCloser, log *slog.Logger) error {
	err := serve(ctx, dir, host, ready, log)
	if err != nil {
		_, _ = io.WriteString(ready, err.Error()) // a closed pipe has said ok before
	}
	return errors.Join(err, closeOnce(ready))
}

func closeOnce(c io.Closer) error {
	if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func serve(ctx context.Context, dir string, host *os.File, ready io.WriteCloser, log *slog.Logger) (err error) {
	lock, err := takeLock(dir)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // only held
	config, err := ReadConfig(dir)
	if err != nil {
		return err
	}
	// The name goes last, after all that lives in the namespace.
	if err := nameNetns(config); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unnameNetns(config)) }()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &supervisor{config: config, log: log, starter: newStarter(), stop: stop}
	defer s.starter.close() // after every child
	if err := s.build(host); err != nil {
		return errors.Join(err, s.teardown())
	}
	return errors.Join(s.run(ctx, ready), s.teardown())
}

// build makes network, link and rack.
func (s *supervisor) build(host *os.File) error {
	environ := append(os.Environ(), envDir+"="+s.config.Dir)
	bridge, err := buildNetwork(s.config)
	if err != nil {
		return err
	}
	s.rack = &rack{
		lab: s.config.Name, dir: rackPath(s.config.Dir), address: s.config.Address.Addr(), bridge: bridge,
		starter: s.starter, environ: environ, log: s.log, slots: map[string]*slot{},
	}
	if len(s.config.Agent) > 0 {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("cannot find our own executable: %w", err)
		}
		s.agent = &agentChild{
			dir: s.config.Dir, argv: append([]string{self}, s.config.Agent...), environ: environ,
			starter: s.starter, log: s.log, wake: make(chan struct{}, 1),
		}
	}
	if err := s.leadWAN(host); err != nil {
		return err
	}
	return s.rack.load()
}

// leadWAN relays each address of the control plane from inside the lab to the
// host's own network, at the same address.
func (s *supervisor) leadWAN(host *os.File) error {
	dial := func(ctx context.Context, address string) (net.Conn, error) { return dialHost(ctx, host, address) }
	for _, address := range s.config.WAN {
		r, err := wan.Listen(address, wan.Weather{}, 0, dial)
		if err != nil {
			return fmt.Errorf("cannot lead the WAN to %s: %w", address, err)
		}
		r.Lead(address)
		s.wan = append(s.wan, r)
	}
	s.log.Info("WAN is up", "to", s.config.WAN)
	return nil
}

// run keeps the lab up until ctx ends.
func (s *supervisor) run(ctx context.Context, ready io.WriteCloser) error {
	control, err := listen(socketPath(s.config.Dir))
	if err != nil {
		return err
	}
	var children sync.WaitGroup
	if s.agent != nil {
		children.Go(func() { s.agent.keep(ctx) })
	}
	server := s.control()
	children.Go(func() { _ = server.Serve(control) }) // ends with Close
	s.log.Info("lab is up", "name", s.config.Name, "address", s.config.Address, "pid", os.Getpid())
	_, err = io.WriteString(ready, "ok")
	if err = errors.Join(err, closeOnce(ready)); err == nil {
		<-ctx.Done()
	}
	s.log.Info("lab goes down")
	s.stop()
	err = errors.Join(err, server.Close())
	children.Wait()
	return err
}

// teardown ends what build began; a second time does nothing.
func (s *supervisor) teardown() error {
	var err error
	if s.rack != nil {
		err = s.rack.close()
	}
	s.wan.Close()
	return err
}

// listen opens the control socket, for its owner only. The lock is ours, so an
// old socket is nobody's.
func listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	return l, os.Chmod(path, 0o600)
}

// status is how the lab is.
func (s *supervisor) status() Status {
	weather, up := s.wan.State()
	status := Status{
		Name: s.config.Name, Dir: s.config.Dir, Address: s.config.Address, PID: os.Getpid(),
		WAN: WAN{To: s.config.WAN, Up: up, Delay: weather.Delay}, Machines: s.rack.list(),
	}
	if s.agent != nil {
		status.Agent = &AgentStatus{Log: AgentLogPath(s.config.Dir)}
		status.Agent.PID, status.Agent.Starts = s.agent.state()
	}
	return status
}

// agentOr returns the agent, or an error where the lab has none.
func (s *supervisor) agentOr() (*agentChild, error) {
	if s.agent == nil {
		return nil, sprout.Errorf(sprout.Conflict, "lab %s was started without an agent", s.config.Name)
	}
	return s.agent, nil
}
