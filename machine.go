package sprout

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A PowerState is what a BMC last said.
type PowerState string

const (
	PowerOn      PowerState = "on"
	PowerOff     PowerState = "off"
	PowerUnknown PowerState = "unknown"
)

// A BootMode is how firmware boots.
type BootMode string

const (
	BIOS BootMode = "bios"
	UEFI BootMode = "uefi"
)

// An Architecture names a processor family as Debian and Go do: amd64, arm64.
type Architecture string

const (
	AMD64 Architecture = "amd64"
	ARM64 Architecture = "arm64"
)

// A Machine is one server. Its condition has separate axes: State, Activity,
// Power, Problems and the two flags.
type Machine struct {
	ID           MachineID    `json:"id"`
	Site         SiteID       `json:"site"`
	SiteName     string       `json:"siteName"`
	Name         string       `json:"name" doc:"Unique in the site, a DNS label" example:"web-01"`
	State        State        `json:"state"`
	Activity     *Activity    `json:"activity,omitempty" doc:"The running workflow, if any"`
	Power        PowerState   `json:"power"`
	PowerAt      *time.Time   `json:"powerAt,omitempty" doc:"When the BMC said so"`
	Architecture Architecture `json:"architecture"`
	BootMode     BootMode     `json:"bootMode,omitempty"`
	Interfaces   []Interface  `json:"interfaces"`
	BMC          *BMC         `json:"bmc,omitempty"`
	BMCAbout     *BMCAbout    `json:"bmcAbout,omitempty" doc:"What its BMC told of itself when work last started the machine, and what is therefore done otherwise; absent: no work has since its driver and URL were set, or the BMC does not tell"`
	Tags         []string     `json:"tags"`
	Labels       Labels       `json:"labels"`
	Pool         string       `json:"pool"`
	Zone         string       `json:"zone" doc:"Failure zone"`
	Owner        string       `json:"owner,omitempty"`
	Locked       bool         `json:"locked" doc:"Refuses every workflow"`
	Protected    bool         `json:"protected" doc:"Refuses what destroys data"`
	SecureBoot   bool         `json:"secureBoot" doc:"Its firmware enforces Secure Boot: it boots signed loaders only"`
	VirtualMedia bool         `json:"virtualMedia" doc:"Its BMC inserts what it boots, as a CD: it needs no DHCP, and boots by UEFI only"`
	Generation   int64        `json:"generation" doc:"Rises with every workflow; a command of an older one is refused by the site"`
	Image        string       `json:"image,omitempty" doc:"Name of the deployed image, never an alias"`
	ImageDigest  string       `json:"imageDigest,omitempty" doc:"Digest of the deployed image: what was written, whatever its name means since; absent: none is deployed, or it was gone before digests were kept" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Shell        *Shell       `json:"shell,omitempty" doc:"How to get into it, while it is in rescue"`
	Addresses    []Address    `json:"addresses"`
	Inventory    *Inventory   `json:"inventory,omitempty"`
	Tests        []TestResult `json:"tests,omitempty" doc:"Latest result of each hardware test and device"`
	TestsSkipped bool         `json:"testsSkipped" doc:"The last commissioning ran without hardware tests"`
	SkipReason   string       `json:"skipReason,omitempty" doc:"Why it did, as who asked for it said" example:"tested by the vendor"`
	Problems     []Problem    `json:"problems,omitempty"`
	RestsUntil   *time.Time   `json:"restsUntil,omitempty" doc:"It waits in the ramdisk, switched on, until then: a deploy needs no power cycle. Absent: it does not" example:"2026-11-01T14:02:00Z"`
	CreatedAt    time.Time    `json:"createdAt"`
	ChangedAt    time.Time    `json:"changedAt"`
	Rev          int64        `json:"revision" doc:"Rises with what people and workflows decide, not with what is measured: what If-Match compares"`

	RecordConsole bool `json:"recordConsole" doc:"Its console is kept open while work boots it, so that what it says is in the boot timeline: its BMC has none left for others then" example:"true"`
}

// Revision is the part of the entity tag that If-Match compares.
func (m Machine) Revision() string { return strconv.FormatInt(m.Rev, 10) }

// MayBootMedia refuses virtual media to a machine that cannot boot them: they
// hold the loaders of UEFI firmware of amd64.
func (m Machine) MayBootMedia() error {
	switch {
	case m.BootMode == BIOS:
		return InvalidField("virtualMedia", "cannot boot %s by virtual media: it boots by BIOS, and they are for UEFI", m.Name).
			WithRemedy("switch its firmware to UEFI, or boot it by network: sprout machine update %s --virtual-media=false", m.Name)
	case m.Architecture != "" && m.Architecture != AMD64:
		return InvalidField("virtualMedia", "cannot boot %s by virtual media: it is %s, and they are for amd64", m.Name, m.Architecture).
			WithRemedy("boot it by network: sprout machine update %s --virtual-media=false", m.Name)
	}
	return nil
}

// An Activity is what a machine is doing now, derived from its workflow.
type Activity struct {
	Workflow WorkflowID `json:"workflow"`
	Kind     string     `json:"kind" example:"deploy"`
	Step     string     `json:"step" example:"write-image"`
	Percent  int        `json:"percent,omitempty"`
	Reason   string     `json:"reason,omitempty" doc:"What it waits for"`
}

// An Interface is a network port of a machine.
type Interface struct {
	Name     string `json:"name,omitempty" example:"eno1"`
	MAC      string `json:"mac" doc:"Lower case, colons" example:"52:54:00:12:34:56"`
	Boot     bool   `json:"boot" doc:"The port it was seen to boot from"`
	Driver   string `json:"driver,omitempty"`
	Link     bool   `json:"link"`
	SpeedMbs int    `json:"speedMbs,omitempty" doc:"Mb/s; 0 where the driver does not say"`
	PCI      string `json:"pci,omitempty" doc:"PCI address" example:"0000:00:03.0"`
}

// A BMC is a machine's service processor. Its password is write-only: it is
// sealed at rest and never returned.
type BMC struct {
	Driver   string `json:"driver" enum:"redfish,ipmi,webhook,manual" doc:"Power provider"`
	URL      string `json:"url,omitempty" doc:"As the driver wants it: https://10.0.0.5 for redfish, ipmi://10.0.0.5 for ipmi, where your program answers for webhook" example:"https://10.0.0.5"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty" writeOnly:"true"`
	System   string `json:"system,omitempty" doc:"Redfish ComputerSystem id, the only one if empty; what a webhook calls the machine"`
	Insecure bool   `json:"insecure,omitempty" doc:"Accept any TLS certificate"`
}

// drivers are the power providers by name, and the schemes of their URLs; those
// without one need no URL.
var drivers = map[string][]string{
	"redfish": {"https", "http"},
	"ipmi":    {"ipmi"},
	"webhook": {"https", "http"},
	"manual":  nil,
}

// Check refuses a BMC whose URL is not for its driver. An unknown driver is the
// store's to refuse.
func (b BMC) Check() error {
	schemes := drivers[b.Driver]
	if len(schemes) == 0 {
		return nil
	}
	if b.URL == "" {
		return InvalidField("bmc.url", "the %s driver needs the URL of the BMC", b.Driver)
	}
	scheme, _, _ := strings.Cut(b.URL, "://")
	if slices.Contains(schemes, scheme) {
		return nil
	}
	err := InvalidField("bmc.url", "cannot be used by the %s driver: it must begin with %s://", b.Driver, strings.Join(schemes, ":// or "))
	for driver, others := range drivers {
		if len(others) == 1 && others[0] == scheme {
			return err.WithRemedy("--bmc-driver %s", driver)
		}
	}
	return err
}

// A HostBMC is where a machine's BMC is, as that or the firmware says in the machine.
type HostBMC struct {
	Address netip.Addr `json:"address" doc:"On the LAN" example:"10.0.5.11"`
	MAC     string     `json:"mac,omitempty" doc:"Of the BMC's port, lower case with colons; absent: it does not say" example:"52:54:00:12:34:60"`
	Source  string     `json:"source,omitempty" enum:"static,dhcp,firmware,other" doc:"Where it has the address from; absent: it does not say" example:"dhcp"`
	By      string     `json:"by" enum:"ipmi,smbios" doc:"Who says so: the BMC by IPMI (2.0, section 23.2), or the firmware by SMBIOS (type 42, DSP0270)" example:"ipmi"`
}

// BMCElsewhere says that the machine tells another address of its BMC than that by which
// it is driven; empty: it does not, or one of the two is not known. A BMC that is driven by
// name is where its site resolves that.
func (m *Machine) BMCElsewhere() string {
	told := m.inventory().BMC
	if told == nil || m.BMC == nil || m.BMC.Driver != "redfish" && m.BMC.Driver != "ipmi" {
		return ""
	}
	at, err := url.Parse(m.BMC.URL)
	if err != nil {
		return ""
	}
	driven, err := netip.ParseAddr(at.Hostname())
	if err != nil || driven == told.Address || driven.Is4() != told.Address.Is4() {
		return ""
	}
	text := fmt.Sprintf("it is driven at %s, and says that its BMC is at %s (by %s", driven, told.Address, told.By)
	if told.Source != "" {
		text += ", from " + told.Source
	}
	return text + ")"
}

// An Inventory is what a machine's ramdisk found in it.
type Inventory struct {
	At           time.Time    `json:"at"`
	Architecture Architecture `json:"architecture"`
	BootMode     BootMode     `json:"bootMode"`
	Vendor       string       `json:"vendor,omitempty"`
	Model        string       `json:"model,omitempty"`
	Serial       string       `json:"serial,omitempty"`
	UUID         string       `json:"uuid,omitempty" doc:"SMBIOS system UUID"`
	Firmware     string       `json:"firmware,omitempty" doc:"Vendor, version and date"`
	Address      netip.Addr   `json:"address,omitzero" doc:"Where it had booted when it was discovered; absent: it was registered" example:"10.0.0.100"`
	CPU          CPU          `json:"cpu"`
	MemoryBytes  int64        `json:"memoryBytes"`
	DIMMs        []DIMM       `json:"dimms,omitempty"`
	Disks        []Disk       `json:"disks"`
	Interfaces   []Interface  `json:"interfaces"`
	PCI          []PCIDevice  `json:"pci,omitempty"`
	BMC          *HostBMC     `json:"bmc,omitempty" doc:"Where its BMC is, as the machine says from within; absent: it does not"`
	Neighbours   []Neighbour  `json:"neighbours,omitempty" doc:"Where the ports' cables lead, as far as switches say so by LLDP"`
}

// A CPU is the processors of a machine taken together.
type CPU struct {
	Model   string `json:"model"`
	Sockets int    `json:"sockets"`
	Cores   int    `json:"cores"`
	Threads int    `json:"threads"`
}

// A DIMM is one memory module.
type DIMM struct {
	Slot   string `json:"slot"`
	Bytes  int64  `json:"bytes"`
	Vendor string `json:"vendor,omitempty"`
	Serial string `json:"serial,omitempty"`
}

// A Disk is a block device that can be written to.
type Disk struct {
	Name       string `json:"name" example:"vda"`
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`
	Model      string `json:"model,omitempty"`
	Bytes      int64  `json:"bytes"`
	Rotational bool   `json:"rotational"`
	Bus        string `json:"bus,omitempty" example:"virtio"`
	Path       string `json:"path,omitempty" doc:"Where it is attached, as udev names it below /dev/disk/by-path" example:"pci-0000:03:00.0-nvme-1"`
	ReadOnly   bool   `json:"readOnly,omitempty"`
	Removable  bool   `json:"removable,omitempty" doc:"Its medium can be taken out, as a stick's: it is not the machine's, and not erased with it" example:"false"`

	Erase DiskErase `json:"erase,omitzero" doc:"What it says of the ways to erase it"`
}

// A PCIDevice is one function on the PCI bus.
type PCIDevice struct {
	Address string `json:"address"`
	Vendor  string `json:"vendor" doc:"Hexadecimal vendor id"`
	Device  string `json:"device" doc:"Hexadecimal device id"`
	Class   string `json:"class" doc:"Hexadecimal class code"`
	Driver  string `json:"driver,omitempty"`
}

// A DiskRule chooses the one disk to write. Empty fields do not restrict; with
// none set the smallest disk that is large enough is chosen when it is the only
// one of its size.
type DiskRule struct {
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`
	Model      string `json:"model,omitempty"`
	Name       string `json:"name,omitempty" doc:"Kernel name; the least stable of rules" example:"nvme0n1"`
	Path       string `json:"path,omitempty" doc:"Where it is attached, as udev names it below /dev/disk/by-path" example:"pci-0000:03:00.0-nvme-1"`
	MinBytes   int64  `json:"minBytes,omitempty"`
	MaxBytes   int64  `json:"maxBytes,omitempty" doc:"At most so many bytes; 0: any size" example:"500000000000"`
	Rotational *bool  `json:"rotational,omitempty"`
	Smallest   bool   `json:"smallest,omitempty" doc:"The smallest of those that match and are large enough; refused where two are of that size" example:"false"`
}

// An Outcome is what came of a hardware test.
type Outcome string

const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// A TestResult is what one hardware test found on one device.
type TestResult struct {
	Test    string   `json:"test" example:"disk-read"`
	Kind    string   `json:"kind" enum:"cpu,memory,disk,nic,gpu,node"`
	Device  string   `json:"device" example:"vda"`
	Serial  string   `json:"serial,omitempty" doc:"What the device is known by wherever it is: serial number or MAC address"`
	Model   string   `json:"model,omitempty" doc:"Which model the device is of: it is compared with others of that" example:"SAMSUNG MZQL2"`
	Outcome Outcome  `json:"outcome" enum:"passed,failed,skipped"`
	Message string   `json:"message,omitempty" doc:"Why it failed or was skipped"`
	Metrics []Metric `json:"metrics"`
	// Parameters are what the test was told, as its executable got them.
	Parameters map[string]string `json:"parameters,omitempty" doc:"What the test was told: times in seconds, sizes in bytes; only in the history of tests" example:"{\"runtime\":\"60\"}"`
	Output     string            `json:"output,omitempty" doc:"The end of what it said; only in the history of tests" example:"no errors in 4096 MiB"`
	At         time.Time         `json:"at"`
	Seconds    float64           `json:"seconds"`
}

// A TestRecord is a result of a test as it is kept: of which machine it is.
type TestRecord struct {
	Seq         int64     `json:"seq" doc:"Rises with every result"`
	Site        SiteID    `json:"site"`
	Machine     MachineID `json:"machine"`
	MachineName string    `json:"machineName"`
	TestResult
}

// A Metric is one figure of a test, with its unit.
type Metric struct {
	Name  string  `json:"name" example:"throughput"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit" example:"MB/s"`
}
