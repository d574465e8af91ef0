// Package boot decides what a machine boots and serves it: the iPXE script that
// names the ramdisk or sends the machine to its disk, and the files. It knows
// boot intents, and must not know why a workflow wants one.
package boot

import (
	"fmt"
	"net/netip"
	"time"

	"sprout"
)

// An Action is what a machine that asks is told to do.
type Action string

const (
	// Ramdisk: boot it, with the token of the intent.
	Ramdisk Action = "ramdisk"
	// Discover: start a discovery and boot the ramdisk with its token.
	Discover Action = "discover"
	// LocalDisk: go on in the firmware's own boot order.
	LocalDisk Action = "local-disk"
	// Refuse: say nothing; it is not the machine that it says it is.
	Refuse Action = "refuse"
)

// A Request is a machine that asks what to boot.
type Request struct {
	MAC  string     // lower case, colons: who it says it is
	From netip.Addr // where it asks from
	// At is the MAC that has From on the agent's own link; empty: From is on no link
	// of the agent's.
	At string
}

// A Site is all that a decision looks at besides the request.
type Site struct {
	Ledger        Ledger
	AllowUnleased bool // see Config
	Now           time.Time
}

// An Answer is what to boot, and why.
type Answer struct {
	Action Action
	Intent sprout.Intent // of Ramdisk
	Name   string        // of the machine; empty: unknown
	Reason string
}

// Decide says what the machine shall boot, and why. It is pure: it reads the
// site and changes nothing.
func Decide(r Request, s Site) Answer {
	sub, ok := s.Ledger.SubnetOf(r.From)
	if !ok {
		return refuse("%s is in no subnet of the site", r.From)
	}
	if wrong := s.stranger(r); wrong != "" {
		return refuse("%s", wrong)
	}
	if m, ok := s.Ledger.MachineByMAC(r.MAC); ok {
		return s.known(m)
	}
	if !sub.Discover {
		return Answer{Action: LocalDisk, Reason: fmt.Sprintf("this machine is unknown and %s does not allow discovery", sub.CIDR)}
	}
	return Answer{Action: Discover, Reason: "this machine is unknown: it is to be discovered"}
}

// known is the answer to a machine of the site.
func (s *Site) known(m sprout.SiteMachine) Answer {
	intent, ok := s.Ledger.Intent(m.ID)
	switch {
	case !ok:
		return Answer{Action: LocalDisk, Name: m.Name, Reason: m.Name + " has no boot intent: it boots its disk"}
	case !intent.ExpiresAt.After(s.Now):
		return Answer{Action: LocalDisk, Name: m.Name, Reason: fmt.Sprintf(
			"the intent of %s to %s ran out at %s: it boots its disk", m.Name, intent.Purpose, intent.ExpiresAt.UTC().Format(time.TimeOnly))}
	}
	return Answer{Action: Ramdisk, Intent: intent, Name: m.Name, Reason: fmt.Sprintf("%s boots the ramdisk to %s", m.Name, intent.Purpose)}
}

// stranger says why the request may not be from the MAC that it names; empty:
// it asks from the address that is leased to or reserved for that MAC, and on the
// agent's own link has that MAC. A MAC or an address alone proves nothing, and the
// answer may hold a token.
func (s *Site) stranger(r Request) string {
	if r.At != "" && r.At != r.MAC {
		return fmt.Sprintf("%s is used by %s, not by %s", r.From, r.At, r.MAC)
	}
	lease, leased := s.Ledger.LeaseByIP(r.From)
	leased = leased && lease.State == "bound" && lease.ExpiresAt.After(s.Now)
	if leased && lease.MAC == r.MAC {
		return ""
	}
	if leased {
		return fmt.Sprintf("%s is leased to %s, not to %s", r.From, lease.MAC, r.MAC)
	}
	if res, ok := s.Ledger.Reservation(r.MAC); ok && res.IP == r.From {
		return ""
	}
	if s.AllowUnleased {
		return ""
	}
	return fmt.Sprintf("%s is neither leased to nor reserved for %s", r.From, r.MAC)
}

func refuse(format string, args ...any) Answer {
	return Answer{Action: Refuse, Reason: fmt.Sprintf(format, args...)}
}
