package sprout

import (
	"regexp"
	"strings"
	"time"
)

// An ImageKind says what an image is the content of.
type ImageKind string

const (
	DiskImage ImageKind = "disk"   // of a whole disk, partitions and boot loader included
	RootFS    ImageKind = "rootfs" // of a root file system: a layout says which disks it comes on
)

// An Image is an OS disk or root file system, known by its digest.
type Image struct {
	ID           ImageID      `json:"id"`
	Name         string       `json:"name" doc:"Its own name, which stays" example:"debian-12-20261101"`
	Kind         ImageKind    `json:"kind" enum:"disk,rootfs" doc:"What it is the content of: a whole disk, or a root file system (tar or squashfs), which needs a layout"`
	Digest       string       `json:"digest" doc:"sha256:… over the file as stored"`
	Bytes        int64        `json:"bytes" doc:"Size of the file as stored"`
	Compression  string       `json:"compression" enum:"none,gzip,xz,zstd"`
	RawDigest    string       `json:"rawDigest" doc:"sha256:… over the disk image, tar or squashfs once decompressed"`
	RawBytes     int64        `json:"rawBytes" doc:"Size of the disk image, tar or squashfs once decompressed"`
	Architecture Architecture `json:"architecture"`
	BootModes    []BootMode   `json:"bootModes"`
	Source       string       `json:"source,omitempty" doc:"URL that it was fetched from, without its query" example:"https://images.example.com/debian-12.raw.zst"`
	Aliases      []string     `json:"aliases,omitempty" doc:"Names that mean it for now; absent: none" example:"debian-12"`
	CreatedAt    time.Time    `json:"createdAt"`
}

// An ImageAlias is a name that means an image until it is moved to another.
type ImageAlias struct {
	Name      string    `json:"name" example:"debian-12"`
	Image     ImageID   `json:"image" doc:"Id of the image that it means"`
	ImageName string    `json:"imageName" doc:"Name of that image" example:"debian-12-20261101"`
	Digest    string    `json:"digest" doc:"Digest of that image" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	By        string    `json:"by" doc:"Who set or moved it last" example:"admin"`
	At        time.Time `json:"at" doc:"When that was (RFC 3339, UTC)"`
}

// imageAlias is what an alias looks like: also what can stand in a path.
var imageAlias = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// CheckImageAlias refuses, as an Invalid error, what cannot be an alias, or could be
// taken for an image's id or digest.
func CheckImageAlias(name string) error {
	switch {
	case len(name) > LongestWord || !imageAlias.MatchString(name):
		return InvalidField("alias", "%.40q must be 1 to %d letters, digits, dots, hyphens and underscores, the first a letter or a digit", name, LongestWord)
	case strings.HasPrefix(name, PrefixImage+"_"):
		return InvalidField("alias", "%.40q could be taken for the id of an image", name)
	}
	return nil
}
