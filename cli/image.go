package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"sprout"
	"sprout/api"
)

func imageCommand(e *env) *cobra.Command {
	return group("image", "OS disk images, known by their digest.",
		imageImportCommand(e), imageBuildCommand(e), imageListCommand(e), imageShowCommand(e),
		deleteCommand(e, "image", "debian-11", api.ImageDelete, func(ref string) api.ImageRef { return api.ImageRef{Image: ref} }, e.imageLoss))
}

func imageImportCommand(e *env) *cobra.Command {
	var arch, digest string
	var modes []string
	c := &cobra.Command{
		Use: "import NAME FILE", Short: api.ImageImport.Help, Args: takes(2, 2, "a name and a file"),
		Example: "  sprout image import debian-12 debian-12.img.zst\n  sprout image import debian-12 debian-12.qcow2 --boot-mode uefi",
		RunE: func(c *cobra.Command, args []string) error {
			in := api.ImportImage{Name: args[0], Architecture: sprout.Architecture(arch), Digest: digest}
			for _, m := range modes {
				in.BootModes = append(in.BootModes, sprout.BootMode(m))
			}
			image, err := e.upload(c, in, args[1])
			if err != nil {
				return err
			}
			return e.say(image, "image %s is imported: %s, %s on disk, %s", image.Name, size(image.Bytes), size(image.RawBytes), image.Digest)
		},
	}
	c.Flags().StringVar(&arch, "arch", "", "amd64 or arm64 (default amd64)")
	c.Flags().StringSliceVar(&modes, "boot-mode", nil, "bios or uefi; may be repeated (default both)")
	c.Flags().StringVar(&digest, "digest", "", "sha256:… that the file must have")
	return c
}

func (e *env) upload(c *cobra.Command, in api.ImportImage, name string) (sprout.Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return sprout.Image{}, sprout.InvalidField("FILE", "cannot read it: %v", err)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return sprout.Image{}, sprout.InvalidField("FILE", "%s is no regular file", name)
	}
	conn, err := e.client()
	if err != nil {
		return sprout.Image{}, err
	}
	reader, done := e.showUpload(f, info.Size(), in.Name)
	in.Content = reader
	image, err := conn.ImportImage(c.Context(), in, info.Size())
	done(err == nil)
	return image, err
}

// showUpload wraps r with a progress bar where people look on.
func (e *env) showUpload(r io.Reader, size int64, name string) (io.Reader, func(whole bool)) {
	if !isTerminal(e.stderr) {
		return r, func(bool) {}
	}
	progress := mpb.New(mpb.WithOutput(e.stderr))
	bar := progress.AddBar(size, mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageSpeed(decor.SizeB1000(0), "% .1f")))
	return bar.ProxyReader(r), func(whole bool) {
		if !whole {
			bar.Abort(false)
		}
		progress.Wait()
	}
}

func imageListCommand(e *env) *cobra.Command {
	return listCommand(e, api.ImageList, &api.ListImages{}, listing[sprout.Image]{
		Example: "  sprout image list", None: "no images: sprout image import NAME FILE",
		Columns: []column[sprout.Image]{
			{Name: "NAME", Value: func(i sprout.Image) string { return i.Name }},
			{Name: "ARCH", Value: func(i sprout.Image) string { return string(i.Architecture) }},
			{Name: "BOOT", Value: bootModes},
			{Name: "STORED", Value: func(i sprout.Image) string { return size(i.Bytes) }},
			{Name: "ON DISK", Value: func(i sprout.Image) string { return size(i.RawBytes) }},
			{Name: "CREATED", Value: func(i sprout.Image) string { return moment(i.CreatedAt) }},
			{Name: "DIGEST", Value: func(i sprout.Image) string { return i.Digest }, Wide: true},
		},
	})
}

func imageShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show IMAGE", Short: api.ImageShow.Help, Args: takes(1, 1, "the name of an image"), Example: "  sprout image show debian-12",
		RunE: func(c *cobra.Command, args []string) error {
			i, err := call(c.Context(), e, api.ImageShow, api.ImageRef{Image: args[0]})
			if err != nil {
				return err
			}
			return e.answer(i, func() {
				writeLines(e.stdout, []line{
					{"Name", i.Name}, {"Architecture", string(i.Architecture)}, {"Boot modes", bootModes(i)},
					{"Stored", fmt.Sprintf("%s (%s)", size(i.Bytes), i.Compression)}, {"Digest", i.Digest},
					{"On disk", size(i.RawBytes)}, {"Raw digest", i.RawDigest}, {"Created", moment(i.CreatedAt)}, {"Id", string(i.ID)},
				})
			})
		},
	}
}

func bootModes(i sprout.Image) string {
	var all []string
	for _, m := range i.BootModes {
		all = append(all, string(m))
	}
	return strings.Join(all, ", ")
}
