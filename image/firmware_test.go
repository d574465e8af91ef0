package image_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"sprout"
	"sprout/image"
)

// An image is for the firmware that can start it, as far as that can be told; one that is
// said to be for another is refused, with what it lacks.
func TestBootModesAreToldByTheContent(t *testing.T) {
	kind := func(text string) []byte {
		id, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	esp, linux, data := kind("28732ac11ff8d211ba4b00a0c93ec93b"), kind("af3dc60f838472478e793d69d8477de4"), kind("a2a0d0ebe5b9334487c068b6b72699c7")
	with := func(raw []byte, code bool, signature string) []byte {
		clear(raw[:512])
		if code {
			raw[0] = 0xeb
		}
		copy(raw[510:], signature)
		return raw
	}
	mbr := func(partition byte) []byte {
		raw := with(disk(), true, "\x55\xaa")
		clear(raw[512:520])
		raw[446+4] = partition
		return raw
	}
	const signed = "\x55\xaa"
	bios, uefi, both := []sprout.BootMode{sprout.BIOS}, []sprout.BootMode{sprout.UEFI}, []sprout.BootMode{sprout.BIOS, sprout.UEFI}
	for name, c := range map[string]struct {
		raw        []byte
		said, want []sprout.BootMode
		refused    string
	}{
		"both loaders":                    {with(gpt(esp, 1000), true, signed), nil, both, ""},
		"one of both":                     {with(gpt(esp, 1000), true, signed), uefi, uefi, ""},
		"no boot program":                 {with(gpt(esp, 1000), false, signed), nil, uefi, ""},
		"no boot program, said to have":   {with(gpt(esp, 1000), false, signed), both, nil, "expected one that starts by bios, found one that starts by uefi alone: it lacks a boot program"},
		"a boot program without its mark": {with(gpt(esp, 1000), true, ""), nil, uefi, ""},
		"no EFI partition":                {with(gpt(linux, 1000), true, signed), nil, bios, ""},
		"no EFI partition, said to have":  {with(gpt(linux, 1000), true, signed), uefi, nil, "found one that starts by bios alone: it lacks an EFI system partition"},
		"a partition that may be FAT":     {with(gpt(data, 1000), true, signed), uefi, uefi, ""},
		"nothing that is known":           {with(gpt(linux, 1000), false, signed), nil, both, ""},
		"an MBR":                          {mbr(0x83), nil, both, ""},
		"an MBR with an EFI partition":    {mbr(0xef), nil, both, ""},
		"no partitions":                   {disk(), uefi, uefi, ""},
	} {
		img, err := newStore(t).Import(t.Context(), bytes.NewReader(c.raw), image.ImportOptions{BootModes: c.said})
		switch {
		case c.refused != "":
			if sprout.KindOf(err) != sprout.Invalid || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || !slices.Equal(img.BootModes, c.want):
			t.Errorf("%s: %v, %v; want %v", name, img.BootModes, err, c.want)
		}
	}
}
