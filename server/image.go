package server

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/image"
	"sprout/store"
)

// imageImport reads the image to its end before anything is recorded. A name
// that is taken is refused before that.
func (s *Server) imageImport(ctx context.Context, in *api.ImportImage) (made sprout.Image, err error) {
	if old, err := s.store.FindImage(ctx, in.Name); err == nil && old.Name == in.Name {
		return made, nameTaken(in.Name)
	}
	for _, mode := range in.BootModes {
		if mode != sprout.BIOS && mode != sprout.UEFI {
			return made, sprout.InvalidField("bootModes", "%q must be bios or uefi", mode)
		}
	}
	read, err := s.images.Import(ctx, in.Content, image.ImportOptions{Name: in.Name, Architecture: in.Architecture, BootModes: in.BootModes, Expect: in.Digest})
	if err != nil {
		return made, err
	}
	err = s.change(ctx, api.ImageImport.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		made, err = s.store.CreateImage(ctx, tx, read)
		about(r, "", made.ID, made.Name)
		r.Changes = audit.Diff(nil, made)
		r.Detail = made.Digest
		return err
	})
	return made, err
}

func nameTaken(name string) error {
	e := sprout.Errorf(sprout.Conflict, "there is an image %s already", name)
	e.Field = "name"
	return e.WithRemedy("sprout image delete %s, or another name", name)
}

func (s *Server) imageList(ctx context.Context, in *api.ListImages) (api.Page[sprout.Image], error) {
	return paged(s.store.Images(ctx, sorted(in.Paging, in.Sort)))
}

func (s *Server) imageShow(ctx context.Context, in *api.ImageRef) (sprout.Image, error) {
	return s.findImage(ctx, in.Image)
}

// imageDelete forgets an image. Its bytes go once no other name has them and no
// workflow is under way that may fetch them.
func (s *Server) imageDelete(ctx context.Context, in *api.ImageRef) (api.None, error) {
	i, err := s.findImage(ctx, in.Image)
	if err != nil {
		return api.None{}, err
	}
	live, _, err := s.store.Workflows(ctx, store.WorkflowFilter{Kind: "deploy", Live: true, Page: store.Page{Limit: 1}})
	if err != nil {
		return api.None{}, err
	}
	if len(live) > 0 {
		return api.None{}, sprout.Errorf(sprout.Conflict, "cannot delete image %s while %s is being deployed", i.Name, live[0].MachineName).
			WithRemedy("sprout workflow wait %s", live[0].ID)
	}
	err = s.change(ctx, api.ImageDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, "", i.ID, i.Name)
		r.Changes = audit.Diff(i, nil)
		return s.store.DeleteImage(ctx, tx, i.ID)
	})
	if err != nil {
		return api.None{}, err
	}
	if _, err := s.store.FindImage(ctx, i.Digest); sprout.KindOf(err) != sprout.NotFound {
		return api.None{}, err
	}
	return api.None{}, s.store.After(ctx, func(context.Context) error { return s.images.Drop(i.Digest) })
}

// imageContent serves the stored bytes with ranges; they never change, so the
// digest is their tag.
func (s *Server) imageContent(ctx context.Context, in *api.ImageRef) (api.Download, error) {
	i, err := s.findImage(ctx, in.Image)
	if err != nil {
		return api.Download{}, err
	}
	f, err := s.images.Open(i.Digest)
	if err != nil {
		return api.Download{}, err
	}
	return api.Download{Serve: func(w http.ResponseWriter, r *http.Request) {
		defer f.Close() //nolint:errcheck // only read
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", `"`+i.Digest+`"`)
		http.ServeContent(w, r, "", time.Time{}, f)
	}}, nil
}
