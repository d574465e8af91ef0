package sprout

import "time"

// A DHCPSetting is an option that an operator has agents send: to the clients
// of a site, of one subnet, of a class, or to one machine. What is set for fewer
// of them wins: machine, class, subnet, site, and then what Sprout computes.
type DHCPSetting struct {
	ID        OptionID  `json:"id"`
	Site      SiteID    `json:"site"`
	Subnet    SubnetID  `json:"subnet,omitempty" doc:"Id of the subnet that it is set for; absent: of none"`
	Class     string    `json:"class,omitempty" doc:"Clients that it is set for, by what they say of themselves; absent: of no class" example:"arch=7,vendor=PXEClient"`
	Machine   MachineID `json:"machine,omitempty" doc:"Id of the machine that it is set for; absent: of none"`
	Version   int       `json:"version" enum:"4,6" doc:"Of IP: DHCP or DHCPv6" example:"4"`
	Code      int       `json:"code" doc:"Number (IANA, BOOTP Vendor Extensions and DHCP Options, or DHCPv6 Option Codes)" example:"42"`
	Name      string    `json:"name" doc:"Name of the option" example:"ntp-servers"`
	Value     string    `json:"value" doc:"What it says" example:"10.20.0.3, 10.20.0.4"`
	Always    bool      `json:"always,omitempty" doc:"Sent also to who does not ask for it" example:"true"`
	CreatedAt time.Time `json:"createdAt"`
}

// Scope says for whom it is set, as an explanation does: site, subnet, machine,
// or class and what tells it.
func (s DHCPSetting) Scope() string {
	switch {
	case s.Machine != "":
		return "machine"
	case s.Class != "":
		return "class " + s.Class
	case s.Subnet != "":
		return "subnet"
	}
	return "site"
}

// Owner is the id of whom it is set for; the site's also for a class.
func (s DHCPSetting) Owner() string {
	switch {
	case s.Machine != "":
		return string(s.Machine)
	case s.Subnet != "":
		return string(s.Subnet)
	}
	return string(s.Site)
}

// A SiteDHCPOption is a setting as a site gets it: with what is sent.
type SiteDHCPOption struct {
	DHCPSetting
	Data []byte `json:"data"` // value on the wire
}

// DHCPOptions are what is set for a client: in the order in which each takes the
// place of those before it. Of classes, the clients are not told apart yet.
type DHCPOptions struct {
	Site, Subnet []SiteDHCPOption
	Classes      []ClassOption // the one that asks for most comes last
	Machine      []SiteDHCPOption
}

// None tells whether nothing is set.
func (o DHCPOptions) None() bool {
	return len(o.Site)+len(o.Subnet)+len(o.Classes)+len(o.Machine) == 0
}

// A ClassOption is one of a class, which was read.
type ClassOption struct {
	SiteDHCPOption
	Of DHCPClass
}

// For calls f with each option of the version that is set for the client, the
// one that counts after those whose place it takes. Who is asked for only where
// there are classes.
func (o DHCPOptions) For(version int, who func() DHCPClient, f func(SiteDHCPOption)) {
	each := func(list []SiteDHCPOption) {
		for i := range list {
			if list[i].Version == version {
				f(list[i])
			}
		}
	}
	each(o.Site)
	each(o.Subnet)
	if len(o.Classes) > 0 {
		client := who()
		for i := range o.Classes {
			if c := &o.Classes[i]; c.Version == version && c.Of.Has(client) {
				f(c.SiteDHCPOption)
			}
		}
	}
	each(o.Machine)
}
