package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/provision"
	"sprout/sitestore"
	"sprout/workflow"
)

// orderHold is how long a ramdisk's request for an order is held open.
const orderHold = 25 * time.Second

// maxPayload is the most that a test of the link may ask for: 64 MiB.
const maxPayload = 64 << 20

// saw notes that the ramdisk of an attempt said something just now.
func (s *site) saw(attempt sprout.AttemptID) { s.seen.note(attempt, s.clock.Now()) }

// hello takes the first word of a ramdisk. That of an unknown machine is
// ordered to look at itself; a known one's is news to its run.
func (s *site) hello(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	var hello sprout.Hello
	if err := read(w, r, maxHello, &hello); err != nil {
		return err
	}
	s.log.Info("ramdisk runs", "attempt", a.ID, "machine", a.Machine, "mac", hello.BootMAC, "mode", hello.BootMode, "version", hello.Version)
	s.boots.greeted(a, r, hello)
	var err error
	if a.Machine == "" {
		err = s.orderInspect(r.Context(), a.ID)
	} else {
		err = s.signal(r.Context(), a.Machine, provision.SignalHello, provision.HelloSeen{Attempt: a.ID, Hello: hello})
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// orderInspect orders an unknown machine's ramdisk to look at itself: at every
// boot, for it may have changed, or been forgotten by the centre.
func (s *site) orderInspect(ctx context.Context, attempt sprout.AttemptID) error {
	given, ok, err := s.store.Order(attempt)
	if err != nil || ok && given.Report == nil {
		return err // its hello was sent twice
	}
	order := sprout.Order{ID: string(attempt) + "/inspect/" + sprout.NewSecret(), Kind: sprout.OrderInspect}
	return s.store.Update(ctx, func(tx *bbolt.Tx) error { return s.Give(ctx, tx, attempt, order) })
}

// signal tells the machine's runs. The effect is in the transaction of the
// first. Conflict if no run of the machine goes on.
func (s *site) signal(ctx context.Context, machine sprout.MachineID, name string, payload any, effects ...workflow.Effect[*bbolt.Tx]) error {
	ids, err := s.store.LiveRuns(machine)
	if err != nil {
		return err
	}
	told := false
	for _, id := range ids {
		err := s.engine.Signal(ctx, id, name, payload, effects...)
		if sprout.KindOf(err) == sprout.Conflict && err != nil {
			continue // it has ended meanwhile
		}
		if err != nil {
			return err
		}
		told, effects = true, nil
	}
	if !told {
		return sprout.Errorf(sprout.Conflict, "cannot use this: no work on machine %s goes on", machine)
	}
	return nil
}

// order answers with the order that follows the one named after, as soon as
// there is one. A ramdisk that died after its report is not given the same again.
func (s *site) order(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	after := r.URL.Query().Get("after")
	hold := time.NewTimer(orderHold)
	defer hold.Stop()
	for {
		wake, leave := s.orders.await(a.ID)
		given, ok, err := s.store.Order(a.ID)
		if err != nil || ok && given.Report == nil && given.Order.ID != after {
			leave()
			if err != nil {
				return err
			}
			order, err := s.opened(given)
			if err != nil {
				return err
			}
			s.boots.ordered(a, r, given.Order)
			return writeJSON(w, order)
		}
		select {
		case <-r.Context().Done():
			leave()
			return nil
		case <-hold.C:
			leave()
			s.saw(a.ID)
			w.WriteHeader(http.StatusNoContent)
			return nil
		case <-wake:
			leave()
		}
	}
}

// opened returns the order as its ramdisk gets it: the user data, which is kept
// sealed to this agent, is opened for the one answer, and tests are given the tools
// that there are then, and what was done of them before the machine restarted.
func (s *site) opened(given sitestore.Given) (sprout.Order, error) {
	o := given.Order
	if o.Test != nil {
		o.Test.Done = given.Done
		return s.withTools(o)
	}
	if o.Write != nil && o.Write.Layout != nil {
		have, err := s.layouts.of(filepath.Join(s.config.RamdiskDir, layoutToolsFile))
		if err != nil {
			return o, err
		}
		write := *o.Write
		write.Tools, o.Write = have, &write
	}
	if o.Write == nil || len(o.Write.UserData) == 0 {
		return o, nil
	}
	secret, err := s.unseal(o.Write.UserData)
	if err != nil {
		return o, fmt.Errorf("cannot open the user data of order %s: %w", o.ID, err)
	}
	write := *o.Write
	write.ConfigDrive.UserData, write.UserData = secret, nil
	o.Write = &write
	return o, nil
}

// report takes progress and results. A result is taken once; the same again is
// answered as the first time, one of another order is a conflict.
func (s *site) report(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	var report sprout.Report
	if err := read(w, r, maxReport, &report); err != nil {
		return err
	}
	given, ok, err := s.store.Order(a.ID)
	if err != nil {
		return err
	}
	if !ok || given.Order.ID != report.Order {
		return sprout.Errorf(sprout.Conflict, "cannot use the report: order %q is not the one that was given", report.Order)
	}
	off := onTime(&report, time.Now())
	switch {
	case report.Outcome == "progress":
		err = s.progress(r.Context(), a, report)
	case report.Outcome != "done" && report.Outcome != "failed":
		return sprout.InvalidField("outcome", "cannot use %q: it must be progress, done or failed", report.Outcome)
	case given.Report != nil: // taken before: the answer was lost
	case a.Machine == "":
		err = s.discovered(r.Context(), a, report)
	default:
		err = s.signal(r.Context(), a.Machine, provision.SignalOrderDone, report, func(_ context.Context, tx *bbolt.Tx) error {
			_, err := s.store.Answer(tx, a.ID, report)
			return err
		})
	}
	if err != nil {
		return err
	}
	if report.Outcome != "progress" && given.Report == nil {
		s.boots.reported(a, r, given.Order, report, off)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// clockSlack is how far a machine's clock may be from the agent's before it is
// wrong; what the machine did just now is dated within it.
const clockSlack = 10 * time.Minute

// onTime dates what a machine reports by the agent's clock where the machine's
// own is wrong, and returns by how much it is; 0: it is right.
func onTime(report *sprout.Report, now time.Time) (off time.Duration) {
	var newest time.Time
	if report.Inventory != nil {
		newest = report.Inventory.At
	}
	for _, t := range report.Tests {
		if t.At.After(newest) {
			newest = t.At
		}
	}
	off = newest.Sub(now).Round(time.Second)
	// A test's time is when it began, so an old one proves nothing by itself.
	if newest.IsZero() || off.Abs() <= clockSlack+longest(report.Tests) {
		return 0
	}
	if report.Inventory != nil {
		report.Inventory.At = report.Inventory.At.Add(-off)
	}
	for i := range report.Tests {
		report.Tests[i].At = report.Tests[i].At.Add(-off)
	}
	return off
}

// longest is how long the longest of the tests took.
func longest(tests []sprout.TestResult) (most time.Duration) {
	for _, t := range tests {
		most = max(most, time.Duration(t.Seconds*float64(time.Second)))
	}
	return most
}

// progress is shown to whoever watches the machine's runs, and what it says of tests
// is kept: they go on from there if the machine restarts.
func (s *site) progress(ctx context.Context, a sitestore.Attempt, report sprout.Report) error {
	if len(report.Tests)+len(report.Marks) > 0 {
		for _, m := range report.Marks {
			if len(m.Mark) > sprout.MostMark {
				return sprout.InvalidField("marks", "cannot keep how far test %s is: it says %d bytes, and may say %d", m.Test, len(m.Mark), sprout.MostMark)
			}
		}
		err := s.store.Update(ctx, func(tx *bbolt.Tx) error { return s.store.KeepTests(tx, a.ID, report) })
		if err != nil {
			return err
		}
	}
	if a.Machine == "" || report.Progress == nil {
		return nil
	}
	ids, err := s.store.LiveRuns(a.Machine)
	for _, id := range ids {
		s.live.progressed(id, path.Base(report.Order), report.Progress) // attempt/step
	}
	return err
}

// discovered reports an unknown machine to the centre, once an order.
func (s *site) discovered(ctx context.Context, a sitestore.Attempt, report sprout.Report) error {
	if report.Outcome == "failed" || report.Inventory == nil {
		s.log.Warn("unknown machine could not be inspected", "attempt", a.ID, "mac", a.MAC, "why", report.Failure)
	}
	return s.store.Update(ctx, func(tx *bbolt.Tx) error {
		fresh, err := s.store.Answer(tx, a.ID, report)
		if err != nil || !fresh || report.Inventory == nil {
			return err
		}
		fact, err := sitestore.NewFact(sprout.FactDiscovered, sprout.DiscoveredFact{BootMAC: a.MAC, IP: a.IP, Inventory: *report.Inventory})
		if err != nil {
			return err
		}
		fact.Attempt = a.ID
		return s.store.AppendFact(tx, fact)
	})
}

// payload streams as many bytes as a test of the link asks for. They do not
// repeat within 64 KiB, and say nothing.
func (s *site) payload(w http.ResponseWriter, r *http.Request, a sitestore.Attempt) error {
	n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	if err != nil || n < 0 || n > maxPayload {
		return sprout.InvalidField("bytes", "cannot send %q bytes: it must be a number from 0 to %d", r.URL.Query().Get("bytes"), maxPayload)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set(sprout.TimeHeader, sprout.TimeNow())
	body := &seenWriter{ResponseWriter: w, saw: func() { s.saw(a.ID) }}
	_, err = io.Copy(body, io.LimitReader(newNoise(), n))
	if err != nil {
		s.log.Debug("payload not sent to its end", "attempt", a.ID, "error", err)
	}
	return nil
}

// phoneHome takes the word of the installed system that it runs.
func (s *site) phoneHome(w http.ResponseWriter, r *http.Request) {
	a, err := s.admitted(r, sitestore.HomeUse)
	if err == nil {
		if _, readErr := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxHome)); readErr != nil {
			err = sprout.Errorf(sprout.Invalid, "cannot read the body: %v", readErr)
		}
	}
	if err == nil {
		s.saw(a.ID)
		s.boots.cameHome(a, r)
		s.log.Info("installed system runs", "attempt", a.ID, "machine", a.Machine)
		err = s.signal(r.Context(), a.Machine, provision.SignalPhoneHome, provision.HomeSeen{Attempt: a.ID})
	}
	s.answer(w, r, err)
}
