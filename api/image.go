package api

import (
	"io"

	"github.com/danielgtaylor/huma/v2"

	"sprout"
)

// ImageRef names an image by name, alias, id, digest or unique prefix.
type ImageRef struct {
	Image string `path:"image" doc:"Name, alias, id, digest or unique prefix of an image"`
}

// ImportImage is the input of ImageImport. Its body is the image file itself.
type ImportImage struct {
	Name         string              `query:"name" required:"true" doc:"Its own name, which stays" example:"debian-12-20261101"`
	Architecture sprout.Architecture `query:"architecture" enum:"amd64,arm64" doc:"Empty: what the file itself says, else amd64"`
	BootModes    []sprout.BootMode   `query:"bootModes" doc:"bios, uefi or both; empty: both"`
	Digest       string              `query:"digest" doc:"sha256:… that the file must have; empty: not checked"`
	Content      io.Reader           `json:"-"`
}

// Resolve takes the body as a stream; huma calls it.
func (in *ImportImage) Resolve(ctx huma.Context) []error {
	in.Content = ctx.BodyReader()
	return nil
}

// FetchImage is the input of ImageFetch.
type FetchImage struct {
	Image string `path:"image" doc:"Name that the image is to have"`
	Body  struct {
		URL          string              `json:"url" doc:"Where the file is: https://… or http://…; not of this machine or its links" example:"https://images.example.com/debian-12.raw.zst" maxLength:"2048"`
		Digest       string              `json:"digest,omitempty" doc:"sha256:… that the file must have; needed for http://"`
		Unverified   bool                `json:"unverified,omitempty" doc:"Take what comes by http:// without a digest" example:"false"`
		Architecture sprout.Architecture `json:"architecture,omitempty" enum:"amd64,arm64" doc:"Absent: what the file itself says, else amd64"`
		BootModes    []sprout.BootMode   `json:"bootModes,omitempty" doc:"bios, uefi or both; absent: both" maxItems:"2"`
	}
}

// A FetchedImage is how far a fetch is: there is an image, or progress.
type FetchedImage struct {
	Image    *sprout.Image    `json:"image,omitempty" doc:"The image, once it is there"`
	Progress *sprout.Progress `json:"progress,omitempty" doc:"How far it is, until then"`
}

// ListImages says which part of the images is asked for.
type ListImages struct {
	Paging
	Sort string `query:"sort" enum:"name,-name,created,-created" doc:"Order; a hyphen sorts backwards; empty: name"`
}

// The operations on images.
var (
	ImageImport = Op[ImportImage, sprout.Image]{
		Name: "image import", Method: "POST", Path: "/v1/images", Role: sprout.Operator, Status: 201, Upload: true, Wide: true, Help: "Import an OS image from a file: a disk (raw or qcow2) or a root file system (tar or squashfs), plain or compressed with gzip, xz or zstd.",
	}
	ImageFetch = Op[FetchImage, FetchedImage]{
		Name: "image fetch", Method: "PUT", Path: "/v1/images/{image}", Role: sprout.Operator, Wide: true,
		Help: "Have an image fetched from a URL: ask again until it is there. It goes on by itself for two minutes, and where it was cut for a day.",
	}
	ImageList = Op[ListImages, Page[sprout.Image]]{
		Name: "image list", Method: "GET", Path: "/v1/images", Role: sprout.Viewer, Help: "List the images.",
	}
	ImageShow = Op[ImageRef, sprout.Image]{
		Name: "image show", Method: "GET", Path: "/v1/images/{image}", Role: sprout.Viewer, Help: "Show an image.",
	}
	ImageDelete = Op[ImageRef, None]{
		Name: "image delete", Method: "DELETE", Path: "/v1/images/{image}", Role: sprout.Operator, Wide: true, Help: "Delete an image that no machine runs or waits for.",
	}
	ImageContent = Op[ImageRef, Download]{
		Name: "image content", Method: "GET", Path: "/v1/images/{image}/content", Role: sprout.AgentRole, Help: "The bytes of an image as stored, with ranges.",
	}
)

func imageOperations() []Operation {
	return []Operation{of(ImageImport), of(ImageFetch), of(ImageList), of(ImageShow), of(ImageDelete), of(ImageContent), of(ImagePrune), of(ImageAliasSet), of(ImageAliasList), of(ImageAliasShow), of(ImageAliasDelete)}
}
