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
	return group("image", "OS images, known by their digest.",
		imageImportCommand(e), imageBuildCommand(e), imageListCommand(e), imageShowCommand(e), imagePruneCommand(e), imageAliasCommand(e),
		deleteCommand(e, "image", "debian-11", api.ImageDelete, func(ref string) api.ImageRef { return api.ImageRef{Image: ref} }, e.imageLoss))
}

func imageImportCommand(e *env) *cobra.Command {
	var in api.ImportImage
	var arch string
	var modes []string
	var unverified bool
	c := &cobra.Command{
		Use: "import NAME FILE|URL", Short: "Import an OS image from a file or a URL: a disk or a root file system.", Args: takes(2, 2, "a name, and a file or a URL"),
		Long: "Import an OS image: of a disk (raw or qcow2), or of a root file system (tar or squashfs), plain or compressed with gzip, xz\n" +
			"or zstd. What it is, and as far as possible its architecture, is told by its content; an image that is cut off, damaged or\n" +
			"other than said is refused. A URL is fetched by the control plane. If this command is ended, so is the fetch two minutes\n" +
			"later; the same command goes on from there.",
		Example: "  sprout image import debian-12 debian-12.img.zst\n  sprout image import debian-12 debian-12.qcow2 --boot-mode uefi\n" +
			"  sprout image import debian-12 https://images.example.com/debian-12.tar.xz --digest sha256:9f86d081…",
		RunE: func(c *cobra.Command, args []string) error {
			in.Name, in.Architecture, in.BootModes = args[0], sprout.Architecture(arch), nil
			for _, m := range modes {
				in.BootModes = append(in.BootModes, sprout.BootMode(m))
			}
			bring := e.upload
			if strings.Contains(args[1], "://") {
				bring = func(c *cobra.Command, in api.ImportImage, from string) (sprout.Image, error) {
					return e.fetch(c, in, from, unverified)
				}
			}
			image, err := bring(c, in, args[1])
			if err != nil {
				return err
			}
			return e.say(image, "image %s is imported: %s of %s, %s on disk, for %s, %s", image.Name, image.Kind, size(image.Bytes), size(image.RawBytes), image.Architecture, image.Digest)
		},
	}
	c.Flags().StringVar(&arch, "arch", "", "amd64 or arm64 (default what the image itself says, else amd64)")
	c.Flags().StringSliceVar(&modes, "boot-mode", nil, "bios or uefi; may be repeated (default what the image itself has, else both)")
	c.Flags().StringVar(&in.Digest, "digest", "", "sha256:… that the file must have; needed for http://")
	c.Flags().BoolVar(&unverified, "unverified", false, "take what comes by http:// without a digest")
	return c
}

// fetch has the control plane fetch an image, and shows how far that is.
func (e *env) fetch(c *cobra.Command, in api.ImportImage, from string, unverified bool) (image sprout.Image, err error) {
	ask := api.FetchImage{Image: in.Name}
	ask.Body.URL, ask.Body.Digest, ask.Body.Unverified = from, in.Digest, unverified
	ask.Body.Architecture, ask.Body.BootModes = in.Architecture, in.BootModes
	show, done := e.showFetch(in.Name)
	defer func() { done(err == nil) }()
	for {
		got, err := call(c.Context(), e, api.ImageFetch, ask)
		if err != nil {
			return image, err
		}
		if got.Image != nil {
			return *got.Image, nil
		}
		show(got.Progress)
	}
}

// showFetch shows progress: as a bar where people look on, else in lines.
func (e *env) showFetch(name string) (show func(*sprout.Progress), done func(whole bool)) {
	if !isTerminal(e.stderr) {
		last := ""
		return func(p *sprout.Progress) {
			if now := fetchWords(p); now != last && !e.machineReadable() {
				fmt.Fprintln(e.stderr, name+": "+now)
				last = now
			}
		}, func(bool) {}
	}
	progress := mpb.New(mpb.WithOutput(e.stderr))
	bar := progress.AddBar(0, mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.CurrentKibiByte("% .1f"), decor.Name(" "), decor.Percentage()))
	return func(p *sprout.Progress) {
			bar.SetTotal(max(p.Total, p.Done+1), false)
			bar.SetCurrent(p.Done)
		}, func(whole bool) {
			if whole {
				bar.SetTotal(-1, true)
			} else {
				bar.Abort(false)
			}
			progress.Wait()
		}
}

func fetchWords(p *sprout.Progress) string {
	switch {
	case p == nil || p.Waits != "":
		return "checked"
	case p.Total > 0:
		return fmt.Sprintf("%s of %s", size(p.Done), size(p.Total))
	}
	return size(p.Done)
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
			{Name: "ALIASES", Value: func(i sprout.Image) string { return dash(strings.Join(i.Aliases, ", ")) }},
			{Name: "KIND", Value: func(i sprout.Image) string { return string(i.Kind) }},
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
					{"Name", i.Name}, {"Aliases", strings.Join(i.Aliases, ", ")}, {"Kind", string(i.Kind)}, {"Architecture", string(i.Architecture)}, {"Boot modes", bootModes(i)},
					{"Stored", fmt.Sprintf("%s (%s)", size(i.Bytes), i.Compression)}, {"Digest", i.Digest},
					{"On disk", size(i.RawBytes)}, {"Raw digest", i.RawDigest}, {"Source", i.Source}, {"Created", moment(i.CreatedAt)}, {"Id", string(i.ID)},
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
