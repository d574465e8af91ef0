package sprout

// A BMCAbout is what a BMC has told of itself, and what is therefore done otherwise.
// What it does not tell is empty.
type BMCAbout struct {
	Vendor   string  `json:"vendor,omitempty" doc:"Who made it; with IPMI the maker's number at IANA" example:"Supermicro"`
	Model    string  `json:"model,omitempty" doc:"What it is" example:"X12STH-F"`
	Firmware string  `json:"firmware,omitempty" doc:"Version of its firmware" example:"01.04.16"`
	Quirks   []Quirk `json:"quirks,omitempty" doc:"Rows of its driver's table that apply to it"`
}

// None tells whether the BMC has told nothing.
func (a BMCAbout) None() bool {
	return a.Vendor == "" && a.Model == "" && a.Firmware == "" && len(a.Quirks) == 0
}

// A Quirk is a row of a driver's table of what BMCs do otherwise than the standard.
type Quirk struct {
	Name  string `json:"name" doc:"Name of the row" example:"usb-cd"`
	Known string `json:"known" doc:"By what of the BMC it is known, in Markdown" example:"vendor like super ?micro"`
	Does  string `json:"does" doc:"What is done otherwise, in Markdown" example:"virtual media is started from as UsbCd, where that is offered"`
	Why   string `json:"why" doc:"What goes wrong without the row, and where that is known from" example:"virtual media is a USB CD drive: with Cd as boot device the start fails"`
}

// A BMCFact is what the BMC of a machine has told of itself where it was driven.
type BMCFact struct {
	URL string `json:"url"`
	BMCAbout
}
