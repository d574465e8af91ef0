package redfish

import (
	"cmp"
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
				Args       []any  `json:"MessageArgs"`
			} `json:"@Message.ExtendedInfo"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	var words []string
	for _, i := range e.Error.Info {
		said := strings.TrimSpace(i.MessageID + " " + i.Message + " " + i.Resolution)
		if i.Message == "" && len(i.Args) > 0 { // else they are in it
			said += fmt.Sprintf(" %v", i.Args)
		}
		words = append(words, said)
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
func (p *Driver) task(ctx context.Context, accepted *response) (*response, error) {
	at := accepted.header.Get("Location")
	if at == "" {
		at = linkOf(accepted.body)
	}
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

// linkOf is where a task is found whose BMC says so in the body alone.
func linkOf(body []byte) string {
	var t struct {
		Monitor string `json:"TaskMonitor"`
		ID      string `json:"@odata.id"`
	}
	_ = json.Unmarshal(body, &t) // there may be none
	return cmp.Or(t.Monitor, t.ID)
}

func (p *Driver) taskEnded(res *response) (bool, error) {
	var t task
	_ = json.Unmarshal(res.body, &t) // a monitor may answer without a body
	switch t.State {
	case "Completed":
		return true, nil
	case "Exception", "Killed", "Cancelled", "Interrupted":
		var words []string
		for _, m := range t.Messages {
			words = append(words, m.Message)
		}
		return true, p.fail(sprout.BMCFailed, fmt.Sprintf("cannot do it: the BMC's task ended as %s", t.State), strings.Join(words, "; "))
	}
	return res.status != http.StatusAccepted && t.State == "", nil
}
