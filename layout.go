package sprout

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Layout says what disks become for a root file system. Beside what it names each
// disk gets what the firmware starts (a BIOS boot partition and an EFI system
// partition) and, at its end, the config drive: with any one disk of a mirror gone,
// the others have all that a boot needs.
type Layout struct {
	Name       string            `json:"name,omitempty" doc:"Of the builtin layout that it was made from; empty: an operator's own" example:"raid1"`
	Disks      int               `json:"disks" minimum:"1" maximum:"4" doc:"How many disks are used; from 2 on each of the partitions is a RAID 1 over all of them" example:"2"`
	Partitions []LayoutPartition `json:"partitions" minItems:"1" maxItems:"12" doc:"In their order, the same on each disk"`
	Group      string            `json:"group,omitempty" maxLength:"32" doc:"Name of the LVM volume group, which the partitions of use lvm are" example:"system"`
	Volumes    []LayoutVolume    `json:"volumes,omitempty" maxItems:"32" doc:"Logical volumes of the group"`
}

// A LayoutPartition is one partition of each disk.
type LayoutPartition struct {
	Name  string    `json:"name" maxLength:"16" doc:"Its own; also of its RAID 1" example:"root"`
	Bytes int64     `json:"bytes,omitempty" minimum:"0" doc:"A multiple of 1 MiB; 0: all that is left, of the last one only" example:"1073741824"`
	Use   LayoutUse `json:"use" enum:"ext4,xfs,swap,lvm" doc:"A file system, swap, or a physical volume of the group" example:"ext4"`
	Mount string    `json:"mount,omitempty" maxLength:"200" doc:"Where a file system is mounted" example:"/"`
}

// A LayoutVolume is a logical volume of the volume group.
type LayoutVolume struct {
	Name  string    `json:"name" maxLength:"16" example:"root"`
	Bytes int64     `json:"bytes,omitempty" minimum:"0" doc:"A multiple of 4 MiB; 0: all that is left, of the last one only" example:"4294967296"`
	Use   LayoutUse `json:"use" enum:"ext4,xfs,swap" doc:"A file system, or swap" example:"xfs"`
	Mount string    `json:"mount,omitempty" maxLength:"200" doc:"Where a file system is mounted" example:"/var"`
}

// A LayoutUse is what a partition or a volume is for.
type LayoutUse string

const (
	UseExt4 LayoutUse = "ext4"
	UseXFS  LayoutUse = "xfs"
	UseSwap LayoutUse = "swap"
	UseLVM  LayoutUse = "lvm"
)

// Mounted tells whether it is a file system.
func (u LayoutUse) Mounted() bool { return u == UseExt4 || u == UseXFS }

// A LayoutChoice is what an operator says of it: the name of a builtin layout and its
// options, or a layout of one's own.
type LayoutChoice struct {
	Name       string    `json:"name,omitempty" enum:"plain,lvm,raid1,raid1-lvm" doc:"A builtin layout" example:"raid1"`
	BootBytes  int64     `json:"bootBytes,omitempty" minimum:"0" doc:"Of a builtin layout: size of a /boot of its own; 0: it is in the root" example:"1073741824"`
	SwapBytes  int64     `json:"swapBytes,omitempty" minimum:"0" doc:"Of a builtin layout: size of the swap; 0: none" example:"2147483648"`
	FileSystem LayoutUse `json:"fileSystem,omitempty" enum:"ext4,xfs" doc:"Of a builtin layout: that of the root; empty: ext4" example:"xfs"`
	Own        *Layout   `json:"own,omitempty" doc:"In place of a builtin one"`
}

// A BuiltinLayout is a row of Layouts.
type BuiltinLayout struct {
	Name  string
	Disks int
	LVM   bool
	Help  string
}

// Layouts is the table of builtin layouts.
var Layouts = []BuiltinLayout{
	{"plain", 1, false, "one disk with a file system"},
	{"lvm", 1, true, "one disk with an LVM volume group"},
	{"raid1", 2, false, "two disks, each partition mirrored by RAID 1"},
	{"raid1-lvm", 2, true, "two disks, an LVM volume group on RAID 1"},
}

// LayoutNames are the builtin ones.
func LayoutNames() (names []string) {
	for _, l := range Layouts {
		names = append(names, l.Name)
	}
	return names
}

const (
	mib = 1 << 20
	// leastPartition is enough for each of the file systems but xfs: in bytes.
	leastPartition = 32 * mib
	leastXFS       = 300 * mib
	mostPartition  = 1 << 50
)

// Layout returns what was chosen, checked. Its Invalid errors name the field.
func (c LayoutChoice) Layout() (Layout, error) {
	if c.Own != nil {
		if c.Name != "" || c.BootBytes != 0 || c.SwapBytes != 0 || c.FileSystem != "" {
			return Layout{}, InvalidField("own", "a layout of one's own stands alone: name, bootBytes, swapBytes and fileSystem are of builtin ones")
		}
		own := *c.Own
		own.Name = ""
		err := own.Check()
		return own, Within("own", err)
	}
	at := slices.IndexFunc(Layouts, func(l BuiltinLayout) bool { return l.Name == c.Name })
	if at < 0 {
		return Layout{}, InvalidField("name", "there is no layout %q: it must be one of %s", c.Name, strings.Join(LayoutNames(), ", "))
	}
	if err := c.checkOptions(); err != nil {
		return Layout{}, err
	}
	return Layouts[at].with(c)
}

// checkOptions checks those of a builtin layout.
func (c LayoutChoice) checkOptions() error {
	for _, size := range []struct {
		field string
		bytes int64
	}{{"bootBytes", c.BootBytes}, {"swapBytes", c.SwapBytes}} {
		if size.bytes != 0 {
			if err := checkBytes(size.bytes, 4*mib, leastPartition); err != nil {
				return InvalidField(size.field, "%v", err)
			}
		}
	}
	if c.BootBytes != 0 && c.BootBytes < 256*mib {
		return InvalidField("bootBytes", "%d bytes hold no two kernels: at least 256 MiB", c.BootBytes)
	}
	if c.FileSystem != "" && !c.FileSystem.Mounted() {
		return InvalidField("fileSystem", "it is ext4 or xfs, not %.40q", c.FileSystem)
	}
	return nil
}

// with is the layout with its options.
func (b BuiltinLayout) with(c LayoutChoice) (Layout, error) {
	root := cmp.Or(c.FileSystem, UseExt4)
	l := Layout{Name: b.Name, Disks: b.Disks}
	if c.BootBytes != 0 {
		l.Partitions = append(l.Partitions, LayoutPartition{"boot", c.BootBytes, UseExt4, "/boot"})
	}
	if b.LVM {
		l.Group = "system"
		l.Partitions = append(l.Partitions, LayoutPartition{Name: "lvm", Use: UseLVM})
		if c.SwapBytes != 0 {
			l.Volumes = append(l.Volumes, LayoutVolume{Name: "swap", Bytes: c.SwapBytes, Use: UseSwap})
		}
		l.Volumes = append(l.Volumes, LayoutVolume{"root", 0, root, "/"})
		return l, l.Check()
	}
	if c.SwapBytes != 0 {
		l.Partitions = append(l.Partitions, LayoutPartition{Name: "swap", Bytes: c.SwapBytes, Use: UseSwap})
	}
	l.Partitions = append(l.Partitions, LayoutPartition{"root", 0, root, "/"})
	return l, l.Check()
}

var (
	layoutName  = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)
	layoutGroup = regexp.MustCompile(`^[a-z][a-z0-9]{0,31}$`)
	layoutMount = regexp.MustCompile(`^(/|(/[A-Za-z0-9][A-Za-z0-9._-]*)+)$`)
)

// taken are the names of the partitions that every disk gets.
var taken = []string{"bios", "esp", "config"}

// onRoot are directories that a system needs before it mounts anything, and those
// of the kernel.
var onRoot = []string{"/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc", "/sys", "/dev", "/run", "/boot/efi"}

// Check refuses a layout from which no system would come, before anything is touched.
func (l Layout) Check() error {
	switch {
	case l.Disks < 1 || l.Disks > 4:
		return InvalidField("disks", "%d disks: 1 to 4 are possible", l.Disks)
	case len(l.Partitions) == 0 || len(l.Partitions) > 12:
		return InvalidField("partitions", "there are %d: 1 to 12 are possible", len(l.Partitions))
	case len(l.Volumes) > 32:
		return InvalidField("volumes", "there are %d: at most 32 are possible", len(l.Volumes))
	}
	seen, lvm := layoutSeen{names: map[string]bool{}, mounts: map[string]bool{}}, false
	for i, p := range l.Partitions {
		if err := seen.check(p.Name, p.Use, p.Mount, p.Bytes, mib, i == len(l.Partitions)-1); err != nil {
			return Within(fmt.Sprintf("partitions[%d]", i), err)
		}
		lvm = lvm || p.Use == UseLVM
	}
	seen.names = map[string]bool{} // volumes have names of their own
	for i, v := range l.Volumes {
		at := fmt.Sprintf("volumes[%d]", i)
		if v.Use == UseLVM {
			return InvalidField(at+".use", "a volume is of a volume group, and cannot be one")
		}
		if err := seen.check(v.Name, v.Use, v.Mount, v.Bytes, 4*mib, i == len(l.Volumes)-1); err != nil {
			return Within(at, err)
		}
	}
	switch {
	case lvm && len(l.Volumes) == 0:
		return InvalidField("volumes", "a partition is of use lvm, and there are no volumes")
	case !lvm && len(l.Volumes) > 0:
		return InvalidField("partitions", "there are volumes, and no partition is of use lvm")
	case lvm && !layoutGroup.MatchString(l.Group):
		return InvalidField("group", "%.40q is no name of a volume group: 1 to 32 small letters and digits, a letter first", l.Group)
	case !lvm && l.Group != "":
		return InvalidField("group", "there is no volume group: no partition is of use lvm")
	case !seen.mounts["/"]:
		return InvalidField("partitions", "nothing is mounted at /")
	}
	return nil
}

// layoutSeen is what the parts of a layout that were checked have.
type layoutSeen struct{ names, mounts map[string]bool }

func (s layoutSeen) check(name string, use LayoutUse, mount string, bytes, unit int64, last bool) error {
	switch {
	case !layoutName.MatchString(name):
		return InvalidField("name", "%.40q is no name: 1 to 16 small letters and digits, a letter first", name)
	case slices.Contains(taken, name):
		return InvalidField("name", "%q is the name of a partition that every disk gets", name)
	case s.names[name]:
		return InvalidField("name", "%q is there twice", name)
	case !use.Mounted() && use != UseSwap && use != UseLVM:
		return InvalidField("use", "%.40q is not known: it must be ext4, xfs, swap or lvm", use)
	case use.Mounted() && mount == "":
		return InvalidField("mount", "%s is a file system, and is mounted nowhere", name)
	case !use.Mounted() && mount != "":
		return InvalidField("mount", "%s is %s, which is not mounted", name, use)
	case bytes == 0 && !last:
		return InvalidField("bytes", "only the last one may take all that is left")
	}
	if bytes != 0 {
		least := int64(leastPartition)
		if use == UseXFS {
			least = leastXFS
		}
		if err := checkBytes(bytes, unit, least); err != nil {
			return InvalidField("bytes", "%v", err)
		}
	}
	if use.Mounted() {
		if err := s.mount(mount); err != nil {
			return err
		}
		s.mounts[mount] = true
	}
	s.names[name] = true
	return nil
}

func (s layoutSeen) mount(at string) error {
	switch {
	case !layoutMount.MatchString(at) || path.Clean(at) != at:
		return InvalidField("mount", "%.80q is no path such as /var/log", at)
	case s.mounts[at]:
		return InvalidField("mount", "%s is mounted twice", at)
	case slices.ContainsFunc(onRoot, func(dir string) bool { return at == dir || strings.HasPrefix(at, dir+"/") }):
		return InvalidField("mount", "%s must be on the root, or is the kernel's", at)
	}
	return nil
}

func checkBytes(bytes, unit, least int64) error {
	switch {
	case bytes < least:
		return fmt.Errorf("%d bytes are too few: at least %d MiB", bytes, least/mib)
	case bytes > mostPartition:
		return fmt.Errorf("%d bytes are more than any disk has", bytes)
	case bytes%unit != 0:
		return fmt.Errorf("%d bytes are no multiple of %d MiB", bytes, unit/mib)
	}
	return nil
}
