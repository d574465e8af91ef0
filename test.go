package sprout

import "time"

// A Test is a hardware test: an executable, with what the header at its head
// declares (docs/how-to/hardware-tests.md). The builtin ones are declared in the same way.
type Test struct {
	Name        string          `json:"name" example:"disk-speed"`
	Title       string          `json:"title" doc:"What it tests, in words" example:"Random reads of the disk"`
	Kind        string          `json:"kind" enum:"cpu,memory,disk,nic,gpu,node" doc:"What it tests: it runs once for each device of this kind"`
	Parameters  []TestParameter `json:"parameters" doc:"What may be said of how it is to run"`
	Metrics     []TestMetric    `json:"metrics" doc:"Figures that it yields, and what is good of them"`
	Timeout     int64           `json:"timeout" doc:"Seconds that it may take on one device, without what a parameter adds" example:"600"`
	TimeoutPlus string          `json:"timeoutPlus,omitempty" doc:"Parameter whose time comes on top of it" example:"runtime"`
	Parallel    bool            `json:"parallel" doc:"It runs on all its devices at the same time; else on one after the other" example:"true"`
	Destructive bool            `json:"destructive" doc:"It overwrites what is on the device" example:"false"`
	Needs       []string        `json:"needs" doc:"Programs that it calls" example:"[\"fio\"]"`
	Program     string          `json:"program,omitempty" doc:"Name of the ramdisk's own program that it is; absent: it is a file" example:"disk-read"`
	Builtin     bool            `json:"builtin" doc:"It comes with Sprout" example:"true"`
	Usual       bool            `json:"usual" doc:"It runs in every commissioning that is not told to skip tests" example:"false"`
	Digest      string          `json:"digest" doc:"Of the executable"`
	Bytes       int64           `json:"bytes" doc:"Size of the executable"`
	By          string          `json:"by,omitempty" doc:"Who added it"`
	CreatedAt   time.Time       `json:"createdAt,omitzero"`
}

// A ParameterKind is what a value of a test's parameter must be.
type ParameterKind string

const (
	IntegerParameter  ParameterKind = "integer"
	DurationParameter ParameterKind = "duration" // as 30s or 1h30m
	SizeParameter     ParameterKind = "size"     // bytes, as 512MiB or 4GB
	TextParameter     ParameterKind = "text"
	ChoiceParameter   ParameterKind = "choice" // one of Among
)

// A TestParameter is what may be said of how a test is to run.
type TestParameter struct {
	Name    string        `json:"name" example:"runtime"`
	Kind    ParameterKind `json:"kind" enum:"integer,duration,size,text,choice"`
	Title   string        `json:"title,omitempty" doc:"What it means, in words" example:"How long to read"`
	Default string        `json:"default" doc:"Its value where none is given; empty: none, and only a text may be empty" example:"30s"`
	Least   string        `json:"least,omitempty" doc:"The least value; absent: any" example:"1s"`
	Most    string        `json:"most,omitempty" doc:"The most; of a text its bytes; absent: any" example:"24h"`
	Among   []string      `json:"among,omitempty" doc:"The values that there are, of a choice" example:"[\"random\",\"sequential\"]"`
}

// A TestMetric is a figure that a test yields, and what is good of it.
type TestMetric struct {
	Name   string   `json:"name" example:"iops"`
	Unit   string   `json:"unit" example:"1/s"`
	Title  string   `json:"title,omitempty" doc:"What it says, in words"`
	Least  *float64 `json:"least,omitempty" doc:"With less the test has failed; absent: any will do" example:"100"`
	Most   *float64 `json:"most,omitempty" doc:"With more the test has failed; absent: any will do" example:"50"`
	Better string   `json:"better,omitempty" enum:"more,less" doc:"Which is better among machines of a model; absent: neither"`
}

// A TestChoice is a test that is to run, and how.
type TestChoice struct {
	Test       string            `json:"test" minLength:"1" maxLength:"63" doc:"Name of the test" example:"disk-speed"`
	Parameters map[string]string `json:"parameters,omitempty" maxProperties:"32" doc:"Values of its parameters by name; what is absent has its default" example:"{\"runtime\":\"1m\"}"`
}

// A TestRun is a test as a ramdisk is to run it, whole: with the values of all
// its parameters as the executable gets them.
type TestRun struct {
	Test       Test              `json:"test"`
	Parameters map[string]string `json:"parameters"`
}

// Tools are the programs that tests call, as one squashfs file of the site.
type Tools struct {
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
	// Architecture is what they run on.
	Architecture Architecture `json:"architecture,omitempty"`
}

// TestSubject is what a test is in the audit: it has no id but its name.
func TestSubject(name string) string { return "test " + name }
