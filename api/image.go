package api

import (
	"io"

	"github.com/danielgtaylor/huma/v2"

	"sprout"
)

// ImageRef names an image by name, id, digest or unique prefix.
type ImageRef struct {
	Image string `path:"image" doc:"Name, id, digest or unique prefix of an image"`
}

// ImportImage is the input of ImageImport. Its body is the image file itself.
type ImportImage struct {
	Name         string              `query:"name" required:"true" doc:"Alias that operators use" example:"debian-12"`
	Architecture sprout.Architecture `query:"architecture" enum:"amd64,arm64" doc:"Empty: amd64"`
	BootModes    []sprout.BootMode   `query:"bootModes" doc:"bios, uefi or both; empty: both"`
	Digest       string              `query:"digest" doc:"sha256:… that the file must have; empty: not checked"`
	Content      io.Reader           `json:"-"`
}

// Resolve takes the body as a stream; huma calls it.
func (in *ImportImage) Resolve(ctx huma.Context) []error {
	in.Content = ctx.BodyReader()
	return nil
}

// ListImages says which part of the images is asked for.
type ListImages struct {
	Paging
	Sort string `query:"sort" enum:"name,-name,created,-created" doc:"Order; a hyphen sorts backwards; empty: name"`
}

// The operations on images.
var (
	ImageImport = Op[ImportImage, sprout.Image]{
		Name: "image import", Method: "POST", Path: "/v1/images", Role: sprout.Operator, Status: 201, Upload: true, Wide: true, Help: "Import an OS disk image: raw, gzip, xz or zstd, or qcow2.",
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
	return []Operation{ImageImport, ImageList, ImageShow, ImageDelete, ImageContent}
}
