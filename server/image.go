package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
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
	if old, err := s.store.FindImage(ctx, in.Name); err == nil && (old.Name == in.Name || slices.Contains(old.Aliases, in.Name)) {
		return made, nameTaken(in.Name, old)
	}
	if err := knownModes(in.BootModes); err != nil {
		return made, err
	}
	read, err := s.images.Import(ctx, in.Content, image.ImportOptions{Name: in.Name, Architecture: in.Architecture, BootModes: in.BootModes, Expect: in.Digest, MostRaw: s.config.Images.mostRaw()})
	if err != nil {
		return made, err
	}
	return s.recordImage(ctx, api.ImageImport.Name, read)
}

func knownModes(modes []sprout.BootMode) error {
	for _, mode := range modes {
		if mode != sprout.BIOS && mode != sprout.UEFI {
			return sprout.InvalidField("bootModes", "%q must be bios or uefi", mode)
		}
	}
	return nil
}

// recordImage makes an image of what the image store has read. Once it is on record
// nobody drops its bytes; Conflict if somebody has before.
func (s *Server) recordImage(ctx context.Context, operation string, read sprout.Image) (made sprout.Image, err error) {
	err = s.change(ctx, operation, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) (err error) {
		made, err = s.store.CreateImage(ctx, tx, read)
		about(r, "", made.ID, made.Name)
		r.Changes = audit.Diff(nil, made)
		r.Detail = made.Digest
		if err == nil && !s.images.Has(made.Digest) {
			return sprout.Errorf(sprout.Conflict, "cannot record image %s: its bytes were removed meanwhile, as nothing had them", made.Name).WithRemedy("import it again")
		}
		return err
	})
	return made, err
}

func nameTaken(name string, old sprout.Image) error {
	if old.Name != name {
		e := sprout.Errorf(sprout.Conflict, "%s is an alias of image %s already", name, old.Name)
		e.Field = "name"
		return e.WithRemedy("another name, then sprout image alias set %s NAME", name)
	}
	e := sprout.Errorf(sprout.Conflict, "there is an image %s already", name)
	e.Field = "name"
	return e.WithRemedy("sprout image delete %s, or another name and an alias: sprout image alias set ALIAS NAME", name)
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
	if len(i.Aliases) > 0 {
		e := sprout.Errorf(sprout.Conflict, "cannot delete image %s: it is what %s means", i.Name, strings.Join(i.Aliases, ", "))
		return api.None{}, e.WithRemedy("sprout image alias set %s IMAGE moves it, sprout image alias delete %s ends it", i.Aliases[0], i.Aliases[0])
	}
	err = s.change(ctx, api.ImageDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		about(r, "", i.ID, i.Name)
		r.Changes = audit.Diff(i, nil)
		if err := s.notDeploying(ctx, tx, i); err != nil {
			return err
		}
		return s.store.DeleteImage(ctx, tx, i.ID)
	})
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.store.After(ctx, func(ctx context.Context) error { return s.dropBytes(ctx, i.Digest) })
}

// notDeploying refuses while machines are being deployed. It takes the image's row
// first, which every deploy holds until its workflow is on record: so none begins
// unseen.
func (s *Server) notDeploying(ctx context.Context, tx pgx.Tx, i sprout.Image) error {
	if err := s.store.Lock(ctx, tx, "image", string(i.ID)); err != nil {
		return err
	}
	live, _, err := s.store.In(tx).Workflows(ctx, store.WorkflowFilter{Kind: "deploy", Live: true, Page: store.Page{Limit: 1}})
	if err != nil || len(live) == 0 {
		return err
	}
	return sprout.Errorf(sprout.Conflict, "cannot delete image %s while %s is being deployed", i.Name, live[0].MachineName).
		WithRemedy("sprout workflow wait %s", live[0].ID)
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
		http.ServeContent(&contentWriter{ResponseWriter: w, request: r}, r, "", time.Time{}, f)
	}}, nil
}

// A contentWriter makes problem documents of the plain refusals of
// http.ServeContent: of a range that is not there, and of another entity tag.
type contentWriter struct {
	http.ResponseWriter
	request *http.Request
	refused bool
}

func (w *contentWriter) WriteHeader(status int) {
	if status < http.StatusBadRequest {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	detail := "the content is not what the entity tag of If-Match says"
	if status == http.StatusRequestedRangeNotSatisfiable {
		detail = "cannot answer with the range " + w.request.Header.Get("Range") + ": the content is " + strings.TrimPrefix(w.Header().Get("Content-Range"), "bytes */") + " bytes"
	}
	w.Header().Del("ETag") // it is of the content
	api.WriteFault(w.ResponseWriter, api.NewFault(w.request.Context(), status, api.KindOfStatus(status), detail))
}

func (w *contentWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *contentWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
