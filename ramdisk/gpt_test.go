package ramdisk_test

import (
	"bytes"
	"strings"
	"testing"

	"sprout"
	"sprout/image"
	"sprout/ramdisk"
)

func TestTableRefusesDamage(t *testing.T) {
	store, err := image.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, content := smallImage(t, store)
	head := content[:1<<20]
	for name, spoil := range map[string]func([]byte){
		"no table":      func(b []byte) { clear(b[512:1024]) },
		"header":        func(b []byte) { b[512+40]++ },
		"list":          func(b []byte) { b[1024+33]++ },
		"list far away": func(b []byte) { b[512+76]++ },
	} {
		bad := bytes.Clone(head)
		spoil(bad)
		if _, err := ramdisk.ReadTable(bad, imageBytes); err == nil {
			t.Errorf("%s: the damage was not seen", name)
		}
	}
	table, err := ramdisk.ReadTable(head, imageBytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Fit(imageBytes, 4<<20); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("a disk without room for the config drive: %v", err)
	}
}

func TestConfigVolume(t *testing.T) {
	volume, err := ramdisk.ConfigVolume(drive)
	if err != nil {
		t.Fatal(err)
	}
	checkVolume(t, volume, "CIDATA", noCloud)
	openstack, err := ramdisk.ConfigVolume(sprout.ConfigDrive{Ignition: `{"ignition":{"version":"3.3.0"}}`, MetaData: "{}"})
	if err != nil {
		t.Fatal(err)
	}
	checkVolume(t, openstack, "CONFIG-2", map[string]string{
		"openstack/latest/user_data": `{"ignition":{"version":"3.3.0"}}`, "openstack/latest/meta_data.json": "{}",
	})
	large := drive
	large.UserData = strings.Repeat("0123456789abcde\n", 6<<20/16)
	if volume, err = ramdisk.ConfigVolume(large); err != nil || len(volume) < 7<<20 {
		t.Fatalf("a drive of 6 MiB: %d bytes, %v", len(volume), err)
	}
	large.UserData = strings.Repeat("x", 40<<20)
	if _, err := ramdisk.ConfigVolume(large); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("a drive of 40 MiB: %v", err)
	}
}
