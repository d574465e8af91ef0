package api

import "sprout"

// ImageAliasRef names an alias of an image.
type ImageAliasRef struct {
	Alias string `path:"alias" doc:"Name of an alias"`
}

// SetImageAlias is the input of ImageAliasSet.
type SetImageAlias struct {
	ImageAliasRef
	Body struct {
		Image string `json:"image" doc:"Name, another alias, id, digest or unique prefix of the image that it is to mean" example:"debian-12-20261101" maxLength:"256"`
	}
}

// The operations on aliases of images.
var (
	ImageAliasSet = Op[SetImageAlias, sprout.ImageAlias]{
		Name: "image alias set", Method: "PUT", Path: "/v1/aliases/{alias}", Role: sprout.Operator, Wide: true,
		Help: "Have a name mean an image, or move it to another. Machines that are deployed or being deployed stay as they are.",
	}
	ImageAliasList = Op[Paging, Page[sprout.ImageAlias]]{
		Name: "image alias list", Method: "GET", Path: "/v1/aliases", Role: sprout.Viewer, Help: "List the aliases of images, and what they mean.",
	}
	ImageAliasShow = Op[ImageAliasRef, sprout.ImageAlias]{
		Name: "image alias show", Method: "GET", Path: "/v1/aliases/{alias}", Role: sprout.Viewer, Help: "Show what an alias means, and who moved it last.",
	}
	ImageAliasDelete = Op[ImageAliasRef, None]{
		Name: "image alias delete", Method: "DELETE", Path: "/v1/aliases/{alias}", Role: sprout.Operator, Wide: true, Help: "Delete an alias; the image stays.",
	}
)
