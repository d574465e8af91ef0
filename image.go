package sprout

import "time"

// An ImageKind says what an image is the content of.
type ImageKind string

const (
	DiskImage ImageKind = "disk"   // of a whole disk, partitions and boot loader included
	RootFS    ImageKind = "rootfs" // of a root file system: a layout says which disks it comes on
)

// An Image is an OS disk or root file system, known by its digest.
type Image struct {
	ID           ImageID      `json:"id"`
	Name         string       `json:"name" doc:"Alias that operators use" example:"debian-12"`
	Kind         ImageKind    `json:"kind" enum:"disk,rootfs" doc:"What it is the content of: a whole disk, or a root file system (tar or squashfs), which needs a layout"`
	Digest       string       `json:"digest" doc:"sha256:… over the file as stored"`
	Bytes        int64        `json:"bytes" doc:"Size of the file as stored"`
	Compression  string       `json:"compression" enum:"none,gzip,xz,zstd"`
	RawDigest    string       `json:"rawDigest" doc:"sha256:… over the disk image, tar or squashfs once decompressed"`
	RawBytes     int64        `json:"rawBytes" doc:"Size of the disk image, tar or squashfs once decompressed"`
	Architecture Architecture `json:"architecture"`
	BootModes    []BootMode   `json:"bootModes"`
	Source       string       `json:"source,omitempty" doc:"URL that it was fetched from, without its query" example:"https://images.example.com/debian-12.raw.zst"`
	CreatedAt    time.Time    `json:"createdAt"`
}
