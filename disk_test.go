package sprout_test

import (
	"testing"

	"sprout"
)

func TestARuleChoosesOneDisk(t *testing.T) {
	const gb = 1_000_000_000
	spinning := true
	disks := []sprout.Disk{
		{Name: "sda", Serial: "A", Model: "X", Bytes: 4000 * gb, Rotational: true, WWN: "naa.1"},
		{Name: "sdb", Serial: "B", Model: "X", Bytes: 4000 * gb, Rotational: true, WWN: "naa.2", Path: "pci-0000:00:1f.2-ata-2"},
		{Name: "nvme0n1", Serial: "C", Model: "Y", Bytes: 480 * gb},
		{Name: "sdc", Serial: "D", Model: "Z", Bytes: 8 * gb},
		{Name: "sdd", Serial: "E", Model: "Z", Bytes: 16 * gb, ReadOnly: true},
		{Name: "sde", Serial: "STICK", Model: "U", Bytes: 4 * gb, Removable: true},
	}
	for _, c := range []struct {
		name string
		rule sprout.DiskRule
		need int64
		want string
		code sprout.Code
	}{
		{"the smallest", sprout.DiskRule{}, 2 * gb, "sdc", ""},
		{"the smallest that is large enough", sprout.DiskRule{}, 10 * gb, "nvme0n1", ""},
		{"a stick is meant by its serial", sprout.DiskRule{Serial: "STICK"}, gb, "sde", ""},
		{"a stick is not meant by what it is like", sprout.DiskRule{Model: "U", Smallest: true}, gb, "", sprout.NoDiskMatches},
		{"two of a size", sprout.DiskRule{}, 500 * gb, "", sprout.DiskAmbiguous},
		{"none is large enough", sprout.DiskRule{}, 5000 * gb, "", sprout.DiskTooSmall},
		{"serial", sprout.DiskRule{Serial: "B"}, gb, "sdb", ""},
		{"wwn in other case", sprout.DiskRule{WWN: "NAA.1"}, gb, "sda", ""},
		{"name with its folder", sprout.DiskRule{Name: "/dev/sdb"}, gb, "sdb", ""},
		{"model of two", sprout.DiskRule{Model: "X"}, gb, "", sprout.DiskAmbiguous},
		{"model and serial", sprout.DiskRule{Model: "X", Serial: "A"}, gb, "sda", ""},
		{"rotational of two", sprout.DiskRule{Rotational: &spinning}, gb, "", sprout.DiskAmbiguous},
		{"at least", sprout.DiskRule{MinBytes: 100 * gb, Model: "Y"}, gb, "nvme0n1", ""},
		{"the smallest of a model", sprout.DiskRule{Model: "Z", Smallest: true}, gb, "sdc", ""},
		{"the smallest of two of a size", sprout.DiskRule{Model: "X", Smallest: true}, gb, "", sprout.DiskAmbiguous},
		{"the smallest that is large enough, by rule", sprout.DiskRule{Smallest: true}, 10 * gb, "nvme0n1", ""},
		{"at most", sprout.DiskRule{MaxBytes: 500 * gb, MinBytes: 100 * gb}, gb, "nvme0n1", ""},
		{"path", sprout.DiskRule{Path: "pci-0000:00:1f.2-ata-2"}, gb, "sdb", ""},
		{"path with its folder", sprout.DiskRule{Path: "/dev/disk/by-path/pci-0000:00:1f.2-ata-2"}, gb, "sdb", ""},
		{"path that starts alike", sprout.DiskRule{Path: "pci-0000:00:1f.2-ata"}, gb, "", sprout.NoDiskMatches},
		{"nothing matches", sprout.DiskRule{Serial: "Q"}, gb, "", sprout.NoDiskMatches},
		{"read-only", sprout.DiskRule{Serial: "E"}, gb, "", sprout.NoDiskMatches},
		{"named but too small", sprout.DiskRule{Serial: "D"}, 10 * gb, "", sprout.DiskTooSmall},
	} {
		got, why, failure := c.rule.Choose(disks, c.need)
		switch {
		case c.code == "" && (failure != nil || got.Name != c.want || why == ""):
			t.Errorf("%s: %s (%s), failure %v, want %s", c.name, got.Name, why, failure, c.want)
		case c.code != "" && (failure == nil || failure.Code != c.code || failure.Evidence == ""):
			t.Errorf("%s: %s, failure %+v, want %s", c.name, got.Name, failure, c.code)
		}
	}
	if _, _, failure := (sprout.DiskRule{}).Choose(nil, 1); failure == nil || failure.Code != sprout.NoDiskMatches {
		t.Errorf("no disks: %v", failure)
	}
}
