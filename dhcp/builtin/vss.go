package builtin

import "encoding/hex"

// A VSS is the VRF that a relay says the client is in (RFC 6607 section 4).
type VSS struct {
	Said   bool
	Global bool // the usual one
	Name   string
}

// FormatVSS is the value that ParseVSS reads of a VRF's name.
func FormatVSS(vrf string) []byte { return append([]byte{0}, vrf...) }

// ParseVSS reads the value of the sub-option, or of DHCPv6's option: a name, or
// the 7 bytes of a VPN id of RFC 2685, which is a name in hexadecimal.
func ParseVSS(raw []byte) VSS {
	const (
		ascii  = 0
		vpn    = 1
		global = 255
	)
	switch {
	case len(raw) == 0:
		return VSS{}
	case raw[0] == ascii:
		return VSS{Said: true, Name: string(raw[1:])}
	case raw[0] == vpn:
		return VSS{Said: true, Name: hex.EncodeToString(raw[1:])}
	case raw[0] == global:
		return VSS{Said: true, Global: true}
	}
	return VSS{Said: true, Name: string(raw)} // of a kind that nothing is called by
}

// VRF is what it names, or the agent's own.
func (v VSS) VRF(own string) string {
	if v.Said && !v.Global {
		return v.Name
	}
	return own
}

// vss reads the relay's sub-option.
func (r Request) vss() VSS {
	raw, _ := r.relay(virtualSubnet)
	return ParseVSS(raw)
}
