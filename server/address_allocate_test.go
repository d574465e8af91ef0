package server_test

import (
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/api"
	"sprout/client"
)

// beating has the site's agent be online.
func (q *squat) beating(t *testing.T, f *far) {
	t.Helper()
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		for t.Context().Err() == nil && sprout.Pause(t.Context(), time.Second) == nil {
			f.beat()
		}
	}()
	t.Cleanup(func() { <-beating })
	eventually(t, func() (sprout.Agent, error) {
		f.beat()
		return client.Call(t.Context(), q.admin, api.AgentShow, api.AgentRef{Agent: "lon1"})
	}, func(a sprout.Agent) bool { return a.Online })
}

// An address that Sprout chooses is one for which nobody answers. Those for which
// somebody does are in quarantine, with the MAC address, and none of them is left
// allocated; one that is named is given out as it is.
func TestAllocatedAddressesAreProbed(t *testing.T) {
	q := newSquat(t)
	allocate := func(want func(b *api.AllocateAddress)) (api.GivenAddresses, error) {
		var in api.AllocateAddress
		in.Body.Subnet = "lon1/n1"
		want(&in)
		return client.Call(t.Context(), q.admin, api.AddressAllocate, in)
	}
	any := func(*api.AllocateAddress) {}
	if first := must(allocate(any))(t); first.Items[0].IP.String() != "10.0.0.1" || !strings.Contains(first.Unprobed, "is offline") {
		t.Errorf("while the agent is away: %+v", first)
	}
	q.beating(t, q.agent)
	eventually(t, func() (sprout.AddressProbe, error) { return q.probe(t, "10.0.0.2") }, func(p sprout.AddressProbe) bool { return p.State == sprout.ProbeFree })
	q.comes("10.0.0.2", "10.0.0.4")
	if got := must(allocate(any))(t); got.Items[0].IP.String() != "10.0.0.3" || got.Unprobed != "" {
		t.Errorf("got %+v", got)
	}
	if got := must(allocate(func(in *api.AllocateAddress) { in.Body.Count = 3 }))(t); got.Items[0].IP.String() != "10.0.0.5" || len(got.Items) != 3 {
		t.Errorf("three: got %+v", got)
	}
	if got := q.quarantined(t); got != "10.0.0.2 60m, 10.0.0.4 60m" {
		t.Errorf("in quarantine are %s", got)
	}
	for _, p := range must(client.Call(t.Context(), q.admin, api.ProblemList, api.ListProblems{}))(t).Items {
		if p.Code == sprout.AddressTaken && !strings.Contains(p.Reason, "used by 52:54:00:09:09:") {
			t.Errorf("the problem is %+v", p)
		}
	}
	q.comes("10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11", "10.0.0.12")
	if got := must(allocate(func(in *api.AllocateAddress) { in.Body.IP = "10.0.0.8" }))(t); got.Items[0].IP.String() != "10.0.0.8" {
		t.Errorf("one that is named: got %+v", got)
	}
	if got := must(allocate(func(in *api.AllocateAddress) { in.Body.NoProbe = true }))(t); got.Items[0].IP.String() != "10.0.0.9" {
		t.Errorf("unprobed: got %+v", got)
	}
	before := q.allocated(t)
	q.comes("10.0.0.13")
	if got, err := allocate(any); sprout.KindOf(err) != sprout.Conflict || !strings.Contains(err.Error(), "10.0.0.13 is used by 52:54:00:09:09:") {
		t.Errorf("with strangers everywhere: %+v, %v", got, err)
	}
	if after := q.allocated(t); after != before {
		t.Errorf("what was refused left %s, before there were %s", after, before)
	}
	q.refuse(sprout.Errorf(sprout.Unavailable, "cannot look now"))
	if got := must(allocate(any))(t); got.Items[0].IP.String() != "10.0.0.14" || got.Unprobed == "" {
		t.Errorf("an agent that cannot look: got %+v", got)
	}
	if got := must(allocate(func(in *api.AllocateAddress) { in.Body.Count = 65 }))(t); len(got.Items) != 65 || !strings.Contains(got.Unprobed, "more than 64") {
		t.Errorf("many: %d, %q", len(got.Items), got.Unprobed)
	}
}

// comes has somebody use addresses, each by a MAC address of its own.
func (q *squat) comes(ips ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, ip := range ips {
		q.strangers[ip] = "52:54:00:09:09:" + ip[len(ip)-1:] + "0"
	}
}

// allocated lists what is given out.
func (q *squat) allocated(t *testing.T) string {
	t.Helper()
	var all []string
	for _, a := range must(client.List(t.Context(), q.admin, api.AddressList, api.ListAddresses{}, 0))(t) {
		if a.Kind == "manual" {
			all = append(all, a.IP.String())
		}
	}
	return strings.Join(all, " ")
}
