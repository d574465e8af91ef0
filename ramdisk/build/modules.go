package build

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modules are the drivers that the ramdisk has, without their dependencies:
// network ports that servers boot from and controllers that their disks are on.
var modules = []string{
	// virtual machines
	"virtio_pci", "virtio_net", "virtio_blk", "virtio_scsi", "virtio_rng", "e1000", "vmxnet3", "vmw_pvscsi",
	"hv_vmbus", "hv_netvsc", "hv_storvsc", "ena",
	// network ports
	"e1000e", "igb", "igc", "ixgbe", "i40e", "ice", "tg3", "bnx2", "bnx2x", "bnxt_en", "r8169",
	"mlx4_en", "mlx5_core", "qede", "cxgb4", "be2net", "sfc", "atlantic", "enic", "forcedeth", "8139cp",
	// disk controllers
	"ahci", "ata_piix", "ata_generic", "nvme", "megaraid_sas", "mpt3sas", "hpsa", "smartpqi", "aacraid",
	"mptspi", "mptsas", "sym53c8xx", "sd_mod", "sr_mod", "sg",
	// what a console or a boot stick hangs on
	"xhci_pci", "ehci_pci", "uhci_hcd", "ohci_pci", "usb_storage", "uas", "usbhid", "hid_generic", "i8042", "atkbd",
	// what tests call is in a squashfs, which is mounted only for them
	"loop", "squashfs",
	// what a shell mounts of an installed system
	"crc32c_generic", "ext4", "xfs", "vfat", "nls_cp437", "nls_ascii", "nls_utf8",
	// the rest
	"efivarfs", "ipmi_si", "ipmi_devintf", "dmi_sysfs",
}

// A tree is the modules of one kernel, as depmod described them.
type tree struct {
	dir  string              // …/lib/modules/VERSION
	file map[string]string   // module → file, relative to dir
	deps map[string][]string // file → files that it needs
}

func readTree(dir string) (*tree, error) {
	t := &tree{dir: dir, file: map[string]string{}, deps: map[string][]string{}}
	raw, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(raw)) {
		if file, deps, ok := strings.Cut(line, ":"); ok {
			t.file[moduleName(file)] = file
			t.deps[file] = strings.Fields(deps)
		}
	}
	return t, nil
}

// moduleName is a module's name as the kernel spells it.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// pick returns the files of the named modules and of all that they need,
// sorted. Modules that the kernel has not, or has built in, are left out.
func (t *tree) pick(names []string) []string {
	var picked []string
	for _, name := range names {
		if file, ok := t.file[name]; ok {
			picked = append(append(picked, file), t.deps[file]...)
		}
	}
	slices.Sort(picked)
	return slices.Compact(picked)
}

// describe returns modules.dep and modules.alias of the picked files only.
func (t *tree) describe(picked []string) (dep, alias string, err error) {
	var d, a strings.Builder
	has := map[string]bool{}
	for _, file := range picked {
		has[moduleName(file)] = true
		fmt.Fprintf(&d, "%s: %s\n", file, strings.Join(t.deps[file], " "))
	}
	raw, err := os.ReadFile(filepath.Join(t.dir, "modules.alias"))
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "alias" && has[f[2]] {
			a.WriteString(line)
		}
	}
	return d.String(), a.String(), nil
}
