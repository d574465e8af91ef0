package sprout_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sprout"
)

const gib = int64(1) << 30

// Each builtin layout, with all of its options, lies on a disk without overlap and
// without a hole.
func TestBuiltinLayouts(t *testing.T) {
	for _, name := range sprout.LayoutNames() {
		for _, c := range []sprout.LayoutChoice{
			{Name: name},
			{Name: name, BootBytes: gib, SwapBytes: 2 * gib, FileSystem: sprout.UseXFS},
		} {
			l, err := c.Layout()
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			parts, failure := l.Table(16*gib, gib)
			if failure != nil {
				t.Fatalf("%+v: %v", c, failure)
			}
			at := int64(1 << 20)
			for i, p := range parts {
				if p.Start != at || p.Bytes <= 0 || p.Number != i+1 || p.What == "" || p.Type == "" {
					t.Errorf("%s: partition %+v, and the last ended at %d", name, p, at)
				}
				at += p.Bytes
			}
			if at != 16*gib-1<<20 {
				t.Errorf("%s: the last partition ends at %d", name, at)
			}
			var words []string
			for _, p := range parts {
				words = append(words, p.What)
			}
			all := strings.Join(words, "; ")
			if strings.Contains(all, "RAID") != (l.Disks > 1) || strings.Contains(all, "on /boot") != (c.BootBytes > 0) || strings.Contains(all, "swap") != (c.SwapBytes > 0) {
				t.Errorf("%+v: %s", c, all)
			}
		}
	}
}

// The document of the API names the layouts that the table has.
func TestTheDocumentNamesTheLayouts(t *testing.T) {
	field, _ := reflect.TypeFor[sprout.LayoutChoice]().FieldByName("Name")
	if got, want := field.Tag.Get("enum"), strings.Join(sprout.LayoutNames(), ","); got != want {
		t.Errorf("the enum is %s, and the table has %s", got, want)
	}
}

func TestALayoutIsChecked(t *testing.T) {
	part := func(p ...sprout.LayoutPartition) sprout.Layout { return sprout.Layout{Disks: 1, Partitions: p} }
	root := sprout.LayoutPartition{Name: "root", Use: sprout.UseExt4, Mount: "/"}
	with := func(change func(*sprout.LayoutPartition)) sprout.Layout {
		p := sprout.LayoutPartition{Name: "data", Bytes: gib, Use: sprout.UseExt4, Mount: "/data"}
		change(&p)
		return part(p, root)
	}
	for _, c := range []struct {
		layout sprout.Layout
		field  string // empty: it is good
	}{
		{part(root), ""},
		{with(func(*sprout.LayoutPartition) {}), ""},
		{sprout.Layout{Partitions: []sprout.LayoutPartition{root}}, "disks"},
		{part(), "partitions"},
		{with(func(p *sprout.LayoutPartition) { p.Name = "Data" }), "partitions[0].name"},
		{with(func(p *sprout.LayoutPartition) { p.Name = "a/../b" }), "partitions[0].name"},
		{with(func(p *sprout.LayoutPartition) { p.Name = "esp" }), "partitions[0].name"},
		{with(func(p *sprout.LayoutPartition) { p.Name = "root" }), "partitions[1].name"},
		{with(func(p *sprout.LayoutPartition) { p.Bytes = 0 }), "partitions[0].bytes"},
		{with(func(p *sprout.LayoutPartition) { p.Bytes = -gib }), "partitions[0].bytes"},
		{with(func(p *sprout.LayoutPartition) { p.Bytes = gib + 512 }), "partitions[0].bytes"},
		{with(func(p *sprout.LayoutPartition) { p.Use, p.Bytes = sprout.UseXFS, 64<<20 }), "partitions[0].bytes"},
		{with(func(p *sprout.LayoutPartition) { p.Use = "btrfs" }), "partitions[0].use"},
		{with(func(p *sprout.LayoutPartition) { p.Use = sprout.UseSwap }), "partitions[0].mount"},
		{with(func(p *sprout.LayoutPartition) { p.Mount = "" }), "partitions[0].mount"},
		{with(func(p *sprout.LayoutPartition) { p.Mount = "/a/../b" }), "partitions[0].mount"},
		{with(func(p *sprout.LayoutPartition) { p.Mount = "/a b" }), "partitions[0].mount"},
		{with(func(p *sprout.LayoutPartition) { p.Mount = "/etc/x" }), "partitions[0].mount"},
		{with(func(p *sprout.LayoutPartition) { p.Mount = "/" }), "partitions[1].mount"},
		{part(sprout.LayoutPartition{Name: "data", Use: sprout.UseExt4, Mount: "/data"}), "partitions"},
		{part(sprout.LayoutPartition{Name: "pv", Use: sprout.UseLVM}), "volumes"},
		{sprout.Layout{Disks: 1, Partitions: []sprout.LayoutPartition{{Name: "pv", Use: sprout.UseLVM}}, Volumes: []sprout.LayoutVolume{{Name: "root", Use: sprout.UseExt4, Mount: "/"}}}, "group"},
		{sprout.Layout{Disks: 1, Group: "g", Partitions: []sprout.LayoutPartition{root}}, "group"},
		{sprout.Layout{Disks: 1, Group: "g", Partitions: []sprout.LayoutPartition{{Name: "pv", Use: sprout.UseLVM}}, Volumes: []sprout.LayoutVolume{{Name: "root", Use: sprout.UseLVM}}}, "volumes[0].use"},
	} {
		err := c.layout.Check()
		var known *sprout.Error
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%+v: %v", c.layout, err)
		case c.field != "" && (!errors.As(err, &known) || known.Field != c.field):
			t.Errorf("%+v: %v, want one of %s", c.layout, err, c.field)
		}
	}
}

func TestALayoutChoosesItsDisks(t *testing.T) {
	disks := []sprout.Disk{
		{Name: "sdc", Serial: "C", Model: "X", Bytes: 8 * gib}, {Name: "sdb", Serial: "B", Model: "X", Bytes: 8 * gib}, {Name: "sda", Serial: "A", Model: "Y", Bytes: 80 * gib},
		{Name: "sdd", Serial: "D", Model: "Y", Bytes: 80 * gib}, {Name: "sde", Serial: "E", Model: "Y", Bytes: 80 * gib}, {Name: "usb", Model: "X", Bytes: 8 * gib, Removable: true},
	}
	for _, c := range []struct {
		name  string
		rule  sprout.DiskRule
		image int64
		want  []string
		code  sprout.Code
	}{
		{"the two smallest", sprout.DiskRule{}, gib, []string{"sdb", "sdc"}, ""},
		{"two of a model", sprout.DiskRule{Model: "X"}, gib, []string{"sdb", "sdc"}, ""},
		{"two of three of a size", sprout.DiskRule{}, 20 * gib, nil, sprout.DiskAmbiguous},
		{"two of three of a model", sprout.DiskRule{Model: "Y"}, gib, nil, sprout.DiskAmbiguous},
		{"one by serial", sprout.DiskRule{Serial: "A"}, gib, nil, sprout.NoDiskMatches},
		{"too small", sprout.DiskRule{Model: "X"}, 20 * gib, nil, sprout.DiskTooSmall},
	} {
		l, err := sprout.LayoutChoice{Name: "raid1"}.Layout()
		if err != nil {
			t.Fatal(err)
		}
		got, why, failure := l.Choose(c.rule, disks, c.image)
		var names []string
		for _, d := range got {
			names = append(names, d.Name)
		}
		switch {
		case c.code == "" && (failure != nil || !slices.Equal(names, c.want) || why == ""):
			t.Errorf("%s: %v (%s), failure %v", c.name, names, why, failure)
		case c.code != "" && (failure == nil || failure.Code != c.code):
			t.Errorf("%s: %v, failure %v, want %s", c.name, names, failure, c.code)
		}
	}
}
