package lab

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"sprout"
	"sprout/wan"
)

// A Status is how a lab is.
type Status struct {
	Name     string       `json:"name"`
	Dir      string       `json:"dir"`
	Address  netip.Prefix `json:"address"`
	PID      int          `json:"pid"`
	WAN      WAN          `json:"wan"`
	Agent    *AgentStatus `json:"agent,omitempty"`
	Machines []Machine    `json:"machines"`
}

// A WAN is how the link to the control plane is.
type WAN struct {
	To    []string      `json:"to"`
	Up    bool          `json:"up"`
	Delay time.Duration `json:"delayNanos"` // each way
}

// An AgentStatus is how the site's agent is.
type AgentStatus struct {
	PID    int    `json:"pid,omitempty"`
	Starts int    `json:"starts"`
	Log    string `json:"log"`
}

// The bodies of what the control socket is asked.
type (
	wanRequest struct {
		Up    *bool          `json:"up,omitempty"`
		Delay *time.Duration `json:"delayNanos,omitempty"`
	}
	linkRequest struct {
		NIC int  `json:"nic"`
		Up  bool `json:"up"`
	}
	failure struct {
		Kind    sprout.Kind `json:"kind"`
		Field   string      `json:"field,omitempty"`
		Message string      `json:"message"`
		Remedy  string      `json:"remedy,omitempty"`
	}
)

// control is the server behind the control socket.
func (s *supervisor) control() *http.Server {
	mux := http.NewServeMux()
	handle(mux, "GET /v1/status", func(context.Context, *http.Request, struct{}) (Status, error) { return s.status(), nil })
	handle(mux, "POST /v1/machines", func(_ context.Context, _ *http.Request, spec Spec) (Machine, error) { return s.rack.plug(spec) })
	machine := func(pattern string, do func(ctx context.Context, name string) error) {
		handle(mux, pattern, func(ctx context.Context, r *http.Request, _ struct{}) (struct{}, error) {
			return struct{}{}, do(ctx, r.PathValue("name"))
		})
	}
	machine("DELETE /v1/machines/{name}", func(_ context.Context, name string) error { return s.rack.remove(name) })
	machine("POST /v1/machines/{name}/cut", s.rack.cut)
	machine("POST /v1/machines/{name}/power-on", s.rack.powerOn)
	handle(mux, "POST /v1/machines/{name}/link", func(ctx context.Context, r *http.Request, l linkRequest) (struct{}, error) {
		return struct{}{}, s.rack.setLink(ctx, r.PathValue("name"), l.NIC, l.Up)
	})
	handle(mux, "POST /v1/wan", func(_ context.Context, _ *http.Request, w wanRequest) (struct{}, error) {
		return struct{}{}, s.setWAN(w)
	})
	for verb, do := range map[string]func(*agentChild){"kill": (*agentChild).kill, "stop": (*agentChild).stop, "start": (*agentChild).start} {
		handle(mux, "POST /v1/agent/"+verb, func(context.Context, *http.Request, struct{}) (struct{}, error) {
			a, err := s.agentOr()
			if err == nil {
				do(a)
			}
			return struct{}{}, err
		})
	}
	handle(mux, "POST /v1/down", func(context.Context, *http.Request, struct{}) (struct{}, error) {
		s.stop()
		return struct{}{}, nil
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
}

func (s *supervisor) setWAN(w wanRequest) error {
	switch {
	case w.Delay != nil && *w.Delay < 0:
		return sprout.InvalidField("delay", "cannot make the WAN faster than it is")
	case w.Delay != nil:
		s.wan.Turn(wan.Weather{Delay: *w.Delay})
		s.log.Info("WAN delay", "each way", *w.Delay)
	}
	switch {
	case w.Up == nil:
		return nil
	case *w.Up:
		s.wan.Heal()
	default:
		s.wan.Cut()
	}
	s.log.Info("WAN", "up", *w.Up)
	return nil
}

// handle decodes the request's JSON, calls do, and encodes what it returns.
func handle[In, Out any](mux *http.ServeMux, pattern string, do func(ctx context.Context, r *http.Request, in In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		var out any
		err := error(nil)
		if r.ContentLength != 0 {
			err = json.NewDecoder(r.Body).Decode(&in)
		}
		if err != nil {
			err = sprout.Errorf(sprout.Invalid, "cannot read the request: %v", err)
		} else {
			// What was asked is done also when whoever asked has left.
			out, err = do(context.WithoutCancel(r.Context()), r, in)
		}
		status := http.StatusOK
		if err != nil {
			status, out = http.StatusInternalServerError, describe(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out) // a client that left is no concern of ours
	})
}

func describe(err error) failure {
	f := failure{Kind: sprout.KindOf(err), Message: err.Error()}
	var known *sprout.Error
	if errors.As(err, &known) {
		f.Field, f.Message, f.Remedy = known.Field, known.Message, known.Remedy
	}
	return f
}
