package sprout

import "time"

// An Image is an OS disk image, known by its digest.
type Image struct {
	ID           ImageID      `json:"id"`
	Name         string       `json:"name" doc:"Alias that operators use" example:"debian-12"`
	Digest       string       `json:"digest" doc:"sha256:… over the file as stored"`
	Bytes        int64        `json:"bytes" doc:"Size of the file as stored"`
	Compression  string       `json:"compression" enum:"none,gzip,xz,zstd"`
	RawDigest    string       `json:"rawDigest" doc:"sha256:… over the disk image once decompressed"`
	RawBytes     int64        `json:"rawBytes" doc:"Size of the disk image once decompressed"`
	Architecture Architecture `json:"architecture"`
	BootModes    []BootMode   `json:"bootModes"`
	CreatedAt    time.Time    `json:"createdAt"`
}
