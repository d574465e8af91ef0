package server

import (
	"context"
	"errors"
	"fmt"
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

// pruneAfter is how old, in days, an image is at least that is pruned, where nobody says;
// lonelyAfter how long a file may be no image's: one that is fetched is recorded
// when it is asked for again.
const (
	pruneAfter  = 30
	lonelyAfter = time.Hour
)

// imagePrune removes the images that nothing needs, and files that are no image's. Each
// image is looked at once more when it is locked: nothing can come to need it then. A
// request that may be repeated is one transaction for all.
func (s *Server) imagePrune(ctx context.Context, in *api.PruneImages) (out api.Pruning, err error) {
	age := pruneAfter * 24 * time.Hour
	if in.Body.Days != nil {
		age = time.Duration(*in.Body.Days) * 24 * time.Hour
	}
	out.Items = []api.PruneItem{}
	uses, err := s.store.ImageUses(ctx)
	if err != nil {
		return out, err
	}
	goes := map[string]bool{} // images, by digest: false where one stays
	for _, u := range uses {
		item, err := s.pruneImage(ctx, u, age, in.Body.Plan)
		if sprout.KindOf(err) == sprout.NotFound {
			continue // somebody has deleted it meanwhile
		}
		if err != nil {
			return out, err
		}
		stays, seen := goes[u.Digest]
		goes[u.Digest] = item.Outcome != "kept" && (!seen || stays)
		out.Items = append(out.Items, item)
	}
	return out, s.pruneFiles(ctx, in.Body.Plan, goes, &out)
}

// whyKept says what an image is needed for; empty: nothing.
func whyKept(u store.ImageUse, age time.Duration) string {
	switch {
	case len(u.Aliases) > 0:
		return strings.Join(u.Aliases, ", ") + " means it"
	case u.Deploys > 0:
		return others(u.Deploy, u.Deploys) + " being deployed with it"
	case u.Failed > 0:
		return fmt.Sprintf("the deploy of %s did not end well, and may be tried again with it", u.Retry)
	case u.Machines > 0:
		return others(u.Machine, u.Machines) + " deployed with it"
	case u.Younger(age):
		return fmt.Sprintf("it is younger than %d days", age/(24*time.Hour))
	}
	return ""
}

// others names one of n, with its verb.
func others(name string, n int) string {
	switch n {
	case 1:
		return name + " is"
	case 2:
		return name + " and another are"
	}
	return fmt.Sprintf("%s and %d others are", name, n-1)
}

func (s *Server) pruneImage(ctx context.Context, u store.ImageUse, age time.Duration, plan bool) (api.PruneItem, error) {
	item := api.PruneItem{Image: u.ID, Name: u.Name, Bytes: u.Bytes, Outcome: "kept", Why: whyKept(u, age)}
	if item.Why != "" {
		return item, nil
	}
	if plan {
		item.Outcome = "would-remove"
		return item, nil
	}
	err := s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		now, err := s.store.LockImageUse(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if item.Why = whyKept(now, age); item.Why != "" {
			return nil
		}
		record := s.record(ctx, api.ImagePrune.Name)
		about(&record, "", u.ID, u.Name)
		record.Changes, record.Detail = audit.Diff(now.Image, nil), u.Digest
		if err := s.store.DeleteImage(ctx, tx, u.ID); err != nil {
			return err
		}
		item.Outcome = "removed"
		return s.store.Audit(ctx, tx, record)
	})
	return item, err
}

// pruneFiles removes what no image has, once the images are gone for good. goes says which
// digests have images, and whether all of them go.
func (s *Server) pruneFiles(ctx context.Context, plan bool, goes map[string]bool, out *api.Pruning) error {
	files, err := s.images.Files()
	if err != nil {
		return err
	}
	files = leaving(files, goes, time.Now())
	outcome := "removed"
	if plan {
		outcome = "would-remove"
	}
	for _, f := range files {
		out.Bytes += f.Bytes
		if _, isImage := goes[f.Digest]; !isImage {
			out.Items = append(out.Items, api.PruneItem{Name: f.Name, Bytes: f.Bytes, Outcome: outcome})
		}
	}
	if plan {
		return nil
	}
	return s.store.After(ctx, func(ctx context.Context) (err error) {
		for _, f := range files {
			if f.Digest == "" {
				err = errors.Join(err, s.images.Forget(f))
			} else {
				err = errors.Join(err, s.dropBytes(ctx, f.Digest))
			}
		}
		return err
	})
}

// leaving are the files whose images all go, and those that have been no image's for long
// enough.
func leaving(files []image.Leftover, goes map[string]bool, now time.Time) []image.Leftover {
	return slices.DeleteFunc(files, func(f image.Leftover) bool {
		all, isImage := goes[f.Digest]
		return isImage && !all || !isImage && now.Sub(f.At) < lonelyAfter
	})
}

// dropBytes removes the stored bytes of a digest, unless an image has them. None is
// recorded while it looks: see recordImage.
func (s *Server) dropBytes(ctx context.Context, digest string) error {
	return s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if free, err := s.store.WithoutImage(ctx, tx, digest); err != nil || !free {
			return err
		}
		return s.images.Drop(digest)
	})
}
