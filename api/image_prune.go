package api

import "sprout"

// PruneImages is the input of ImagePrune.
type PruneImages struct {
	Body struct {
		Plan bool `json:"plan,omitempty" doc:"Say what would be removed, and remove nothing" example:"true"`
		Days *int `json:"days,omitempty" minimum:"0" maximum:"36500" doc:"Keep what is younger than so many days; absent: 30" example:"30"`
	}
}

// A Pruning is what came of looking for images that nothing needs.
type Pruning struct {
	Items []PruneItem `json:"items" doc:"Every image by name, then files without an image"`
	Bytes int64       `json:"bytes" doc:"Bytes on the disk that are freed, or would be" example:"412876800"`
}

// A PruneItem is what came of one image, or of a file that is no image's.
type PruneItem struct {
	Image   sprout.ImageID `json:"image,omitempty" doc:"Absent: of a file that is no image's" example:"img_06h0hk6ka667ckdr6hd38t7k4m"`
	Name    string         `json:"name" doc:"Name of the image, or of the file" example:"debian-12-20260901"`
	Bytes   int64          `json:"bytes" doc:"Size of its file" example:"412876800"`
	Outcome string         `json:"outcome" enum:"removed,would-remove,kept" doc:"removed: it is gone; would-remove: it would be; kept: why says for what" example:"kept"`
	Why     string         `json:"why,omitempty" doc:"Why it is kept" example:"debian-12 means it"`
}

// ImagePrune removes images that nothing needs.
var ImagePrune = Op[PruneImages, Pruning]{
	Name: "image prune", Method: "POST", Path: "/v1/images/prune", Role: sprout.Operator, Wide: true,
	Help: "Remove images that no alias means, no machine runs, is deployed with or may be tried again with, and nobody imported lately; and files that are no image's.",
}
