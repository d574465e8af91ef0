package server

import (
	"context"
	"encoding/json"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/provision"
	"sprout/store"
)

// facts is the table of what each kind of fact does to the database, in the
// transaction that takes it. A fact of a machine that is gone does nothing.
// Steps, boots and leases are not in it: an intake writes those of many facts
// together.
func (s *Server) facts() map[sprout.FactKind]func(context.Context, pgx.Tx, sprout.SiteID, sprout.Fact) error {
	return map[sprout.FactKind]func(context.Context, pgx.Tx, sprout.SiteID, sprout.Fact) error{
		sprout.FactDiscovered: s.factDiscovered,
		sprout.FactInventory:  s.factInventory,
		sprout.FactTests:      s.factTests,
		sprout.FactPower:      s.factPower,
		sprout.FactRest:       s.factRest,
		sprout.FactBMC:        s.factBMC,
		sprout.FactWorkEnded:  s.factWorkEnded,
		sprout.FactNames:      s.factNames,
	}
}

// body decodes a fact's body; what cannot be read is Invalid.
func body[T any](f sprout.Fact) (T, error) {
	var v T
	if err := json.Unmarshal(f.Body, &v); err != nil {
		return v, sprout.Errorf(sprout.Invalid, "cannot read fact %d (%s): %w", f.Seq, f.Kind, err)
	}
	return v, nil
}

// machineAt returns the machine of a fact, NotFound unless it is of the site.
func (s *Server) machineAt(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) (sprout.Machine, error) {
	m, err := s.store.In(tx).Bare().Machine(ctx, f.Machine)
	if err == nil && m.Site != site {
		return m, sprout.Errorf(sprout.NotFound, "cannot find machine %s in site %s", f.Machine, site)
	}
	return m, err
}

// factNames takes what an update of the site's names changed.
func (s *Server) factNames(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	names, err := body[sprout.NamesFact](f)
	if err != nil {
		return err
	}
	return s.store.TakeNames(ctx, tx, site, names)
}

// factWorkEnded signals the workflow that delegated the work. Where it has ended
// or is gone, nobody waits.
func (s *Server) factWorkEnded(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	result, err := body[sprout.WorkResult](f)
	if err != nil {
		return err
	}
	id := workflowOf(f.Work)
	origin, err := s.store.In(tx).OriginOf(ctx, id)
	if err == nil && origin.Site != site {
		err = sprout.Errorf(sprout.NotFound, "cannot find workflow %s in site %s", id, site)
	}
	if err != nil {
		return err
	}
	err = s.engine.Signal(withTx(ctx, tx), string(id), provision.SignalWorkEnded, provision.WorkEnded{Work: f.Work, Result: result})
	if sprout.KindOf(err) == sprout.Conflict {
		s.log.Info("work ended that nobody waits for", "site", site, "work", f.Work, "why", err)
		return nil
	}
	return err
}

// factDiscovered makes a machine of what booted unknown, or brings the one that
// it is up to date: known by a MAC, or by its SMBIOS UUID and serial number together
// (its network card was replaced).
func (s *Server) factDiscovered(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	found, err := body[sprout.DiscoveredFact](f)
	if err != nil {
		return err
	}
	for i := range found.Inventory.Interfaces {
		found.Inventory.Interfaces[i].Boot = strings.EqualFold(found.Inventory.Interfaces[i].MAC, found.BootMAC)
	}
	known, err := s.recognise(ctx, tx, site, found)
	found.Inventory.Address = found.IP
	if err == nil {
		return s.keepDiscovered(ctx, tx, known, found)
	}
	if sprout.KindOf(err) != sprout.NotFound {
		return err
	}
	name, err := s.store.FreeName(ctx, tx, site, "new-"+nameOf(found))
	if err != nil {
		return err
	}
	id, err := s.store.AddMachine(ctx, tx, sprout.Machine{
		Site: site, Name: name, State: sprout.Discovered, Architecture: found.Inventory.Architecture, BootMode: found.Inventory.BootMode,
		Interfaces: discoveredInterfaces(found), Inventory: &found.Inventory,
	}, systemActor)
	if err != nil {
		return err
	}
	err = s.store.Audit(ctx, tx, sprout.AuditRecord{Kind: sprout.AuditSystem, Actor: systemActor, Site: site, Action: "machine discover", Subject: string(id), Name: name, Outcome: "done", Detail: found.BootMAC})
	if err != nil {
		return err
	}
	return s.takeIn(ctx, tx, id)
}

// keepDiscovered takes what a machine that is known was found to be. One that is
// retired stays as it was, and is a problem: somebody has not unplugged it.
func (s *Server) keepDiscovered(ctx context.Context, tx pgx.Tx, id sprout.MachineID, found sprout.DiscoveredFact) error {
	m, err := s.store.In(tx).Bare().Machine(ctx, id)
	if err != nil {
		return err
	}
	if m.State != sprout.Retired {
		if err := s.keepInventory(ctx, tx, id, found.Inventory); err != nil || m.State != sprout.Discovered {
			return err
		}
		return s.takeIn(ctx, tx, id)
	}
	p := problemOf(sprout.Trouble{Code: sprout.RetiredBooted, Reason: "it is retired, and has booted the ramdisk", Evidence: "from " + found.BootMAC}, string(id), m.SiteName)
	p.Site, p.Name = m.Site, m.Name
	_, p.Remedy = sprout.Explain(sprout.RetiredBooted, m.Name, "", m.SiteName)
	if err := s.store.RaiseProblem(ctx, tx, p); err != nil {
		return err
	}
	return s.store.RenewProblems(ctx, tx, string(id))
}

func discoveredInterfaces(found sprout.DiscoveredFact) []sprout.Interface {
	if len(found.Inventory.Interfaces) > 0 {
		return found.Inventory.Interfaces
	}
	return []sprout.Interface{{MAC: found.BootMAC, Boot: true}}
}

// recognise finds the machine that an inventory is of; NotFound if it is new.
func (s *Server) recognise(ctx context.Context, tx pgx.Tx, site sprout.SiteID, found sprout.DiscoveredFact) (sprout.MachineID, error) {
	hw := store.Hardware{MACs: []string{found.BootMAC}}
	for _, i := range found.Inventory.Interfaces {
		hw.MACs = append(hw.MACs, i.MAC)
	}
	if inv := found.Inventory; strings.Trim(inv.UUID, "0fF-") != "" {
		hw.UUID, hw.Serial = inv.UUID, inv.Serial
	}
	return s.store.In(tx).MachineOf(ctx, site, hw)
}

// nameOf makes a DNS label of a serial number, or of a MAC where the serial is
// none that a vendor would give.
func nameOf(found sprout.DiscoveredFact) string {
	serial := strings.ReplaceAll(found.Inventory.SerialLabel(), "-", "")
	if serial == "" {
		mac, err := net.ParseMAC(found.BootMAC)
		if err != nil {
			return "machine"
		}
		return strings.ReplaceAll(mac.String(), ":", "")
	}
	return serial[:min(len(serial), 40)]
}

func (s *Server) factInventory(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	inv, err := body[sprout.Inventory](f)
	if err != nil {
		return err
	}
	m, err := s.machineAt(ctx, tx, site, f)
	if err != nil {
		return err
	}
	return s.keepInventory(ctx, tx, m.ID, inv)
}

func (s *Server) factTests(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	results, err := body[[]sprout.TestResult](f)
	if err != nil {
		return err
	}
	m, err := s.machineAt(ctx, tx, site, f)
	if err != nil {
		return err
	}
	if err := s.store.SetTests(ctx, tx, m.ID, results, ""); err != nil {
		return err
	}
	if err := s.compareTests(ctx, tx, m.ID, results); err != nil {
		return err
	}
	var restarts []string
	for _, r := range results {
		if r.Test == sprout.RestartsTest {
			restarts = append(restarts, r.Message)
		}
	}
	return s.tellMachine(ctx, tx, m.ID, sprout.HardwareRestarted, restarts)
}

// factRest keeps that a machine waits in the ramdisk.
func (s *Server) factRest(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	rest, err := body[sprout.Rest](f)
	if err != nil {
		return err
	}
	m, err := s.machineAt(ctx, tx, site, f)
	if err != nil {
		return err
	}
	return s.store.SetRest(ctx, tx, m.ID, rest.Until)
}

func (s *Server) factPower(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	power, err := body[sprout.PowerState](f)
	if err != nil {
		return err
	}
	m, err := s.machineAt(ctx, tx, site, f)
	if err != nil {
		return err
	}
	return s.store.SetPower(ctx, tx, m.ID, power, f.At)
}

func (s *Server) factBMC(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) error {
	told, err := body[sprout.BMCFact](f)
	if err != nil {
		return err
	}
	m, err := s.machineAt(ctx, tx, site, f)
	if err != nil {
		return err
	}
	return s.store.SetBMCAbout(ctx, tx, m.ID, told)
}
