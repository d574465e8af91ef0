package redfish

import (
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"

	"sprout"
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
func (m media) in() bool { return m.Inserted || m.Image != nil && *m.Image != "" }

// InsertMedia puts the image into the first drive that takes CDs, and reads back
// that it is in.
func (p *Provider) InsertMedia(ctx context.Context, url string) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	p.image = url
	if err := p.eject(ctx); err != nil {
		return err
	}
	at, m, err := p.findDrive(ctx)
	if err != nil {
		return err
	}
	body := map[string]any{"Image": url, "Inserted": true, "WriteProtected": true}
	if target := m.Actions.Insert.Target; target != "" {
		_, err = p.call(ctx, http.MethodPost, target, body, "")
	} else { // as of services without the action (VirtualMedia 1.0)
		_, err = p.call(ctx, http.MethodPatch, at, body, "*")
	}
	if err != nil {
		return p.mediaRefused(err)
	}
	return p.awaitMedia(ctx, at, true)
}

// EjectMedia takes out what is in the drive.
func (p *Provider) EjectMedia(ctx context.Context) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	return p.eject(ctx)
}

func (p *Provider) eject(ctx context.Context) error {
	at, m, err := p.findDrive(ctx)
	var f *sprout.Failure
	if errors.As(err, &f) && f.Code == sprout.MediaRefused {
		return nil // where there is no drive, nothing is in it
	}
	if err != nil || !m.in() {
		return err
	}
	if target := m.Actions.Eject.Target; target != "" {
		_, err = p.call(ctx, http.MethodPost, target, map[string]any{}, "")
	} else {
		_, err = p.call(ctx, http.MethodPatch, at, map[string]any{"Image": nil, "Inserted": false}, "*")
	}
	if err != nil {
		// A BMC may refuse what has just become so by another hand.
		if m, again := p.readMedia(ctx, at); again == nil && !m.in() {
			return nil
		}
		return p.mediaRefused(err)
	}
	return p.awaitMedia(ctx, at, false)
}

// awaitMedia reads back until something is in the drive, or nothing: some BMCs
// take a moment.
func (p *Provider) awaitMedia(ctx context.Context, at string, in bool) error {
	for range overrideLooks {
		m, err := p.readMedia(ctx, at)
		if err != nil || m.in() == in {
			return err
		}
		if err := p.pause(ctx, p.config.Poll); err != nil {
			break
		}
	}
	what := map[bool]string{true: "insert", false: "eject"}[in]
	return p.fail(sprout.MediaRefused, "cannot "+what+" virtual media: the BMC accepted the command but did not do it", p.base.Host+at)
}

// mediaRefused is a refusal of the BMC's as one of its media; others are as they are.
func (p *Provider) mediaRefused(err error) error {
	var f *sprout.Failure
	if errors.As(err, &f) && f.Code == sprout.BMCFailed {
		return p.fail(sprout.MediaRefused, "cannot change virtual media: "+f.Reason, f.Evidence)
	}
	return err
}

func (p *Provider) readMedia(ctx context.Context, at string) (m media, err error) {
	return m, p.get(ctx, at, &m)
}

// findDrive returns the first virtual drive that takes CDs: the system's own, or
// as services had it before ComputerSystem 1.13 that of its manager.
func (p *Provider) findDrive(ctx context.Context) (at string, m media, err error) {
	if p.drive != "" {
		m, err = p.readMedia(ctx, p.drive)
		var f *sprout.Failure
		if !errors.As(err, &f) || f.Code != sprout.BMCFailed {
			return p.drive, m, err
		}
		p.drive = "" // it was there: it is looked for anew
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
				p.drive = d.ID
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
func (p *Provider) mediaCollections(ctx context.Context) (all []string, err error) {
	s, err := p.readSystem(ctx)
	if err != nil {
		return nil, err
	}
	if s.Media.ID != "" {
		all = append(all, s.Media.ID)
	}
	for _, by := range s.Links.ManagedBy {
		var manager struct {
			Media link `json:"VirtualMedia"`
		}
		if err := p.get(ctx, by.ID, &manager); err != nil {
			return nil, err
		}
		if manager.Media.ID != "" && !slices.Contains(all, manager.Media.ID) {
			all = append(all, manager.Media.ID)
		}
	}
	return all, nil
}
