package sim

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"sprout"
)

// homePause is between tries to phone home; cloud-init waits 3 s.
const homePause = time.Second

// runSystem boots the installed system: it configures its address and phones
// home as cloud-init does (module cc_phone_home, once an instance), and runs
// until power goes.
func (m *Machine) runSystem(ctx context.Context, s *System) error {
	if err := m.at(ctx, StepDisk, "%s as %s", s.Image, s.Hostname); err != nil {
		return err
	}
	if err := sprout.Pause(ctx, m.pace.System); err != nil {
		return err
	}
	m.mu.Lock()
	homed := s.Homed
	m.mu.Unlock()
	if !homed {
		if err := m.phoneHome(ctx, s); err != nil {
			if ctx.Err() != nil || errors.Is(err, errPowerLost) {
				return err
			}
			m.note(StepHome, "cannot phone home: %v", err)
		}
	}
	if err := m.at(ctx, StepUp, "%s", s.Hostname); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (m *Machine) phoneHome(ctx context.Context, s *System) error {
	seed, err := m.readSeed(ctx, s)
	if err != nil {
		return err
	}
	if err := m.at(ctx, StepHome, "from %s", seed.source); err != nil {
		return err
	}
	if f, hit := m.fault(NeverHome, StepHome, 0); hit {
		m.note(StepHome, "fault: %s", f)
		return errors.New("fault: " + f.String())
	}
	w := newWeb(seed.source, &m.cable)
	defer w.Close()
	form := url.Values{"hostname": {seed.hostname}, "instance_id": {seed.instance}}.Encode()
	for range max(seed.tries, 1) {
		resp, err := w.do(ctx, "POST", seed.url, strings.NewReader(form), "application/x-www-form-urlencoded")
		if err == nil {
			_ = resp.Body.Close()
			m.mu.Lock()
			s.Homed = true
			m.mu.Unlock()
			return nil
		}
		m.note(StepHome, "not yet: %v", err)
		if err := sprout.Pause(ctx, homePause); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d tries failed", seed.tries)
}
