package agent

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"time"

	"sprout"
	"sprout/boot/tftp"
	"sprout/power"
	"sprout/sitestore"
)

// This file turns what the agent's parts do into boot events.

// powered tells that the BMC was told to turn the machine on or off.
func (b *boots) powered(machine sprout.MachineID, want sprout.PowerState, began time.Time, err error) {
	what := sprout.SawPowerOff
	if want == sprout.PowerOn {
		what = sprout.SawPowerOn
	}
	b.acted(machine, what, "power "+string(want), began, err)
}

// chosen tells that the BMC was told what to boot next.
func (b *boots) chosen(machine sprout.MachineID, device power.BootDevice, began time.Time, err error) {
	b.acted(machine, sprout.SawBootDevice, fmt.Sprintf("boot once from %s", device), began, err)
}

// inserted and ejected tell that the BMC was told to change its virtual media.
func (b *boots) inserted(machine sprout.MachineID, began time.Time, err error) {
	b.acted(machine, sprout.SawInsertMedia, "insert virtual media", began, err)
}

func (b *boots) ejected(machine sprout.MachineID, began time.Time, err error) {
	b.acted(machine, sprout.SawEjectMedia, "eject virtual media", began, err)
}

// mediaFetched tells of what the BMC fetched of the image that it inserts.
func (b *boots) mediaFetched(a sitestore.Attempt, r *http.Request, bytes, size int64, took time.Duration) {
	e := ofAttempt(a, r, sprout.SawMedia)
	e.File, e.Bytes, e.Size, e.Seconds = path.Base(r.URL.Path), bytes, size, took.Seconds()
	e.Detail = fmt.Sprintf("%d of %d B in %s", bytes, size, took.Round(time.Millisecond))
	b.tell(e)
}

// acted files the event under the time when the BMC was told: a machine may ask
// for an address before its BMC says that it is on.
func (b *boots) acted(machine sprout.MachineID, what, order string, began time.Time, err error) {
	e := sprout.BootEvent{At: began, Machine: machine, What: what, Seconds: time.Since(began).Seconds(), Detail: "the BMC did: " + order}
	if err != nil {
		e.Code, e.Detail = sprout.BMCFailed, fmt.Sprintf("the BMC did not: %s: %v", order, err)
		var f *sprout.Failure
		if errors.As(err, &f) {
			e.Code = f.Code
		}
	}
	b.tell(e)
}

// transferred tells of a TFTP transfer under the MAC that has the address.
func (s *site) transferred(t tftp.Transfer) {
	from := t.Client.Addr().Unmap()
	lease, ok := s.leaseByIP(from)
	if !ok {
		return
	}
	detail := fmt.Sprintf("%s, %d of %d B in %s", t.File, t.Bytes, t.Size, t.Elapsed.Round(time.Millisecond))
	if t.Detail != "" {
		detail += ": " + t.Detail
	}
	s.boots.tell(sprout.BootEvent{
		MAC: lease.MAC, What: "tftp-" + string(t.Outcome), Detail: detail, From: from,
		File: t.File, Bytes: t.Bytes, Size: t.Size, Seconds: t.Elapsed.Seconds(),
	})
}

// ofAttempt begins an event about the ramdisk or the host of an attempt.
func ofAttempt(a sitestore.Attempt, r *http.Request, what string) sprout.BootEvent {
	e := sprout.BootEvent{Machine: a.Machine, MAC: a.MAC, What: what, From: remoteOf(r)}
	if a.Machine != "" { // an unknown machine's attempt may outlive a boot
		e.Attempt = a.ID
	}
	return e
}

func remoteOf(r *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap().WithZone("")
}

func (b *boots) greeted(a sitestore.Attempt, r *http.Request, h sprout.Hello) {
	e := ofAttempt(a, r, sprout.SawHello)
	e.MAC = h.BootMAC
	if a.MAC != "" {
		e.MAC = a.MAC
	}
	e.Detail = fmt.Sprintf("the ramdisk runs: %s, %s, version %s", h.BootMode, h.Architecture, h.Version)
	b.tell(e)
}

// turnedAway tells of a ramdisk whose token is not good, under the MAC that has
// its address.
func (s *site) turnedAway(r *http.Request, why error) {
	lease, ok := s.leaseByIP(remoteOf(r))
	if !ok || lease.MAC == "" {
		return
	}
	s.boots.tell(sprout.BootEvent{
		MAC: lease.MAC, What: sprout.SawStranger, From: remoteOf(r), File: r.URL.Path, Code: sprout.Code(sprout.Denied), Detail: why.Error(),
	})
}

func (b *boots) ordered(a sitestore.Attempt, r *http.Request, o sprout.Order) {
	e := ofAttempt(a, r, sprout.SawOrder)
	e.File, e.Detail = string(o.Kind), "the ramdisk is told to "+string(o.Kind)
	b.tell(e)
}

func (b *boots) reported(a sitestore.Attempt, r *http.Request, o sprout.Order, report sprout.Report, clockOff time.Duration) {
	e := ofAttempt(a, r, sprout.SawOrderDone)
	e.File, e.Detail = string(o.Kind), "the ramdisk did: "+string(o.Kind)
	if w := report.Written; w != nil {
		e.Bytes, e.Seconds = w.RawBytes, w.Seconds
		e.Detail += " on " + path.Join("/dev", w.Disk.Name)
	}
	if clockOff != 0 {
		e.Detail += fmt.Sprintf("; its clock is wrong by %s, so its times are the agent's", clockOff)
	}
	if report.Outcome == "failed" {
		e.What, e.Code, e.Detail = sprout.SawOrderFailed, sprout.InternalFailure, "the ramdisk failed to "+string(o.Kind)
		if f := report.Failure; f != nil {
			e.Code, e.Detail = f.Code, e.Detail+": "+f.Reason
		}
	}
	b.warned(a, r, report.Console)
	b.tell(e)
}

// mostLines is how many lines of a machine's console one report may bring.
const mostLines = 20

// warned files what the machine's kernel wrote, at the time when it did.
func (b *boots) warned(a sitestore.Attempt, r *http.Request, lines []sprout.ConsoleLine) {
	now := b.site.clock.Now()
	for _, line := range lines[max(0, len(lines)-mostLines):] {
		e := ofAttempt(a, r, sprout.SawConsole)
		ago := time.Duration(min(max(line.Ago, 0), (24*time.Hour).Seconds()) * float64(time.Second))
		e.At, e.Detail = now.Add(-ago), line.Text
		b.tell(e)
	}
}

func (b *boots) imaged(a sitestore.Attempt, r *http.Request, img sprout.Image, bytes int64, took time.Duration) {
	e := ofAttempt(a, r, sprout.SawImage)
	e.File, e.Bytes, e.Size, e.Seconds = img.Name, bytes, img.Bytes, took.Seconds()
	e.Detail = fmt.Sprintf("%d of %d B in %s", bytes, img.Bytes, took.Round(time.Millisecond))
	b.tell(e)
}

// waits tells that the machine has to wait for its turn.
func (b *boots) waits(one *turn, word sprout.Turn) {
	b.tell(sprout.BootEvent{Machine: one.machine, Attempt: one.attempt, What: sprout.SawWait, Detail: "waits for " + word.String()})
}

func (b *boots) told(a sitestore.Attempt, r *http.Request) {
	e := ofAttempt(a, r, sprout.SawMetadata)
	e.File = r.PathValue("path")
	e.Detail = "the installed system asks for " + e.File
	b.tell(e)
}

func (b *boots) cameHome(a sitestore.Attempt, r *http.Request) {
	e := ofAttempt(a, r, sprout.SawHome)
	e.Detail = "the installed system runs"
	b.tell(e)
}
