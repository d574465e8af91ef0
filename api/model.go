package api

import (
	"crypto/sha256"
	"encoding/hex"

	"sprout"
)

// ModelRef names a model of machines.
type ModelRef struct {
	Model string `path:"model" doc:"Product, vendor and product with a space between, or the unique beginning of either" example:"PowerEdge R740"`
}

// A ModelStep is how long a step of a kind of workflow takes on a model, and how
// long it may take.
type ModelStep struct {
	Workflow string  `json:"workflow" example:"deploy"`
	Runs     int     `json:"runs" doc:"Past runs; with fewer than 3 there are no figures"`
	P50      float64 `json:"p50,omitempty" doc:"Seconds that half of the runs took at most"`
	P95      float64 `json:"p95,omitempty" doc:"Seconds that 95 of 100 runs took at most"`
	sprout.StepLimit
}

// A ModelReport is a model with how long its steps take and may take. What size
// asks for is that of the largest machine of the model.
type ModelReport struct {
	sprout.Model
	Steps []ModelStep `json:"steps"`
}

// Revision is the part of the entity tag that If-Match compares: the limits that
// people have set.
func (m ModelReport) Revision() string {
	raw, _ := Encode(m.Limits) // text and numbers always encode
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:4])
}

// SetModel is the input of ModelSet.
type SetModel struct {
	ModelRef
	Body struct {
		Limits map[string]int64 `json:"limits" minProperties:"1" maxProperties:"32" doc:"Seconds that a step may take, by the step's name, from 60; 0: what Sprout works out by itself" example:"{\"boot-ramdisk\":1500}"`
	}
}

// The operations on models.
var (
	ModelList = Op[Paging, Page[sprout.Model]]{
		Name: "model list", Method: "GET", Path: "/v1/models", Role: sprout.Viewer, Help: "List the models of machines, by vendor and product.",
	}
	ModelShow = Op[ModelRef, ModelReport]{
		Name: "model show", Method: "GET", Path: "/v1/models/{model}", Role: sprout.Viewer, Help: "Show how long each step takes on a model, and how long it may take.",
	}
	ModelSet = Op[SetModel, ModelReport]{
		Name: "model set", Method: "PATCH", Path: "/v1/models/{model}", Role: sprout.Operator, Wide: true, Help: "Set how long steps may take on a model, for work that is started from now on.",
	}
)

func modelOperations() []Operation { return []Operation{of(ModelList), of(ModelShow), of(ModelSet)} }
