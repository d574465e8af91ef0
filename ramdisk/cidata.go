package ramdisk

import (
	"sprout"
	"sprout/fat"
)

// ConfigVolume makes the NoCloud volume that cloud-init looks for: FAT16,
// labelled CIDATA, with meta-data, user-data, vendor-data and network-config. With
// a configuration of Ignition it makes the config drive that Ignition looks for on
// OpenStack: labelled CONFIG-2, with openstack/latest/user_data.
// Vendor data and network configuration that are empty are left out. It is 4 to
// 32 MiB large, a multiple of 1 MiB; more content is an Invalid error.
func ConfigVolume(c sprout.ConfigDrive) ([]byte, error) {
	label, files := "CIDATA", []fat.File{{Path: "meta-data", Content: []byte(c.MetaData)}, {Path: "user-data", Content: []byte(c.UserData)}}
	if c.Ignition != "" {
		label = "CONFIG-2"
		files = []fat.File{{Path: "openstack/latest/meta_data.json", Content: []byte(c.MetaData)}, {Path: "openstack/latest/user_data", Content: []byte(c.Ignition)}}
	}
	if c.VendorData != "" {
		files = append(files, fat.File{Path: "vendor-data", Content: []byte(c.VendorData)})
	}
	if c.NetworkConfig != "" {
		files = append(files, fat.File{Path: "network-config", Content: []byte(c.NetworkConfig)})
	}
	size := fat.Room(files...)
	if size >= fat.Most {
		return nil, sprout.Errorf(sprout.Invalid, "cannot make a config drive of %d bytes: less than %d are allowed", size, fat.Most)
	}
	return fat.Volume(label, size, files...)
}
