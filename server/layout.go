package server

import (
	"slices"

	"sprout"
	"sprout/api"
	"sprout/provision"
)

// layoutFor is the layout of a root file system, checked; nil for a disk's image. What
// does not go together is refused before a machine is touched.
func layoutFor(image sprout.Image, choice *sprout.LayoutChoice) (*sprout.Layout, error) {
	switch {
	case image.Kind != sprout.RootFS && choice != nil:
		return nil, sprout.InvalidField("layout", "%s is of a disk, and has its own partitions: only root file systems have a layout", image.Name)
	case image.Kind != sprout.RootFS:
		return nil, nil
	case choice == nil:
		return nil, sprout.InvalidField("layout", "%s is of a root file system: say what the disks become", image.Name).WithRemedy("--layout plain")
	}
	l, err := choice.Layout()
	return &l, sprout.Within("layout", err)
}

// laidOut marks the disks that a layout is going to be made on, and says what each of
// their partitions will be. It chooses as the ramdisk does, by the last inventory.
func laidOut(p *api.Plan, m sprout.Machine, in provision.DeployInput) {
	chosen, _, failure := in.Layout.Choose(in.Disk, m.Inventory.Disks, in.Image.RawBytes)
	var parts []sprout.DiskPart
	if failure == nil {
		parts, failure = in.Layout.Table(sprout.SmallestDisk(chosen), in.Image.RawBytes)
	}
	if failure != nil {
		p.Warnings = append(p.Warnings, "by the last inventory it would fail: "+failure.Reason)
	}
	for i, d := range m.Inventory.Disks {
		switch {
		case failure != nil && in.Disk.Mismatch(d) == "":
			p.Disks[i].Fate = api.DiskUnsure
		case failure == nil && slices.ContainsFunc(chosen, func(c sprout.Disk) bool { return c.Name == d.Name }):
			p.Disks[i].Fate = api.DiskOverwritten
			for _, part := range parts {
				p.Disks[i].Partitions = append(p.Disks[i].Partitions, api.PlannedPartition{Number: part.Number, Name: part.Name, Bytes: part.Bytes, What: part.What})
			}
		}
	}
}
