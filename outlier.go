package sprout

import (
	"cmp"
	"fmt"
)

// An Outlier is a figure of a device that is far worse than the same figure of its
// sisters: devices of its model, by the same test with the same parameters.
type Outlier struct {
	Test    string  `json:"test" example:"disk-speed"`
	Kind    string  `json:"kind" enum:"cpu,memory,disk,nic,gpu,node" doc:"What kind of device it is" example:"disk"`
	Device  string  `json:"device" example:"nvme0n1"`
	Serial  string  `json:"serial,omitempty" doc:"What the device is known by wherever it is: serial number or MAC address" example:"S4X7NF0M"`
	Model   string  `json:"model" doc:"Of which model it and its sisters are" example:"SAMSUNG MZQL2"`
	Figure  string  `json:"figure" doc:"Name of the figure" example:"iops"`
	Unit    string  `json:"unit" example:"1/s"`
	Value   float64 `json:"value" doc:"What was found" example:"54000"`
	Median  float64 `json:"median" doc:"Half of its sisters are better than this, and half are worse" example:"90000"`
	Sisters int     `json:"sisters" doc:"How many there are" example:"50"`
	Percent float64 `json:"percent" doc:"By how much it is worse than the median, in percent of that" example:"40"`
	// Accepted is what somebody has said to be good enough.
	Accepted *float64 `json:"accepted,omitempty" doc:"The value that somebody has accepted: it is a problem again if it gets worse than that by a tenth" example:"54000"`
}

// String is the outlier in words.
func (o Outlier) String() string {
	device := o.Device
	if o.Serial != "" {
		device += " (" + o.Serial + ")"
	}
	return fmt.Sprintf("%s of %s: %s %s is %.0f %% worse than the median %s of %d %s", o.Test, device, o.Figure, amount(o.Value, o.Unit), o.Percent, amount(o.Median, o.Unit), o.Sisters, o.Model)
}

// amount writes a value with its unit: a count has none.
func amount(v float64, unit string) string {
	if unit == "1" || unit == "" {
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.4g %s", v, unit)
}

// A TestFleet is how a figure of a test is spread among the devices of a model.
type TestFleet struct {
	Model      string            `json:"model" example:"SAMSUNG MZQL2"`
	Parameters map[string]string `json:"parameters" doc:"What the test was told: times in seconds, sizes in bytes" example:"{\"runtime\":\"60\"}"`
	Figure     string            `json:"figure" doc:"Name of the figure" example:"iops"`
	Unit       string            `json:"unit" example:"1/s"`
	Better     string            `json:"better" enum:"more,less" doc:"Which is better" example:"more"`
	Devices    int               `json:"devices" doc:"How many there are: the newest result of each counts" example:"51"`
	Least      float64           `json:"least" doc:"The least of all" example:"54000"`
	Median     float64           `json:"median" doc:"Half of the devices have more, and half less" example:"90000"`
	Deviation  float64           `json:"deviation" doc:"Median absolute deviation: half of the devices are no farther from the median" example:"700"`
	Most       float64           `json:"most" doc:"The most of all" example:"92000"`
	Outliers   []FleetOutlier    `json:"outliers" doc:"Those that are far worse than their sisters"`
}

// A FleetOutlier is an outlier, and the machine that it is in.
type FleetOutlier struct {
	Machine     MachineID `json:"machine"`
	MachineName string    `json:"machineName" doc:"Name of the machine" example:"web-01"`
	Outlier
}

// Part is what the device of a result is known by wherever it is.
func (r TestRecord) Part() string { return cmp.Or(r.Serial, string(r.Machine)+" "+r.Device) }
