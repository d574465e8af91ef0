package redfish

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"sprout"
)

// extendedError joins the messages of a Redfish error body (DSP0266 section
// 8.6), or returns "".
func extendedError(body []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
			Info    []struct {
				Message    string `json:"Message"`
				MessageID  string `json:"MessageId"`
				Resolution string `json:"Resolution"`
			} `json:"@Message.ExtendedInfo"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	var words []string
	for _, i := range e.Error.Info {
		words = append(words, strings.TrimSpace(i.MessageID+" "+i.Message+" "+i.Resolution))
	}
	if len(words) == 0 {
		return e.Error.Message
	}
	return strings.Join(words, "; ")
}

type task struct {
	State    string `json:"TaskState"`
	Messages []struct {
		Message string `json:"Message"`
	} `json:"Messages"`
}

// task follows the task monitor of a 202 answer until the work is done (DSP0266
// section 12.2). A monitor that is gone has ended; whoever called verifies.
func (p *Provider) task(ctx context.Context, accepted *response) (*response, error) {
	at := accepted.header.Get("Location")
	if at == "" {
		return accepted, nil
	}
	for range maxTaskPoll {
		if err := p.pause(ctx, retryAfter(accepted.header, p.config.Poll)); err != nil {
			return nil, p.fail(sprout.BMCFailed, "cannot wait for the BMC's task: "+err.Error(), accepted.what)
		}
		res, err := p.persist(ctx, request{method: http.MethodGet, path: at})
		switch {
		case err != nil:
			return nil, err
		case res.status == http.StatusNotFound || res.status == http.StatusGone:
			return res, nil
		case res.status >= 300:
			return nil, p.refusal(res)
		}
		if done, err := p.taskEnded(res); done || err != nil {
			return res, err
		}
	}
	return nil, p.fail(sprout.BMCFailed, "cannot wait for the BMC's task any longer", accepted.what)
}

func (p *Provider) taskEnded(res *response) (bool, error) {
	var t task
	_ = json.Unmarshal(res.body, &t) // a monitor may answer without a body
	switch t.State {
	case "Completed":
		return true, nil
	case "Exception", "Killed", "Cancelled":
		var words []string
		for _, m := range t.Messages {
			words = append(words, m.Message)
		}
		return true, p.fail(sprout.BMCFailed, fmt.Sprintf("cannot do it: the BMC's task ended as %s", t.State), strings.Join(words, "; "))
	}
	return res.status != http.StatusAccepted && t.State == "", nil
}
