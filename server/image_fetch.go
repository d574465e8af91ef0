package server

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sprout"
	"sprout/api"
	"sprout/image"
)

// fetchHold is how long who asks for a fetch is held before it is told how far
// that is.
const fetchHold = time.Second

// imageFetch has an image fetched, and tells how far that is. Whoever asks again
// once it is there has it again.
func (s *Server) imageFetch(ctx context.Context, in *api.FetchImage) (out api.FetchedImage, err error) {
	from := in.Body
	if old, err := s.store.FindImage(ctx, in.Image); err == nil && (old.Name == in.Image || slices.Contains(old.Aliases, in.Image)) {
		if old.Name != in.Image || old.Source != image.Shown(from.URL) || from.Digest != "" && old.Digest != from.Digest {
			return out, nameTaken(in.Image, old)
		}
		return api.FetchedImage{Image: &old}, nil
	}
	if err := cmp.Or(image.CheckSource(from.URL, from.Digest, from.Unverified), knownModes(from.BootModes)); err != nil {
		return out, err
	}
	most := int64(cmp.Or(s.config.Images.Most, mostFetched)) * gigabyte
	read, at, err := s.images.Pull(ctx, s.outside, image.Pull{URL: from.URL, Most: most, Options: image.ImportOptions{
		Name: in.Image, Architecture: from.Architecture, BootModes: from.BootModes, Expect: from.Digest, MostRaw: s.config.Images.mostRaw(),
	}}, fetchHold)
	if err != nil || at != nil {
		return api.FetchedImage{Progress: at}, err
	}
	read.ID, read.Name, read.Source = sprout.NewID[sprout.ImageID](sprout.PrefixImage), in.Image, image.Shown(from.URL)
	made, err := s.recordImage(ctx, api.ImageFetch.Name, read)
	return api.FetchedImage{Image: &made}, err
}
