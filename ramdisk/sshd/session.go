package sshd

import (
	"errors"
	"io"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// A session is one channel: requests come until a shell or a command is started
// (RFC 4254 section 6).
type session struct {
	*Server
	ssh.Channel
	terminal *terminal // nil: none was asked for
	term     string
	cmd      *exec.Cmd
}

// The payloads of requests, as RFC 4254 lays them out.
type (
	ptyRequest struct { // section 6.2
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	windowChange struct{ Columns, Rows, Width, Height uint32 } // section 6.7
	execRequest  struct{ Command string }                      // section 6.5
	exitStatus   struct{ Status uint32 }                       // section 6.10
)

// session answers the requests of one channel until it is over. The end of the
// client ends the shell: its terminal hangs up, or its input ends.
func (s *Server) session(channel ssh.Channel, asked <-chan *ssh.Request) {
	one := &session{Server: s, Channel: channel}
	defer channel.Close() //nolint:errcheck // over
	ended := make(chan struct{})
	for r := range asked {
		ok := one.answer(r, ended)
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
	if one.terminal != nil {
		one.terminal.hangUp()
	}
	if one.cmd == nil {
		return
	}
	select {
	case <-ended: // its number may be another's by now
	default:
		one.end(ended)
	}
}

// hangUpWait is how long what a client left running may take to end by itself.
const hangUpWait = 3 * time.Second

// end ends the command of a client that is gone: by SIGHUP, as a lost line does,
// and what ignores that by force.
func (s *session) end(ended <-chan struct{}) {
	group := -s.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGHUP)
	select {
	case <-ended:
	case <-time.After(hangUpWait):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-ended
	}
}

func (s *session) answer(r *ssh.Request, ended chan struct{}) bool {
	switch r.Type {
	case "pty-req":
		var p ptyRequest
		if s.terminal != nil || s.cmd != nil || ssh.Unmarshal(r.Payload, &p) != nil {
			return false
		}
		t, err := openTerminal()
		if err != nil {
			s.config.Log.Error("SSH: no terminal", "why", err)
			return false
		}
		s.terminal, s.term = t, p.Term
		t.resize(p.Columns, p.Rows)
		return true
	case "window-change":
		var w windowChange
		if s.terminal == nil || ssh.Unmarshal(r.Payload, &w) != nil {
			return false
		}
		s.terminal.resize(w.Columns, w.Rows)
		return true
	case "shell":
		return s.start(s.config.Command, ended)
	case "exec":
		var e execRequest
		if ssh.Unmarshal(r.Payload, &e) != nil {
			return false
		}
		return s.start(append(append([]string{}, s.config.Command...), "-c", e.Command), ended)
	}
	return false // env, subsystems and the like
}

// start runs a command, and tells the client how it ended.
func (s *session) start(command []string, ended chan struct{}) bool {
	if s.cmd != nil || len(command) == 0 {
		return false
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Dir = s.config.Env, s.config.Dir
	cmd.WaitDelay = hangUpWait // what it left in the background may hold its output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var input io.WriteCloser
	var err error
	if s.terminal != nil {
		cmd.Env = append(append([]string{}, cmd.Env...), "TERM="+s.term)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = s.terminal.slave, s.terminal.slave, s.terminal.slave
		cmd.SysProcAttr.Setctty = true
	} else {
		cmd.Stdout, cmd.Stderr = s.Channel, s.Stderr()
		input, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.config.Log.Error("SSH: cannot run", "command", command[0], "why", err)
		return false
	}
	s.cmd = cmd
	go s.run(input, ended)
	return true
}

// run moves bytes between the client and the command until that has ended.
func (s *session) run(input io.WriteCloser, ended chan struct{}) {
	defer close(ended)
	shown := make(chan struct{})
	if t := s.terminal; t != nil {
		_ = t.slave.Close() // the command has its own
		go func() { _, _ = io.Copy(t.master, s.Channel) }()
		go func() { defer close(shown); _, _ = io.Copy(s.Channel, t.master) }()
	} else {
		go func() { _, _ = io.Copy(input, s.Channel); _ = input.Close() }()
		close(shown)
	}
	err := s.cmd.Wait()
	<-shown // a terminal is read to its end: it ends with the last program on it
	status := uint32(0)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status = uint32(exit.ExitCode()); exit.ExitCode() < 0 { // by a signal, as shells count
			status = 128 + uint32(exit.Sys().(syscall.WaitStatus).Signal())
		}
	}
	_, _ = s.SendRequest("exit-status", false, ssh.Marshal(exitStatus{status}))
	_ = s.Close()
}
