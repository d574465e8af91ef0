package cli

import (
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"sprout"
	"sprout/image/debian"
	ramdisk "sprout/ramdisk/build"
)

// ramdiskCommand builds what machines boot to be inspected and installed.
func ramdiskCommand(e *env) *cobra.Command {
	return group("ramdisk", "What machines boot to be inspected, installed and erased.", ramdiskBuildCommand(e))
}

func ramdiskBuildCommand(e *env) *cobra.Command {
	var opts ramdisk.Options
	var out string
	c := &cobra.Command{
		Use: "build", Short: "Build the ramdisk's kernel and initrd.", Args: takes(0, 0, "no arguments"),
		Long: "Build vmlinuz and initrd from Debian's kernel package and the ramdisk's own program. What is built from the same\n" +
			"kernel, modules and program is used again. With --tools it also builds tools.squashfs and layout.squashfs from Debian's packages,\n" +
			"which needs mmdebstrap and mksquashfs: a ramdisk fetches them only when it is to run a hardware test that calls programs, or\n" +
			"to make a layout.",
		Example: "  sprout ramdisk build --init bin/sprout-ramdisk --dir /var/cache/sprout/ramdisk\n  sprout ramdisk build --init bin/sprout-ramdisk --tools\n" +
			"  sprout ramdisk build --arch arm64 --init bin/sprout-ramdisk-arm64   # beside it, with the loaders of arm64",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := checkArch(opts.Architecture); err != nil {
				return err
			}
			if opts.Tools && opts.Architecture != sprout.AMD64 {
				return sprout.InvalidField("--tools", "cannot build the tests' tools for %s: they are built for amd64 only", opts.Architecture)
			}
			if err := ramdisk.Build(ctx, out, opts, e.log); err != nil {
				return err
			}
			return e.say(map[string]string{"dir": out}, "the ramdisk is in %s", out)
		},
	}
	c.Flags().StringVar((*string)(&opts.Architecture), "arch", string(sprout.AMD64), "of the machines: amd64, or arm64, which goes to a directory of that name below --dir")
	c.Flags().BoolVar(&opts.Tools, "tools", false, "also build tools.squashfs and layout.squashfs: the programs that hardware tests call, and that layouts are made with")
	c.Flags().StringVar(&opts.InitPath, "init", "", "the static program that becomes /init (bin/sprout-ramdisk)")
	c.Flags().StringVar(&opts.KernelVersion, "kernel", "", "kernel version, like 6.1.0-56-amd64 (default: the newest of Debian)")
	c.Flags().StringSliceVar(&opts.Modules, "module", nil, "one more kernel module; may be repeated")
	c.Flags().StringVar(&out, "dir", "/var/cache/sprout/ramdisk", "directory to build in")
	return c
}

func checkArch(arch sprout.Architecture) error {
	if arch != sprout.AMD64 && arch != sprout.ARM64 {
		return sprout.InvalidField("--arch", "there is nothing to build for %q: it must be amd64 or arm64", arch)
	}
	return nil
}

// recipeSuites are the images that Sprout can build by itself, and the releases of
// Debian that they are of.
var recipeSuites = map[string]string{"debian-12": "bookworm", "debian-13": "trixie"}

// imageRecipes are their names.
var imageRecipes = slices.Sorted(maps.Keys(recipeSuites))

func imageBuildCommand(e *env) *cobra.Command {
	var opts debian.Options
	var out string
	c := &cobra.Command{
		Use: "build RECIPE", Short: "Build an OS image by a recipe: " + strings.Join(imageRecipes, ", ") + ".", Args: takes(1, 1, "the name of a recipe"),
		Long: "Build a disk image that boots by BIOS and by UEFI, or for arm64 by UEFI, with cloud-init and OpenSSH. With --rootfs it is a tar\n" +
			"of a root file system instead, with what RAID 1 and LVM need, and a layout says what the disks become when it is deployed.\n" +
			"What is built from the same recipe is used again; import it with: sprout image import",
		Example: "  sprout image build debian-12 --file debian-12.raw.zst\n" +
			"  sprout image build debian-12 --arch arm64 --file debian-12-arm64.raw.zst\n" +
			"  sprout image build debian-12 --rootfs --file debian-12-rootfs.tar.zst   # deploy it with --layout",
		RunE: func(c *cobra.Command, args []string) error {
			if opts.Suite = recipeSuites[args[0]]; opts.Suite == "" {
				err := sprout.InvalidField("RECIPE", "there is no recipe %q: it must be one of %s", args[0], strings.Join(imageRecipes, ", "))
				return err
			}
			switch {
			case out == "" && opts.RootFS:
				out = args[0] + "-rootfs.tar.zst"
			case out == "":
				out = args[0] + ".raw.zst"
			}
			if err := checkArch(opts.Architecture); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := debian.Build(ctx, out, opts, e.log); err != nil {
				return err
			}
			return e.say(map[string]string{"file": out}, "the image is in %s", out)
		},
	}
	c.Flags().StringVar((*string)(&opts.Architecture), "arch", string(sprout.AMD64), "of the machines: amd64 or arm64")
	c.Flags().StringVar(&out, "file", "", "file to write (default RECIPE.raw.zst, or RECIPE-rootfs.tar.zst)")
	c.Flags().BoolVar(&opts.RootFS, "rootfs", false, "build a root file system for layouts, not a disk")
	c.Flags().StringVar(&opts.Kernel, "kernel-package", "", "Debian package of the kernel (default linux-image- and the architecture)")
	c.Flags().StringSliceVar(&opts.Packages, "package", nil, "one more Debian package; may be repeated")
	c.Flags().IntVar(&opts.Level, "level", 0, "of the zstd compression (default 6)")
	return c
}
