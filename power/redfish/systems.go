package redfish

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"

	"sprout"
)

// A BMC that tells of more is not listened to any longer.
const (
	maxSystems = 64 // of one BMC: nodes of a chassis
	maxPorts   = 64 // of one system
)

// Greet asks the service root, which needs no login (DSP0266 section 6.1), who is
// there, once. BMCUnreachable: nobody; BMCFailed: something that is no Redfish service.
func (p *Driver) Greet(ctx context.Context) (sprout.BMCAbout, error) {
	res, err := p.once(ctx, request{method: http.MethodGet, path: rootPath, open: true})
	if err != nil {
		return sprout.BMCAbout{}, err
	}
	var r root
	if res.status >= 300 || p.decode(res, &r) != nil || r.Version == "" {
		return sprout.BMCAbout{}, p.fail(sprout.BMCFailed, "it answers, and is no Redfish service", res.what)
	}
	return sprout.BMCAbout{Vendor: r.Vendor, Model: r.Product}, nil
}

// Systems reads every ComputerSystem of the service, with the addresses of its
// network ports.
func (p *Driver) Systems(ctx context.Context) (all []sprout.FoundSystem, err error) {
	var r root
	if err := p.get(ctx, rootPath, &r); err != nil {
		return nil, err
	}
	if r.Systems.ID == "" {
		return nil, p.fail(sprout.BMCFailed, "cannot find a system: the BMC has no Systems collection", p.base.String()+rootPath)
	}
	var systems collection
	if err := p.get(ctx, r.Systems.ID, &systems); err != nil {
		return nil, err
	}
	firmware := map[string]string{} // of managers, by path: nodes may share one
	for _, member := range systems.Members[:min(len(systems.Members), maxSystems)] {
		s, _, err := p.systemAt(ctx, member.ID)
		if err != nil {
			return nil, err
		}
		found := sprout.FoundSystem{
			ID: cmp.Or(path.Base(member.ID), s.ID), Vendor: s.Manufacturer, Model: s.Model, Serial: s.Serial, SKU: s.SKU,
			UUID: strings.ToLower(s.UUID), Firmware: s.Firmware, Power: s.power(),
		}
		if len(s.Links.ManagedBy) > 0 {
			at := s.Links.ManagedBy[0].ID
			if _, read := firmware[at]; !read {
				firmware[at] = p.firmwareOf(ctx, at)
			}
			found.BMCFirmware = firmware[at]
		}
		if found.MACs, err = p.macsOf(ctx, s); err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	return all, nil
}

// firmwareOf is the version of a manager; one that cannot be read has said nothing.
func (p *Driver) firmwareOf(ctx context.Context, at string) string {
	var m manager
	if err := p.get(ctx, at, &m); err != nil {
		p.log.Debug("the BMC does not tell of its manager", "error", err)
	}
	return m.Firmware
}

// macsOf reads the addresses of a system's ports, each once. A BMC that lists no ports,
// as one does while its machine is off that learns them from the running one, has none.
func (p *Driver) macsOf(ctx context.Context, s *system) (macs []string, err error) {
	if s.Ports.ID == "" {
		return nil, nil
	}
	var ports collection
	if err := p.get(ctx, s.Ports.ID, &ports); err != nil {
		p.log.Debug("the BMC does not tell of the ports", "error", err)
		return nil, ctx.Err()
	}
	for _, member := range ports.Members[:min(len(ports.Members), maxPorts)] {
		var port struct {
			MAC       string `json:"MACAddress"`
			Permanent string `json:"PermanentMACAddress"`
		}
		if err := p.get(ctx, member.ID, &port); err != nil {
			p.log.Debug("the BMC does not tell of a port", "port", member.ID, "error", err)
			if ctx.Err() != nil {
				return nil, p.fail(sprout.BMCUnreachable, "cannot read the ports in time", member.ID)
			}
			continue
		}
		if mac := canonicalMAC(cmp.Or(port.Permanent, port.MAC)); mac != "" && !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	return macs, nil
}

// canonicalMAC writes an address in lower case with colons; empty where it is none that
// a port of Ethernet could have. Some BMCs leave the colons out.
func canonicalMAC(said string) string {
	if len(said) == 12 {
		var pairs []string
		for i := 0; i < len(said); i += 2 {
			pairs = append(pairs, said[i:i+2])
		}
		said = strings.Join(pairs, ":")
	}
	mac, err := net.ParseMAC(said)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 || strings.Trim(mac.String(), "0:") == "" {
		return ""
	}
	return mac.String()
}
