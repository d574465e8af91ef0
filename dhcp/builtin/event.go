package builtin

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// note writes down what came and what is done: two boot events, the packet and
// the answer. What is no part of a boot, as a renewal, is none.
func (s *Server) note(o *outgoing, r Request, a *Answer, came time.Time) {
	if s.config.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.config.Log.Debug("dhcp", "client", a.Key, "asks", r.Packet.MessageType(), "answer", a.Reason)
	}
	if a.Other.IsValid() && s.config.Others != nil {
		s.config.Others(a.Other)
	}
	if o.mac == "" || s.config.Events == nil {
		return
	}
	client := clientOf(r.Packet)
	if e, ok := received(r, a, client); ok {
		e.At = came
		o.events[0], o.told = e, 1
	}
	if a.What != "" {
		o.events[o.told] = answered(r, a, client)
		o.told++
	}
}

// tell tells of what was done, once it was.
func (s *Server) tell(o *outgoing) {
	for _, e := range o.events[:o.told] {
		if e.At.IsZero() {
			e.At = s.config.Now()
		}
		s.config.Events(e)
	}
}

// received is the event of a packet that has something to do with a boot.
func received(r Request, a *Answer, client string) (sprout.BootEvent, bool) {
	e := sprout.BootEvent{MAC: r.MAC(), From: r.From.Addr().Unmap(), Client: client}
	wants := r.address(dhcpv4.OptionRequestedIPAddress)
	switch r.Packet.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		e.What, e.Detail = sprout.SawDiscover, Speaker(e.Client)+" asks for an address"
		if a.What == "" {
			e.Detail += "; " + a.Reason
		}
	case dhcpv4.MessageTypeRequest:
		if a.What == "" {
			return e, false
		}
		e.What, e.IP, e.Detail = sprout.SawRequest, wants, Speaker(e.Client)+" takes "+show(wants)
	default:
		return e, false
	}
	if relay := field(r.Packet.GatewayIPAddr); relay.IsValid() {
		e.Detail += ", by the relay " + relay.String()
	}
	return e, true
}

// answered is the event of what is done.
func answered(r Request, a *Answer, client string) sprout.BootEvent {
	e := sprout.BootEvent{MAC: r.MAC(), What: a.What, Detail: a.Reason, Client: client, IP: a.Other}
	if a.Reply != nil {
		e.IP, e.File = field(a.Reply.YourIPAddr), bootFileOf(a.Reply)
	}
	if a.Lease != nil {
		e.IP = a.Lease.IP
	}
	return e
}

// clientOf names who speaks in the machine, as sprout.BootEvent says.
func clientOf(p *dhcpv4.DHCPv4) string {
	f := firmwareOf(p)
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

// Speaker says the same for people.
func Speaker(client string) string {
	switch client {
	case "ipxe":
		return "iPXE"
	case "system":
		return "a running system"
	}
	for _, l := range DefaultLoaders {
		if client == fmt.Sprintf("pxe-%d", l.Arch) || client == fmt.Sprintf("http-%d", l.Arch) {
			return l.Name + " firmware"
		}
	}
	return "firmware " + client
}
