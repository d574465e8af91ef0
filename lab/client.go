package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"sprout"
)

// A Client talks to the lab that runs in a directory.
type Client struct {
	dir  string
	http *http.Client
}

// NewClient returns a client of the lab in dir, whether it runs or not.
func NewClient(dir string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socketPath(dir))
	}
	return &Client{dir: dir, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Dir is the lab's directory.
func (c *Client) Dir() string { return c.dir }

// Status asks how the lab is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Plug racks a machine, switched off. What the spec leaves out is filled in.
func (c *Client) Plug(ctx context.Context, spec Spec) (Machine, error) {
	var m Machine
	return m, c.call(ctx, http.MethodPost, "/v1/machines", spec, &m)
}

// Machine returns one racked machine.
func (c *Client) Machine(ctx context.Context, name string) (Machine, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return Machine{}, err
	}
	for _, m := range s.Machines {
		if m.Name == name {
			return m, nil
		}
	}
	return Machine{}, sprout.Errorf(sprout.NotFound, "no machine %s is racked", name).WithRemedy("sprout lab list")
}

// Remove takes a machine out of the rack, with its disks.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/v1/machines/"+url.PathEscape(name), nil, nil)
}

// Cut takes a machine's power away at once. Its BMC lives and says Off.
func (c *Client) Cut(ctx context.Context, name string) error {
	return c.machine(ctx, name, "cut", nil)
}

// PowerOn presses a machine's power button.
func (c *Client) PowerOn(ctx context.Context, name string) error {
	return c.machine(ctx, name, "power-on", nil)
}

// SetLink plugs the network cable of a machine's nth NIC in or out.
func (c *Client) SetLink(ctx context.Context, name string, nic int, up bool) error {
	return c.machine(ctx, name, "link", linkRequest{nic, up})
}

func (c *Client) machine(ctx context.Context, name, verb string, body any) error {
	return c.call(ctx, http.MethodPost, "/v1/machines/"+url.PathEscape(name)+"/"+verb, body, nil)
}

// CutWAN drops every connection to the control plane and refuses new ones;
// HealWAN ends that.
func (c *Client) CutWAN(ctx context.Context) error { return c.wan(ctx, wanRequest{Up: new(bool)}) }

// HealWAN ends a cut.
func (c *Client) HealWAN(ctx context.Context) error {
	up := true
	return c.wan(ctx, wanRequest{Up: &up})
}

// DelayWAN makes the link slower by delay, each way; 0 ends that.
func (c *Client) DelayWAN(ctx context.Context, delay time.Duration) error {
	return c.wan(ctx, wanRequest{Delay: &delay})
}

func (c *Client) wan(ctx context.Context, w wanRequest) error {
	return c.call(ctx, http.MethodPost, "/v1/wan", w, nil)
}

// KillAgent kills the agent, which is started again.
func (c *Client) KillAgent(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/agent/kill", nil, nil)
}

// StopAgent ends the agent until StartAgent.
func (c *Client) StopAgent(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/agent/stop", nil, nil)
}

// StartAgent ends what StopAgent began.
func (c *Client) StartAgent(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/agent/start", nil, nil)
}

// down asks the supervisor to end.
func (c *Client) down(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/down", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("cannot encode a request to the lab: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, body)
	if err != nil {
		return fmt.Errorf("cannot make a request to the lab: %w", err)
	}
	res, err := c.http.Do(req)
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return sprout.Errorf(sprout.Unavailable, "cannot reach the lab in %s: %w", c.dir, ErrNoLab).WithRemedy("sprout lab up")
	case err != nil:
		return fmt.Errorf("cannot ask the lab in %s: %w", c.dir, err)
	}
	defer res.Body.Close()
	return decode(res, out)
}

func decode(res *http.Response, out any) error {
	if res.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(res.Body).Decode(&f); err != nil {
			return fmt.Errorf("cannot read the lab's answer (%s): %w", res.Status, err)
		}
		return &sprout.Error{Kind: f.Kind, Field: f.Field, Message: f.Message, Remedy: f.Remedy}
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("cannot read the lab's answer: %w", err)
	}
	return nil
}
