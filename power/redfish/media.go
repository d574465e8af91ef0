package redfish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"sprout"
	"sprout/power"
)

// The parts of the VirtualMedia schema (DSP8010) that we read.
type media struct {
	Types    []string `json:"MediaTypes"`
	Image    *string  `json:"Image"`
	Inserted bool     `json:"Inserted"`
	Actions  struct {
		Insert mediaAction `json:"#VirtualMedia.InsertMedia"`
		Eject  mediaAction `json:"#VirtualMedia.EjectMedia"`
	} `json:"Actions"`
}

type mediaAction struct {
	Target string `json:"target"`
}

// in tells whether there is something in the drive. Some BMCs say so by the
// image's name alone.
func (m media) in(q quirk) bool {
	return m.Inserted || !q.staleImage && m.Image != nil && *m.Image != ""
}

// Insert orders the image into the first drive that takes CDs.
func (p *Driver) Insert(ctx context.Context, url string) error {
	p.image = url
	return p.probing(func() error {
		at, m, err := p.findDrive(ctx)
		if err != nil {
			return err
		}
		if target := m.Actions.Insert.Target; target != "" {
			_, err = p.call(ctx, http.MethodPost, target, p.insertBody(url, false), "")
		} else { // as of services without the action (VirtualMedia 1.0)
			_, err = p.call(ctx, http.MethodPatch, at, p.insertBody(url, true), "*")
		}
		return p.mediaRefused(err)
	})
}

// insertBody is what a drive is told. An action's other parameters are as we want
// them if they are left out, and some BMCs refuse them; without an action some need
// them.
func (p *Driver) insertBody(image string, patch bool) map[string]any {
	body := map[string]any{"Image": image}
	if patch && !p.found.quirk.imageAlone {
		body["Inserted"], body["WriteProtected"] = true, true
	}
	if u, err := url.Parse(image); err == nil && p.found.quirk.withProtocol {
		body["TransferProtocolType"] = strings.ToUpper(u.Scheme)
	}
	return body
}

// Eject orders out what is in the drive.
func (p *Driver) Eject(ctx context.Context) error {
	return p.probing(func() error {
		at, m, err := p.findDrive(ctx)
		if err != nil {
			return err
		}
		if target := m.Actions.Eject.Target; target != "" {
			_, err = p.call(ctx, http.MethodPost, target, map[string]any{}, "")
		} else {
			body := map[string]any{"Image": nil}
			if !p.found.quirk.imageAlone {
				body["Inserted"] = false
			}
			_, err = p.call(ctx, http.MethodPatch, at, body, "*")
		}
		return p.mediaRefused(err)
	})
}

// Media reads the drive; where there is none, nothing is in it.
func (p *Driver) Media(ctx context.Context) (power.Reading, error) {
	at, m, err := p.findDrive(ctx)
	var f *sprout.Failure
	if errors.As(err, &f) && f.Code == sprout.MediaRefused {
		return power.Reading{Says: f.Evidence}, nil
	}
	return power.Reading{Yes: m.in(p.found.quirk), Says: p.scrub(fmt.Sprintf("%s%s Inserted %t", p.base.Host, at, m.Inserted))}, err
}

// mediaRefused is a refusal of the BMC's as one of its media; others are as they are.
func (p *Driver) mediaRefused(err error) error {
	var f *sprout.Failure
	if errors.As(err, &f) && f.Code == sprout.BMCFailed {
		return p.fail(sprout.MediaRefused, "cannot change virtual media: "+f.Reason, f.Evidence)
	}
	return err
}

func (p *Driver) readMedia(ctx context.Context, at string) (m media, err error) {
	return m, p.get(ctx, at, &m)
}

// findDrive returns the first virtual drive that takes CDs: the system's own, or
// as services had it before ComputerSystem 1.13 that of its manager.
func (p *Driver) findDrive(ctx context.Context) (at string, m media, err error) {
	if p.found.drive != "" {
		m, err = p.readMedia(ctx, p.found.drive)
		var f *sprout.Failure
		if !errors.As(err, &f) || f.Code != sprout.BMCFailed {
			return p.found.drive, m, err
		}
		p.found.drive = "" // it was there: it is looked for anew
	}
	collections, err := p.mediaCollections(ctx)
	if err != nil {
		return "", m, err
	}
	var seen []string
	for _, c := range collections {
		var drives collection
		if err := p.get(ctx, c, &drives); err != nil {
			return "", m, p.mediaRefused(err)
		}
		for _, d := range drives.Members {
			if m, err = p.readMedia(ctx, d.ID); err != nil {
				return "", m, p.mediaRefused(err)
			}
			if slices.Contains(m.Types, "CD") || slices.Contains(m.Types, "DVD") {
				p.found.drive = d.ID
				return d.ID, m, nil
			}
			seen = append(seen, path.Base(d.ID)+" takes "+strings.Join(m.Types, ", "))
		}
	}
	if len(seen) == 0 {
		seen = []string{p.base.Host + " offers no VirtualMedia"}
	}
	return "", m, p.fail(sprout.MediaRefused, "cannot find a virtual CD drive: the BMC has none, or its licence does not allow it", strings.Join(seen, "; "))
}

// mediaCollections are those of the system and of its managers.
func (p *Driver) mediaCollections(ctx context.Context) (all []string, err error) {
	s, err := p.readSystem(ctx)
	if err != nil {
		return nil, err
	}
	if s.Media.ID != "" {
		all = append(all, s.Media.ID)
	}
	for _, by := range s.Links.ManagedBy {
		var m manager
		if err := p.get(ctx, by.ID, &m); err != nil {
			return nil, err
		}
		if m.Media.ID != "" && !slices.Contains(all, m.Media.ID) {
			all = append(all, m.Media.ID)
		}
	}
	return all, nil
}
