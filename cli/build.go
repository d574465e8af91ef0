package cli

import (
	"os"
	"os/signal"
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
			"kernel, modules and program is used again. With --tools it also builds tools.squashfs from Debian's packages, which needs\n" +
			"mmdebstrap and mksquashfs: a ramdisk fetches it only when it is to run a hardware test that calls programs.",
		Example: "  sprout ramdisk build --init bin/sprout-ramdisk --dir /var/cache/sprout/ramdisk\n  sprout ramdisk build --init bin/sprout-ramdisk --tools",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := ramdisk.Build(ctx, out, opts, e.log); err != nil {
				return err
			}
			return e.say(map[string]string{"dir": out}, "the ramdisk is in %s", out)
		},
	}
	c.Flags().BoolVar(&opts.Tools, "tools", false, "also build tools.squashfs: the programs that hardware tests call")
	c.Flags().StringVar(&opts.InitPath, "init", "", "the static program that becomes /init (bin/sprout-ramdisk)")
	c.Flags().StringVar(&opts.KernelVersion, "kernel", "", "kernel version, like 6.1.0-56-amd64 (default: the newest of Debian)")
	c.Flags().StringSliceVar(&opts.Modules, "module", nil, "one more kernel module; may be repeated")
	c.Flags().StringVar(&out, "dir", "/var/cache/sprout/ramdisk", "directory to build in")
	return c
}

// imageRecipes are the images that Sprout can build by itself.
var imageRecipes = []string{"debian-12"}

func imageBuildCommand(e *env) *cobra.Command {
	var opts debian.Options
	var out string
	c := &cobra.Command{
		Use: "build RECIPE", Short: "Build an OS image by a recipe: " + strings.Join(imageRecipes, ", ") + ".", Args: takes(1, 1, "the name of a recipe"),
		Long: "Build a disk image that boots by BIOS and by UEFI, with cloud-init and OpenSSH. What is built from the same recipe is\n" +
			"used again; import it with: sprout image import",
		Example: "  sprout image build debian-12 --file debian-12.raw.zst",
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] != imageRecipes[0] {
				err := sprout.InvalidField("RECIPE", "there is no recipe %q: it must be one of %s", args[0], strings.Join(imageRecipes, ", "))
				return err
			}
			if out == "" {
				out = args[0] + ".raw.zst"
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := debian.Build(ctx, out, opts, e.log); err != nil {
				return err
			}
			return e.say(map[string]string{"file": out}, "the image is in %s", out)
		},
	}
	c.Flags().StringVar(&out, "file", "", "file to write (default RECIPE.raw.zst)")
	c.Flags().StringVar(&opts.Kernel, "kernel-package", "", "Debian package of the kernel (default linux-image-amd64)")
	c.Flags().StringSliceVar(&opts.Packages, "package", nil, "one more Debian package; may be repeated")
	c.Flags().IntVar(&opts.Level, "level", 0, "of the zstd compression (default 6)")
	return c
}
