package builtin6

import (
	"fmt"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
	"sprout/dhcp/builtin"
)

// tell writes down what came and what was done: two boot events, the message and
// the answer, under the same names as those of IPv4. What is no part of a boot,
// as a renewal, is none.
func (s *Server) tell(r Request, a Answer, came time.Time) {
	s.config.Log.Debug("dhcpv6", "client", a.Key, "asks", r.Message.MessageType, "answer", a.Reason)
	if len(a.Other) > 0 {
		s.config.Others(a.Other)
	}
	if a.MAC == "" {
		return
	}
	if e, ok := received(r, a); ok {
		e.At = came
		s.config.Events(e)
	}
	if a.What != "" {
		s.config.Events(sprout.BootEvent{
			At: s.config.Now(), MAC: a.MAC, What: a.What, Detail: a.Reason, Client: clientOf(r.Message), IP: a.IP, File: a.BootFile,
		})
	}
}

// received is the event of a message that has something to do with a boot.
func received(r Request, a Answer) (sprout.BootEvent, bool) {
	e := sprout.BootEvent{MAC: a.MAC, From: r.client(), Client: clientOf(r.Message)}
	who := builtin.Speaker(e.Client)
	switch r.Message.MessageType {
	case dhcpv6.MessageTypeSolicit:
		e.What, e.Detail = sprout.SawDiscover, who+" asks for an IPv6 address"
		if a.What == "" {
			e.Detail += "; " + a.Reason
		}
	case dhcpv6.MessageTypeRequest:
		if a.What == "" {
			return e, false
		}
		e.What, e.Detail = sprout.SawRequest, who+" takes an IPv6 address"
	default:
		return e, false
	}
	if len(r.Relays) > 0 {
		e.Detail += ", by the relay " + r.From.Addr().String()
	}
	return e, true
}

// clientOf names who speaks in the machine, as sprout.BootEvent says.
func clientOf(m *dhcpv6.Message) string {
	f := firmwareOf(m)
	switch {
	case f.ipxe:
		return "ipxe"
	case len(f.arches) == 0:
		return "system"
	case f.http:
		return fmt.Sprintf("http-%d", f.arches[0])
	}
	return fmt.Sprintf("pxe-%d", f.arches[0])
}
