package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
)

// hardwareCodes are the problems that say how a machine's hardware differs from
// what is expected, or is worse than its sisters'. They end when it does not, or is
// accepted, or the machine is tested again; not with a workflow that went well.
var hardwareCodes = []sprout.Code{sprout.HardwareMissing, sprout.HardwareChanged, sprout.HardwareOutlier, sprout.HardwareRestarted}

// mostDifferences is how many a problem names; the rest it counts.
const mostDifferences = 6

// keepInventory keeps what was found in a machine, and says in what it differs from
// what is expected: what was found before, or the last of it that nothing was wrong
// with.
func (s *Server) keepInventory(ctx context.Context, tx pgx.Tx, id sprout.MachineID, found sprout.Inventory) error {
	expected, err := s.store.SetInventory(ctx, tx, id, found)
	if err != nil {
		return err
	}
	differences := found.Differences(expected)
	if len(differences) == 0 {
		expected = nil
	}
	if err := s.store.ExpectHardware(ctx, tx, id, expected); err != nil {
		return err
	}
	if err := s.tellBMC(ctx, tx, id); err != nil {
		return err
	}
	return s.tellHardware(ctx, tx, id, differences)
}

// tellBMC raises the problem that a machine's BMC is not where it is driven, or closes it.
func (s *Server) tellBMC(ctx context.Context, tx pgx.Tx, id sprout.MachineID) error {
	m, err := s.store.In(tx).Machine(ctx, id)
	if err != nil {
		return err
	}
	var said []string
	if elsewhere := m.BMCElsewhere(); elsewhere != "" {
		said = append(said, elsewhere)
	}
	return s.tellMachine(ctx, tx, id, sprout.BMCElsewhere, said)
}

// tellHardware raises one problem for what the machine has less of, and one for
// what else is different, or closes them.
func (s *Server) tellHardware(ctx context.Context, tx pgx.Tx, id sprout.MachineID, differences []sprout.Difference) error {
	said := map[sprout.Code][]string{}
	for _, d := range differences {
		code := sprout.HardwareChanged
		if d.Worse {
			code = sprout.HardwareMissing
		}
		said[code] = append(said[code], d.String())
	}
	for _, code := range []sprout.Code{sprout.HardwareMissing, sprout.HardwareChanged} {
		if err := s.tellMachine(ctx, tx, id, code, said[code]); err != nil {
			return err
		}
	}
	return nil
}

// tellMachine raises a machine's problem of a code, which is all that is said, or
// closes it where nothing is.
func (s *Server) tellMachine(ctx context.Context, tx pgx.Tx, id sprout.MachineID, code sprout.Code, said []string) error {
	if len(said) == 0 {
		_, err := s.store.ClearProblems(ctx, tx, string(id), code)
		return err
	}
	m, err := s.store.In(tx).Bare().Machine(ctx, id)
	if err != nil {
		return err
	}
	severity, remedy := sprout.Explain(code, m.Name, "", m.SiteName)
	return s.store.RaiseProblem(ctx, tx, sprout.Problem{Code: code, Severity: severity, Site: m.Site, Subject: string(id), Name: m.Name, Reason: someOf(said), Remedy: remedy})
}

func someOf(said []string) string {
	if more := len(said) - mostDifferences; more > 0 {
		said = append(said[:mostDifferences:mostDifferences], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(said, "; ")
}

func (s *Server) machineHardwareShow(ctx context.Context, in *api.MachineRef) (h api.Hardware, err error) {
	m, err := s.findRow(ctx, in.Machine)
	if err != nil {
		return h, err
	}
	h = api.Hardware{Found: m.Inventory, Differences: []sprout.Difference{}}
	if h.Outliers, err = s.store.Outliers(ctx, m.ID); err != nil {
		return h, err
	}
	if h.Expected, err = s.store.ExpectedHardware(ctx, m.ID); err != nil || h.Expected == nil {
		h.Expected = m.Inventory
		return h, err
	}
	h.Differences = append(h.Differences, m.Inventory.Differences(h.Expected)...)
	return h, nil
}

func (s *Server) machineHardwareAccept(ctx context.Context, in *api.MachineRef) (sprout.Machine, error) {
	found, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return sprout.Machine{}, err
	}
	return s.changeMachine(ctx, api.MachineHardwareAccept.Name, string(found.ID), func(ctx context.Context, tx pgx.Tx, m sprout.Machine, r *sprout.AuditRecord) error {
		if m.Inventory == nil {
			return sprout.Errorf(sprout.Conflict, "cannot accept the hardware of machine %s: nobody has looked at it yet", m.Name).WithRemedy("sprout machine commission %s", m.Name)
		}
		expected, err := s.store.In(tx).ExpectedHardware(ctx, m.ID)
		if err != nil {
			return err
		}
		var said []string
		for _, d := range m.Inventory.Differences(expected) {
			said = append(said, d.String())
		}
		outliers, err := s.store.In(tx).Outliers(ctx, m.ID)
		if err != nil {
			return err
		}
		for i, o := range outliers {
			if o.Accepted == nil {
				said, outliers[i].Accepted = append(said, o.String()), &outliers[i].Value
			}
		}
		r.Detail = someOf(said)
		if err := s.keepOutliers(ctx, tx, m.ID, outliers); err != nil {
			return err
		}
		if err := s.store.ExpectHardware(ctx, tx, m.ID, nil); err != nil {
			return err
		}
		return s.tellHardware(ctx, tx, m.ID, nil)
	})
}
