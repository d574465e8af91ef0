package sprout

import "time"

// A Model is one kind of machine, by what its SMBIOS calls vendor and product.
type Model struct {
	Vendor      string       `json:"vendor" example:"Dell Inc."`
	Name        string       `json:"name" example:"PowerEdge R740"`
	Machines    int          `json:"machines" doc:"How many there are"`
	MemoryBytes int64        `json:"memoryBytes" doc:"Of the largest"`
	DiskBytes   int64        `json:"diskBytes" doc:"All disks of the one that has most"`
	Limits      []ModelLimit `json:"limits" doc:"How long steps may take, where somebody has set that"`
}

// String is how people call the model.
func (m Model) String() string { return modelName(m.Vendor, m.Name) }

// ModelName is how people call the model of the machine, "" if it does not say.
func (i *Inventory) ModelName() string {
	if i == nil {
		return ""
	}
	return modelName(i.Vendor, i.Model)
}

func modelName(vendor, name string) string {
	if vendor == "" || name == "" {
		return vendor + name
	}
	return vendor + " " + name
}

// A ModelLimit is how long a step may take on a model, as somebody has set it.
type ModelLimit struct {
	Step    string    `json:"step" example:"boot-ramdisk"`
	Seconds int64     `json:"seconds" example:"1500"`
	By      string    `json:"by" doc:"Who set it"`
	At      time.Time `json:"at"`
}

// A LimitOrigin is where a step's limit comes from.
type LimitOrigin string

const (
	LimitUsual   LimitOrigin = "usual"
	LimitSize    LimitOrigin = "size"
	LimitHistory LimitOrigin = "history"
	LimitSet     LimitOrigin = "set"
)

// A StepLimit is how long a step may take on a machine before it is a failure,
// and why so long.
type StepLimit struct {
	Step    string      `json:"step" example:"boot-ramdisk"`
	Seconds int64       `json:"seconds" example:"1500"`
	From    LimitOrigin `json:"from" enum:"usual,size,history,set"`
	Why     string      `json:"why" example:"for Dell Inc. PowerEdge R740, set by ann"`
}

// Duration is the limit.
func (l StepLimit) Duration() time.Duration { return time.Duration(l.Seconds) * time.Second }

// A Usual is how long something took in past runs.
type Usual struct {
	Runs     int
	P50, P95 time.Duration // that half, and that 95 of 100, took at most
}
