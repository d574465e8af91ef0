package server

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sprout"
	"sprout/api"
	"sprout/store"
)

// judge says of each system behind a BMC which machine it is, registers it where that is
// asked for, and says what can be done.
func (c *crawl) judge(ctx context.Context, f *sprout.FoundBMC) error {
	f.Remedy = c.remedyOf(*f)
	for i := range f.Systems {
		found := &f.Systems[i]
		macs, uuids, serials := found.MACs, uuidForms(found.UUID), serialsOf(*found)
		list, err := c.store.Alike(ctx, c.site.ID, macs, uuids, serials, hostOf(f.Address))
		if err != nil {
			return err
		}
		same := sameAs(*found, list, len(f.Systems) == 1)
		switch {
		case len(same) > 1:
			found.State, found.Why = sprout.SystemClash, fmt.Sprintf("it could be %s or %s", same[0].name(), same[1].name())
			found.Remedy = "sprout machine show " + same[0].Name
		case len(same) == 1:
			c.known(found, *f, same[0])
		case len(found.MACs) == 0:
			found.State, found.Why = sprout.SystemUnfit, "its BMC tells no MAC address of it"
			found.Remedy = fmt.Sprintf("sprout machine create NAME --site %s --mac … --bmc-driver %s --bmc-url %s --bmc-user … --bmc-password -", c.site.Name, f.Driver, f.URL)
		default:
			if err := c.takeNew(ctx, *f, found); err != nil {
				return err
			}
		}
	}
	return nil
}

// known tells of a system that is a machine already.
func (c *crawl) known(found *sprout.FoundSystem, f sprout.FoundBMC, m likeness) {
	found.State, found.MachineName, found.Why = sprout.SystemKnown, m.Name, m.by
	found.Remedy = "sprout machine show " + m.Name
	switch {
	case m.State == sprout.Retired:
		found.Why += "; it is retired"
	case !m.HasBMC:
		found.Why += "; it has no BMC"
		found.Remedy = fmt.Sprintf("sprout machine update %s --bmc-driver %s --bmc-url %s --bmc-user … --bmc-password -", m.Name, f.Driver, f.URL)
		if len(f.Systems) > 1 {
			found.Remedy += " --bmc-system " + found.ID
		}
	case !m.ByHost:
		found.Why += "; its BMC is said to be elsewhere"
	}
}

// remedyOf is what helps where a BMC was not read.
func (c *crawl) remedyOf(f sprout.FoundBMC) string {
	again := fmt.Sprintf("sprout bmc crawl %s %s --bmc-user … --bmc-password -", c.site.Name, f.Address)
	switch f.State {
	case sprout.BMCSeen, sprout.BMCUntried, sprout.BMCBroken:
		if f.Account != "" {
			return "sprout machine show " + f.Account
		}
		return again
	case sprout.BMCRefused:
		if f.Account != "" {
			return fmt.Sprintf("sprout machine update %s --bmc-password -", f.Account)
		}
		return again
	case sprout.BMCUntrusted:
		return again + " --bmc-insecure"
	case sprout.BMCSilent, sprout.BMCOther, sprout.BMCRead:
	}
	return ""
}

// A likeness is a machine that a system is, and by what that is known.
type likeness struct {
	store.Likeness
	by string
}

func (l likeness) name() string { return fmt.Sprintf("%s (%s)", l.Name, l.by) }

// sameAs chooses the machines that a system is, of those that are like it. It is pure.
// A MAC is proof, and so is the BMC's address, of a chassis with the id of the system. A
// UUID or a serial number is where the other of the two does not speak against it: vendors
// have shipped both in copies, and the nodes of a chassis may have its serial number.
func sameAs(found sprout.FoundSystem, list []store.Likeness, alone bool) (same []likeness) {
	uuids, serials := uuidForms(found.UUID), serialsOf(found)
	for _, m := range list {
		otherUUID := m.UUID != "" && len(uuids) > 0 && !slices.Contains(uuids, m.UUID)
		otherSerial := m.Serial != "" && len(serials) > 0 && !slices.Contains(serials, m.Serial)
		switch {
		case m.ByMAC:
			same = append(same, likeness{m, "by a MAC address"})
		case m.ByHost && (m.System == found.ID && m.System != "" || alone && m.System == ""):
			same = append(same, likeness{m, "by the address of its BMC"})
		case m.ByUUID && !otherSerial:
			same = append(same, likeness{m, "by its UUID"})
		case m.BySerial && !otherUUID:
			same = append(same, likeness{m, "by its serial number"})
		}
	}
	return same
}

// uuidForms are the ways in which others may write a UUID, lower case: makes differ in
// which fields they turn round (RFC 9562 section 4; SMBIOS, DSP0134 section 7.2.1; IPMI 2.0
// section 20.8). None for what is no UUID that tells a system from others.
func uuidForms(text string) (forms []string) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != 16 || strings.Trim(text, "0fF-") == "" {
		return nil
	}
	fields := func(b []byte) []byte {
		b = slices.Clone(b)
		slices.Reverse(b[:4])
		slices.Reverse(b[4:6])
		slices.Reverse(b[6:8])
		return b
	}
	turned := slices.Clone(raw)
	slices.Reverse(turned)
	for _, b := range [][]byte{raw, fields(raw), turned, fields(turned)} {
		forms = append(forms, fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	}
	return forms
}

// serialsOf are the serial numbers of a system that tell it from others.
func serialsOf(found sprout.FoundSystem) (all []string) {
	for _, serial := range []string{found.Serial, found.SKU} {
		if (&sprout.Inventory{Serial: serial}).SerialLabel() != "" {
			all = append(all, serial)
		}
	}
	return all
}

// hostOf is an address as URLs have it.
func hostOf(ip netip.Addr) string { return sprout.BMCURL(sprout.AddressField, ip) }

// takeNew registers a system that is new, or says as what it would be.
func (c *crawl) takeNew(ctx context.Context, f sprout.FoundBMC, found *sprout.FoundSystem) error {
	found.State = sprout.SystemNew
	m, err := c.machineOf(ctx, f, *found)
	if err == nil && c.in.Body.Accept {
		_, err = c.register(ctx, api.MachineImport.Name, "", []api.NewMachine{m}, c.in.Body.Plan)
	}
	switch kind := sprout.KindOf(err); {
	case err == nil:
	case kind == sprout.Conflict || kind == sprout.Invalid:
		found.State, found.Why, found.Remedy = sprout.SystemClash, err.Error(), fmt.Sprintf("sprout bmc crawl %s %s --accept --name 'node-{mac}'", c.site.Name, f.Address)
		return nil
	default:
		return err
	}
	found.MachineName = m.Name
	switch {
	case !c.in.Body.Accept:
		found.Remedy = fmt.Sprintf("sprout bmc crawl %s %s --accept", c.site.Name, f.Address)
	case !c.in.Body.Plan:
		found.State, found.Remedy = sprout.SystemRegistered, "sprout machine commission "+m.Name
	}
	return nil
}

// machineOf is what is registered of a system, with the account by which it was read.
func (c *crawl) machineOf(ctx context.Context, f sprout.FoundBMC, found sprout.FoundSystem) (m api.NewMachine, err error) {
	bmc := sprout.BMC{Driver: f.Driver, URL: f.URL, Username: c.in.Body.Username, Password: c.password, Insecure: c.in.Body.Insecure}
	if f.Account != "" {
		if err := c.sameAccount(ctx, f.Account, &bmc); err != nil {
			return m, err
		}
	}
	if len(f.Systems) > 1 {
		bmc.System = found.ID
	}
	m = api.NewMachine{Site: string(c.site.ID), MACs: found.MACs, BMC: &bmc}
	m.Name, err = c.nameOf(found)
	return m, err
}

// sameAccount fills in the account of another machine of the same BMC: another node of
// the chassis.
func (c *crawl) sameAccount(ctx context.Context, name string, bmc *sprout.BMC) error {
	other, err := c.store.FindMachine(ctx, sprout.At(c.site.ID), name)
	if err != nil || other.BMC == nil {
		return err
	}
	bmc.Username, bmc.Insecure = other.BMC.Username, other.BMC.Insecure
	bmc.Password, err = c.store.BMCPassword(ctx, other.ID)
	return err
}

// nameOf is what a system is called. Conflict where it does not tell what its name is
// made of.
func (c *crawl) nameOf(found sprout.FoundSystem) (string, error) {
	is := sprout.Machine{SiteName: c.site.Name, Inventory: &sprout.Inventory{Serial: found.Serial, UUID: found.UUID, Model: found.Model}}
	for _, mac := range found.MACs {
		is.Interfaces = append(is.Interfaces, sprout.Interface{MAC: mac})
	}
	gift := sprout.RuleGift{MachineName: c.in.Body.MachineName}
	if gift.MachineName == "" {
		gift.MachineName = "new-{serial}"
		if is.Inventory.SerialLabel() == "" {
			gift.MachineName = "new-{mac}"
		}
	}
	return gift.NameOf(&is, 0)
}
