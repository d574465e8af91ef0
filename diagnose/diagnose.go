// Package diagnose names why a boot stopped, from what was seen of it. It is
// pure: the site's agent and the control plane ask it the same question, each
// with the events that it has. It must not know where events come from, nor what
// a workflow does about the answer.
package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sprout"
)

// The steps that wait for a boot, by the names that package provision gives them.
const (
	StepRamdisk = "boot-ramdisk"
	StepHome    = "phone-home"
)

// Evidence is what is known of one boot attempt.
type Evidence struct {
	Step   string             // of the workflow that waits; empty: not known
	Power  sprout.PowerState  // what the BMC says now; unknown or empty proves nothing
	NoDHCP bool               // the agent answers DHCP in no subnet of the site
	Events []sprout.BootEvent // of the attempt, the oldest first
}

// A Diagnosis is why a boot stopped.
type Diagnosis struct {
	Code     sprout.Code `json:"code"`
	Reason   string      `json:"reason"`
	Evidence string      `json:"evidence,omitempty"`
}

// Diagnose returns the cause that the first fitting rule names. False: the
// events do not tell, or the boot goes on as it should.
func Diagnose(e Evidence) (Diagnosis, bool) {
	t := read(e)
	for _, r := range rules {
		reason, proof, ok := r.fits(t)
		if ok {
			return Diagnosis{Code: r.code, Reason: reason, Evidence: evidence(proof)}, true
		}
	}
	return Diagnosis{}, false
}

// evidence writes events in one line, each with its time of day.
func evidence(proof []sprout.BootEvent) string {
	var words []string
	for _, e := range proof {
		words = append(words, Line(e))
	}
	return strings.Join(words, "; ")
}

// Line writes one event for people: 15:04:05 dhcp-offer: offers 10.0.0.7 …
func Line(e sprout.BootEvent) string {
	line := fmt.Sprintf("%s %s", e.At.UTC().Format(time.TimeOnly), e.What)
	if e.Detail != "" {
		line += ": " + e.Detail
	}
	if e.Count > 1 {
		line += fmt.Sprintf(" (%d times)", e.Count)
	}
	return line
}

// A trace is the evidence, taken apart once for all rules. An index is that of
// the last such event, -1 where there is none.
type trace struct {
	Evidence
	on       int // the BMC was told to power on
	discover int
	offer    int
	request  int
	ack      int
	other    int // another DHCP server was preferred
	full     int
	off      int // it asked where the agent answers no DHCP
	loader   int // a loader was fetched whole
	stalled  int // a transfer timed out
	ipxe     int // iPXE spoke
	script   int // any answer to the question for a script
	kernel   int // fetched whole
	initrd   int // fetched whole
	part     int // a part of kernel or initrd was fetched
	hello    int
	reboot   int // the ramdisk was told to reboot, and does
	home     int
	failed   int // an order failed
	system   int // a running system asked for an address
	// What was done with virtual media before the power-on; nil: it was not.
	inserted, fetched *sprout.BootEvent
}

// read finds the last event of each kind. What was seen before the last power-on
// is of no interest.
func read(e Evidence) *trace {
	t := &trace{Evidence: e}
	for _, i := range t.indexes() {
		*i = -1
	}
	for i, ev := range e.Events {
		switch {
		case ev.What == sprout.SawPowerOn && ev.Code == "":
			t.Events, t.on = e.Events[i:], 0
		case ev.What == sprout.SawInsertMedia && ev.Code == "":
			t.inserted = &e.Events[i]
		case ev.What == sprout.SawMedia:
			t.fetched = &e.Events[i]
		}
	}
	for i, ev := range t.Events {
		t.note(i, ev)
	}
	return t
}

func (t *trace) indexes() []*int {
	return []*int{
		&t.on, &t.discover, &t.offer, &t.request, &t.ack, &t.other, &t.full, &t.off, &t.loader, &t.stalled, &t.ipxe,
		&t.script, &t.kernel, &t.initrd, &t.part, &t.hello, &t.reboot, &t.home, &t.failed, &t.system,
	}
}

// note files one event under what it is.
func (t *trace) note(i int, e sprout.BootEvent) {
	for what, at := range map[string]*int{
		sprout.SawDiscover: &t.discover, sprout.SawOffer: &t.offer, sprout.SawRequest: &t.request, sprout.SawAck: &t.ack,
		sprout.SawOtherServer: &t.other, sprout.SawFull: &t.full, sprout.SawDHCPOff: &t.off, sprout.SawTFTPTimeout: &t.stalled,
		sprout.SawScript: &t.script, sprout.SawScriptDisk: &t.script, sprout.SawRefused: &t.script,
		sprout.SawHello: &t.hello,
		sprout.SawHome:  &t.home, sprout.SawOrderFailed: &t.failed,
	} {
		if e.What == what {
			*at = i
		}
	}
	switch {
	case (e.What == sprout.SawKernel || e.What == sprout.SawInitrd) && e.Bytes < e.Size:
		t.part = i
	case e.Fetched(sprout.SawKernel):
		t.kernel = i
	case e.Fetched(sprout.SawInitrd):
		t.initrd = i
	case e.What == sprout.SawTFTPDone && suffix(e.File) != ".cfg", isLoader(e) && e.Bytes >= e.Size:
		t.loader = i
	case e.What == sprout.SawOrderDone && e.File == string(sprout.OrderReboot):
		t.reboot = i
	}
	switch {
	case !strings.HasPrefix(e.What, "dhcp-"):
	case e.Client == "ipxe":
		t.ipxe = i
	case e.Client == "system":
		t.system = i
	}
}

// isLoader tells whether the event is a loader that was fetched by HTTP.
func isLoader(e sprout.BootEvent) bool {
	return strings.HasPrefix(e.What, "http-") && slices.Contains([]string{".efi", ".kpxe", ".0"}, suffix(e.File))
}

func suffix(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[i:]
	}
	return ""
}

// at returns the events that the indexes name, in their order, -1 left out.
func (t *trace) at(indexes ...int) []sprout.BootEvent {
	slices.Sort(indexes)
	var all []sprout.BootEvent
	for _, i := range slices.Compact(indexes) {
		if i >= 0 {
			all = append(all, t.Events[i])
		}
	}
	return all
}

// firmware is the last event in which the machine's firmware itself spoke, and
// its architecture (RFC 4578); false where it never did.
func (t *trace) firmware() (e sprout.BootEvent, arch string, ok bool) {
	for _, e := range slices.Backward(t.Events) {
		if kind, arch, found := strings.Cut(e.Client, "-"); found && (kind == "pxe" || kind == "http") {
			return e, arch, true
		}
	}
	return e, "", false
}
