package sim

import (
	"errors"
	"fmt"
	"slices"

	"sprout"
)

// A System is what an installation left on a disk.
type System struct {
	Image     string // name
	RawDigest string // of what was written
	RawBytes  int64
	Drive     sprout.ConfigDrive
	Hostname  string
	Homed     bool // it has phoned home: cloud-init does so once an instance
}

// A disk is a device with what is on it.
type disk struct {
	sprout.Disk
	system *System // nil: nothing that boots
	dirty  bool    // something was written since it was erased
}

// Installed returns the system that the machine boots from disk.
func (m *Machine) Installed() (System, bool) {
	s, ok := m.installed()
	if !ok {
		return System{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return *s, true
}

// Dirty lists the disks that hold data: written to, and not erased since.
func (m *Machine) Dirty() []sprout.Disk {
	m.mu.Lock()
	defer m.mu.Unlock()
	var dirty []sprout.Disk
	for _, d := range m.disks {
		if d.dirty {
			dirty = append(dirty, d.Disk)
		}
	}
	return dirty
}

func (m *Machine) installed() (*System, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.disks {
		if d.system != nil {
			return d.system, true
		}
	}
	return nil, false
}

// choose returns the disk that a write's rule means.
func (m *Machine) choose(rule sprout.DiskRule, need int64) (sprout.Disk, error) {
	d, _, failure := rule.Choose(m.spec.Disks, need)
	if failure != nil {
		return d, failure
	}
	return d, m.dead(StepWrite, d, sprout.DiskFailed)
}

// chooseFor returns the disks that an order to write, or to make a layout, means.
func (m *Machine) chooseFor(w sprout.Write) ([]sprout.Disk, error) {
	if w.Layout == nil {
		d, err := m.choose(w.Disk, w.Image.RawBytes)
		if failure := w.Unnamed([]sprout.Disk{d}); err == nil && failure != nil {
			err = failure
		}
		return []sprout.Disk{d}, err
	}
	disks, _, failure := w.Layout.Choose(w.Disk, m.spec.Disks, w.Image.RawBytes)
	if failure != nil {
		return nil, failure
	}
	if failure := w.Unnamed(disks); failure != nil {
		return nil, failure
	}
	for _, d := range disks {
		if err := m.dead(StepWrite, d, sprout.DiskFailed); err != nil {
			return nil, err
		}
	}
	return disks, nil
}

// dead is the failure of a disk that a fault has killed, nil where it lives.
func (m *Machine) dead(step Step, d sprout.Disk, code sprout.Code) error {
	if m.ails(DeadDisk, step, d) {
		return sprout.Fail(code, fmt.Sprintf("cannot write to %s", d.Name), "input/output error on "+d.Serial)
	}
	return nil
}

// ails tells whether a disk has a fault of the kind.
func (m *Machine) ails(kind FaultKind, step Step, d sprout.Disk) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.faults, func(f Fault) bool {
		return f.Kind == kind && f.Step == step && (f.Device == d.Serial || f.Device == "" && d.Name == m.spec.Disks[0].Name)
	})
}

// put makes the disk hold the system; nil: something that does not boot.
func (m *Machine) put(name string, s *System) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.disks {
		if m.disks[i].Name == name {
			m.disks[i].system, m.disks[i].dirty = s, true
		}
	}
}

// erase empties the disks that the order's rules mean (none: all), and proves it.
func (m *Machine) erase(order sprout.Erase) ([]sprout.Erased, error) {
	chosen := m.spec.Disks
	if len(order.Disks) > 0 {
		chosen = nil
		for _, rule := range order.Disks {
			d, _, failure := rule.Choose(m.spec.Disks, 0)
			if failure != nil {
				return nil, failure
			}
			chosen = append(chosen, d)
		}
	}
	var proofs []sprout.Erased
	for _, d := range chosen {
		way := sprout.PlanErase(d, order.Method)
		if way.Kept != "" {
			continue
		}
		if way.Refused != "" {
			return proofs, sprout.Fail(sprout.EraseFailed, d.Name+" could not be erased", fmt.Sprintf("%s (serial %q): %s", d.Name, d.Serial, way.Refused))
		}
		if err := m.dead(StepErase, d, sprout.EraseFailed); err != nil {
			return proofs, err
		}
		m.mu.Lock()
		for i := range m.disks {
			if m.disks[i].Name == d.Name {
				m.disks[i].system, m.disks[i].dirty = nil, false
			}
		}
		m.mu.Unlock()
		proofs = append(proofs, sprout.Erased{Disk: d, Method: way.Methods[0], Verified: d.Bytes})
	}
	if len(proofs) == 0 {
		return nil, errors.New("there is no disk to erase")
	}
	return proofs, nil
}
