package kea

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"sprout"
)

// Bounds of one command: Kea reads its leases again when it is configured.
const (
	commandTakes = time.Minute
	answerMost   = 256 << 20 // bytes
)

// A channel is Kea's control socket: one command a connection, and its answer.
type channel struct{ path string }

// The results of a command (Kea's manual, section 18.1).
const (
	resultSuccess     = 0
	resultUnsupported = 2
	resultEmpty       = 3
)

// A refusal is an answer of Kea's that is no success.
type refusal struct {
	command string
	result  int
	text    string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("Kea refuses %s (result %d): %s", r.command, r.result, r.text)
}

// ask gives the command with its arguments, where it has any, and reads what it
// answers into out, where that is wanted. Errors are a *refusal, or Unavailable:
// Kea is not there.
func (c channel) ask(ctx context.Context, command string, arguments, out any) error {
	ctx, cancel := context.WithTimeout(ctx, commandTakes)
	defer cancel()
	said, err := c.exchange(ctx, command, arguments)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot %s by %s: %w", command, c.path, err)
	}
	var answer struct {
		Result    int             `json:"result"`
		Text      string          `json:"text"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if err := json.Unmarshal(said, &answer); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot read Kea's answer to %s: %w", command, err)
	}
	if answer.Result != resultSuccess {
		return &refusal{command, answer.Result, answer.Text}
	}
	if out == nil || len(answer.Arguments) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer.Arguments, out); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot read Kea's answer to %s: %w", command, err)
	}
	return nil
}

func (c channel) exchange(ctx context.Context, command string, arguments any) ([]byte, error) {
	request := map[string]any{"command": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	raw, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // the answer counts
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write(raw); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(conn, answerMost))
}

// unreachable says why Kea cannot be talked to, and what helps.
func unreachable(socket string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "Kea's control socket is not there: start kea-dhcp4-server, with this control-socket in its configuration"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("the agent may not use Kea's control socket: let user %d write %s", os.Getuid(), socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Kea's control socket is there and nobody listens: start kea-dhcp4-server"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "Kea does not answer on its control socket"
	}
	return "Kea cannot be talked to"
}
