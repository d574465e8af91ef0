package sprout_test

import (
	"slices"
	"strings"
	"testing"

	"sprout"
)

func TestADiskIsErasedByTheBestThatItCan(t *testing.T) {
	const tb = 1_000_000_000_000
	written := []sprout.EraseMethod{sprout.EraseZeroes, sprout.EraseOverwrite}
	than := func(better ...sprout.EraseMethod) []sprout.EraseMethod { return append(better, written...) }
	for _, c := range []struct {
		name    string
		disk    sprout.Disk
		only    sprout.EraseMethod
		want    []sprout.EraseMethod
		refused string // in why it is not erased
		passed  string // in why a better method was passed
	}{
		{name: "it says nothing", disk: sprout.Disk{Bytes: tb}, want: written},
		{name: "NVMe", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Sanitize: true, Format: true, Discard: true, DiscardZeroes: true}}, want: than(sprout.EraseSanitize, sprout.EraseFormat, sprout.EraseDiscard)},
		{name: "one of two namespaces", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Sanitize: true, Format: true, Siblings: 1}}, want: than(sprout.EraseFormat), passed: "nvme-sanitize: its controller has 1 other"},
		{name: "formats all of two", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Format: true, FormatsAll: true, Siblings: 1}}, want: written, passed: "formats all namespaces at once"},
		{name: "formats all of one", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Format: true, FormatsAll: true}}, want: than(sprout.EraseFormat)},
		{name: "ATA", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Security: true, Discard: true, DiscardZeroes: true}}, want: than(sprout.EraseATA, sprout.EraseDiscard)},
		{name: "frozen", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Security: true, Frozen: true}}, want: written, passed: "ata-erase: the firmware has frozen"},
		{name: "locked", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Security: true, Locked: true}}, want: than(sprout.EraseATA)},
		{name: "locked and frozen", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Security: true, Locked: true, Frozen: true}}, refused: "locked with an ATA password"},
		{name: "discards that promise nothing", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Discard: true}}, want: written, passed: "discard: it does not promise"},
		{name: "and are read back whole", disk: sprout.Disk{Bytes: 4 << 30, Erase: sprout.DiskErase{Discard: true}}, want: than(sprout.EraseDiscard)},
		{name: "eMMC", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{SecureDiscard: true, Discard: true}}, want: than(sprout.EraseSecureDiscard)},
		{name: "removable", disk: sprout.Disk{Bytes: tb, Removable: true}},
		{name: "read-only", disk: sprout.Disk{Bytes: tb, ReadOnly: true}, refused: "read-only"},
		{name: "asked for", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Format: true}}, only: sprout.EraseOverwrite, want: []sprout.EraseMethod{sprout.EraseOverwrite}},
		{name: "asked for what it cannot", disk: sprout.Disk{Bytes: tb, Erase: sprout.DiskErase{Format: true}}, only: sprout.EraseATA, refused: "ata-erase: it has no ATA security"},
	} {
		got := sprout.PlanErase(c.disk, c.only)
		if !slices.Equal(got.Methods, c.want) {
			t.Errorf("%s: by %v, want %v", c.name, got.Methods, c.want)
		}
		if (got.Refused == "") != (c.refused == "") || !strings.Contains(got.Refused, c.refused) {
			t.Errorf("%s: refused because it %q, want %q", c.name, got.Refused, c.refused)
		}
		if passed := strings.Join(got.Passed, "; "); !strings.Contains(passed, c.passed) {
			t.Errorf("%s: passed %q, want %q", c.name, passed, c.passed)
		}
		if len(got.Methods) > 0 && got.Takes <= 0 {
			t.Errorf("%s: takes %s", c.name, got.Takes)
		}
		if (got.Kept != "") != c.disk.Removable {
			t.Errorf("%s: kept because it %q", c.name, got.Kept)
		}
	}
}
