package sprout_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sprout"
)

// messages is every kind of message between control plane and sites, and the
// type that it is read into. What each has been since a version stands in
// testdata/messages/<protocol>/<name>.json: recorded once, never changed, and
// read by every later version for as long as it is not below OldestProtocol.
var messages = map[string]func() any{
	"heartbeat": func() any { return new(sprout.Heartbeat) },
	"live":      func() any { return new(sprout.Live) },

	"change-site":        change(func() any { return new(sprout.Site) }),
	"change-subnet":      change(func() any { return new(sprout.Subnet) }),
	"change-machine":     change(func() any { return new(sprout.SiteMachine) }),
	"change-reservation": change(func() any { return new(sprout.Reservation) }),
	"change-record":      change(func() any { return new(sprout.Record) }),
	"change-dns-record":  change(func() any { return new(sprout.Record) }),
	"change-dns-policy":  change(func() any { return new(sprout.DNSPolicy) }),
	"change-dns-key":     change(func() any { return new(sprout.SiteDNSKey) }),
	"change-dhcp-option": change(func() any { return new(sprout.SiteDHCPOption) }),
	"change-cancel":      change(func() any { return new(struct{}) }),
	"change-work":        change(func() any { return new(sprout.Work) }),

	"work-commission": func() any { return new(sprout.CommissionWork) },
	"work-deploy":     func() any { return new(sprout.DeployWork) },
	"work-release":    func() any { return new(sprout.ReleaseWork) },

	"fact-discovered": fact(func() any { return new(sprout.DiscoveredFact) }),
	"fact-inventory":  fact(func() any { return new(sprout.Inventory) }),
	"fact-tests":      fact(func() any { return new([]sprout.TestResult) }),
	"fact-power":      fact(func() any { return new(sprout.PowerState) }),
	"fact-rest":       fact(func() any { return new(sprout.Rest) }),
	"fact-bmc":        fact(func() any { return new(sprout.BMCFact) }),
	"fact-step":       fact(func() any { return new(sprout.StepRecord) }),
	"fact-work-ended": fact(func() any { return new(sprout.WorkResult) }),
	"fact-lease":      fact(func() any { return new(sprout.Lease) }),
	"fact-names":      fact(func() any { return new(sprout.NamesFact) }),
	"fact-boot":       fact(func() any { return new([]sprout.BootEvent) }),
}

// An envelope is a change or a fact with its body read.
type envelope[M any] struct {
	outer M
	body  any
	raw   func(*M) *json.RawMessage
}

func change(body func() any) func() any {
	return func() any {
		return &envelope[sprout.Change]{body: body(), raw: func(c *sprout.Change) *json.RawMessage { return &c.Body }}
	}
}

func fact(body func() any) func() any {
	return func() any {
		return &envelope[sprout.Fact]{body: body(), raw: func(f *sprout.Fact) *json.RawMessage { return &f.Body }}
	}
}

func (e *envelope[M]) UnmarshalJSON(raw []byte) error {
	if err := json.Unmarshal(raw, &e.outer); err != nil {
		return err
	}
	return json.Unmarshal(*e.raw(&e.outer), e.body)
}

func (e *envelope[M]) MarshalJSON() ([]byte, error) {
	raw, err := json.Marshal(e.body)
	if err != nil {
		return nil, err
	}
	*e.raw(&e.outer) = raw
	return json.Marshal(e.outer)
}

// What earlier versions say is understood whole: each field that they wrote is
// there when the message is written again. So no field was renamed, or changed
// its type, as long as its protocol is spoken.
func TestRecordedMessagesAreUnderstood(t *testing.T) {
	for protocol := sprout.OldestProtocol; protocol <= sprout.Protocol; protocol++ {
		if protocol == 1 {
			continue // as 2, but for the heartbeat's protocol, which it left out
		}
		for name, read := range messages {
			raw, err := os.ReadFile(filepath.Join("testdata", "messages", fmt.Sprint(protocol), name+".json"))
			if err != nil {
				t.Errorf("%v: record what this version says", err)
				continue
			}
			v := read()
			if err := json.Unmarshal(raw, v); err != nil {
				t.Errorf("%s of protocol %d is not understood: %v", name, protocol, err)
				continue
			}
			again, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			for _, lost := range missing("", object(t, raw), object(t, again)) {
				t.Errorf("%s of protocol %d: %s is not understood any more", name, protocol, lost)
			}
			// A later version may say more, at every place.
			if err := json.Unmarshal(more(t, raw), read()); err != nil {
				t.Errorf("%s with fields of a later version is refused: %v", name, err)
			}
		}
	}
}

// Every kind that can be said has been recorded.
func TestEveryKindOfMessageIsRecorded(t *testing.T) {
	source, err := os.ReadFile("message.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(source)) {
		for _, kind := range []string{"ChangeKind", "FactKind"} {
			_, value, ok := strings.Cut(line, " "+kind+" ")
			if !ok || !strings.Contains(value, "= \"") {
				continue
			}
			n++
			name := strings.ToLower(strings.TrimSuffix(kind, "Kind")) + "-" + strings.Split(value, `"`)[1]
			if messages[name] == nil {
				t.Errorf("%s is not among the messages of this test", name)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d kinds were found in message.go", n)
	}
}

func object(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// missing lists what of said is not in kept.
func missing(at string, said, kept any) (lost []string) {
	switch said := said.(type) {
	case map[string]any:
		got, _ := kept.(map[string]any)
		for key, v := range said {
			lost = append(lost, missing(at+"."+key, v, got[key])...)
		}
	case []any:
		got, _ := kept.([]any)
		for i, v := range said {
			var other any
			if i < len(got) {
				other = got[i]
			}
			lost = append(lost, missing(fmt.Sprintf("%s[%d]", at, i), v, other)...)
		}
	default:
		if !reflect.DeepEqual(said, kept) {
			lost = append(lost, fmt.Sprintf("%s (%v, now %v)", at, said, kept))
		}
	}
	return lost
}

// more adds a field of a later version to every object of a message.
func more(t *testing.T, raw []byte) []byte {
	t.Helper()
	var add func(v any) any
	add = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key := range v {
				v[key] = add(v[key])
			}
			v["ofALaterVersion"] = map[string]any{"list": []any{1, "two"}}
		case []any:
			for i := range v {
				v[i] = add(v[i])
			}
		}
		return v
	}
	out, err := json.Marshal(add(object(t, raw)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAgentsOfOtherProtocolsAreRefused(t *testing.T) {
	for protocol, works := range map[int]bool{-1: false, 0: true, sprout.OldestProtocol: true, sprout.Protocol: true, sprout.Protocol + 1: false} {
		if err := sprout.CheckProtocol(protocol); (err == nil) != works {
			t.Errorf("protocol %d: %v", protocol, err)
		}
	}
}
