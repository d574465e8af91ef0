package scenario_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"sprout/agent"
)

// apartEnv names the file with the configuration of an agent that this binary
// shall be, in place of running tests.
const apartEnv = "SPROUT_STORY_AGENT"

// beAgent is the agent in a process of its own, which can be killed for real.
// It returns its exit code.
func beAgent(file string) int {
	raw, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var config agent.Config
	if err := json.Unmarshal(raw, &config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	config.Log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", "agent", "apart", true)
	if err := agent.Run(context.Background(), config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// spawn starts the agent in a process of its own. To stop it is to kill it
// (SIGKILL): it saves nothing and says goodbye to nobody.
func (s *story) spawn(config agent.Config) (*process, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, config.Name+".json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), apartEnv+"="+file, "SPROUT_AGENT_TOKEN="+config.Token, "GORACE=halt_on_error=1")
	cmd.Stdout, cmd.Stderr = s.logged, s.logged
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cancel: func() { _ = cmd.Process.Signal(syscall.SIGKILL) }, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	return p, nil
}
