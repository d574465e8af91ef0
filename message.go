package sprout

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Protocol is the version of what the control plane and its sites say to each
// other. It rises when a message means something new, and a control plane works
// with the agents of OldestProtocol too: they are upgraded after it. Fields and
// kinds that are unknown are passed over on both sides.
const (
	Protocol       = 2
	OldestProtocol = 1 // that of agents which do not say
)

// CheckProtocol refuses an agent that this control plane cannot work with.
func CheckProtocol(agent int) error {
	if agent == 0 {
		agent = 1
	}
	if agent >= OldestProtocol && agent <= Protocol {
		return nil
	}
	return Errorf(Conflict, "cannot work with an agent of protocol %d: this control plane speaks %d to %d", agent, OldestProtocol, Protocol).
		WithRemedy("upgrade the control plane first, or install the agent of version %s", Version)
}

// A ChangeKind is a kind of record that the centre replicates to a site.
type ChangeKind string

const (
	ChangeSite        ChangeKind = "site"        // key: site id; Site
	ChangeSubnet      ChangeKind = "subnet"      // key: subnet id; Subnet
	ChangeMachine     ChangeKind = "machine"     // key: machine id; SiteMachine
	ChangeReservation ChangeKind = "reservation" // key: MAC; Reservation, of all its addresses
	ChangeRecord      ChangeKind = "record"      // key: name + " " + IP; Record
	ChangeDNSRecord   ChangeKind = "dns-record"  // key: record id; Record that has a type
	ChangeDNSPolicy   ChangeKind = "dns-policy"  // key: site id; DNSPolicy
	ChangeDNSKey      ChangeKind = "dns-key"     // key: name; SiteDNSKey
	ChangeDHCPOption  ChangeKind = "dhcp-option" // key: option id; SiteDHCPOption
	ChangeWork        ChangeKind = "work"        // key: work id; Work
	ChangeCancel      ChangeKind = "cancel"      // key: work id; no body
)

// OfNames tells whether a change may change what a site's DNS answers.
func (k ChangeKind) OfNames() bool {
	return k == ChangeSite || k == ChangeSubnet || k == ChangeRecord || k == ChangeDNSRecord
}

// A Change is one message from the centre to a site: record Key of Kind is now
// Body, or is gone. Seq rises by one with each change of the site.
type Change struct {
	Seq     int64           `json:"seq"`
	Kind    ChangeKind      `json:"kind"`
	Key     string          `json:"key"`
	Deleted bool            `json:"deleted,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// A SiteMachine is what a site must know of a machine.
type SiteMachine struct {
	ID         MachineID `json:"id"`
	Name       string    `json:"name"`
	Generation int64     `json:"generation"`
	MACs       []string  `json:"macs"`
	UUID       string    `json:"uuid,omitempty"`   // of its firmware (SMBIOS), lower case
	BMC        *BMC      `json:"bmc,omitempty"`    // without password
	Secret     []byte    `json:"secret,omitempty"` // BMC password sealed to the agent's curve key
	Deployed   bool      `json:"deployed,omitempty"`
	SecureBoot bool      `json:"secureBoot,omitempty"` // its firmware runs what is signed only
	BootMode   BootMode  `json:"bootMode,omitempty"`   // of its firmware; empty: not known

	VirtualMedia  bool `json:"virtualMedia,omitempty"`  // its BMC inserts what it boots
	RecordConsole bool `json:"recordConsole,omitempty"` // while it boots, what its console says is in the boot timeline
}

// Work is one piece of site work, delegated whole. Its id is a WorkID, so that a
// repeat is known as such.
type Work struct {
	ID         string          `json:"id"`
	Kind       string          `json:"kind" enum:"commission,deploy,release,rescue,unrescue"`
	Workflow   WorkflowID      `json:"workflow"`
	Machine    MachineID       `json:"machine"`
	Generation int64           `json:"generation"`
	Deadline   time.Time       `json:"deadline"`
	Limits     []StepLimit     `json:"limits,omitempty"` // of its steps; none: the agent's own
	Input      json.RawMessage `json:"input"`
	Secret     []byte          `json:"secret,omitempty"` // of the input, sealed to the agent's curve key: user data
}

// MostOthers is how often work gives its machine other addresses in place of those
// that somebody else uses.
const MostOthers = 3

// WorkID names the work of a workflow by its try, from 1, and by how often other
// addresses were taken in that, from 0 to MostOthers.
func WorkID(workflow string, try, others int) string {
	if others == 0 {
		return fmt.Sprintf("%s/%d", workflow, try)
	}
	return fmt.Sprintf("%s/%d.%d", workflow, try, others)
}

// CommissionWork is the input of a commission at a site.
type CommissionWork struct {
	SkipTests  bool      `json:"skipTests,omitempty"`
	SkipReason string    `json:"skipReason,omitempty"`
	Tests      []TestRun `json:"tests,omitempty"` // beside the ramdisk's own
	// FastTrack is how many seconds the machine then waits in the ramdisk; 0: it is
	// switched off, as agents before 0.5 do always.
	FastTrack int `json:"fastTrack,omitempty"`
	// Address is that of the ramdisk, where the machine boots by virtual media and is
	// given it for that; zero: it has one already, or asks for one.
	Address netip.Addr `json:"address,omitzero"`
}

// A Rest is a machine that waits in the ramdisk of a boot attempt, switched on.
type Rest struct {
	Attempt AttemptID `json:"attempt"`
	Until   time.Time `json:"until"` // then it switches itself off
	Mode    BootMode  `json:"mode,omitempty"`
	Boot    string    `json:"boot,omitempty"` // as in its Hello
}

// DeployWork is the input of a deploy at a site.
type DeployWork struct {
	Image    Image            `json:"image"`
	Disk     DiskRule         `json:"disk"`
	Disks    []Disk           `json:"disks,omitempty"` // that the plan named: no other is written; none: it could name none
	Hostname string           `json:"hostname"`        // fully qualified
	SSHKeys  []string         `json:"sshKeys"`
	UserData string           `json:"userData,omitempty"` // of centres before 0.2; else it is sealed
	Sealed   bool             `json:"sealed,omitempty"`   // the work's secret is its user data
	Networks []InterfaceSetup `json:"networks"`           // its first static address, which is all that agents before 0.3 configure
	Links    []LinkSetup      `json:"links,omitempty"`    // none: networks, of centres before 0.3
	Metadata MetadataBy       `json:"metadata,omitempty"` // empty: MetadataDrive
	Layout   *Layout          `json:"layout,omitempty"`   // of a root file system; nil: the image is of a disk
	Onto     *DiskRule        `json:"onto,omitempty"`     // with a layout: what Disk is else, by which agents that know none find no disk
}

// Rule is the rule by which the disk, or those of the layout, are chosen.
func (w DeployWork) Rule() DiskRule {
	if w.Onto != nil {
		return *w.Onto
	}
	return w.Disk
}

// MetadataBy is how an installed system gets its metadata at its first boot.
type MetadataBy string

const (
	MetadataDrive MetadataBy = "drive" // all of it is on its config drive
	MetadataHTTP  MetadataBy = "http"  // the config drive says where it is; user data is never on the disk's config drive
	// MetadataIgnition is as MetadataHTTP, for a system that is told by Ignition.
	MetadataIgnition MetadataBy = "ignition"
)

// ByHTTP tells whether the system asks for it by a URL of its own.
func (m MetadataBy) ByHTTP() bool { return m == MetadataHTTP || m == MetadataIgnition }

// An InterfaceSetup is how the installed system configures the only interface
// that it does.
type InterfaceSetup struct {
	MAC     string       `json:"mac"`
	IP      netip.Addr   `json:"ip"`
	Prefix  int          `json:"prefix"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
	DNS     []netip.Addr `json:"dns"`
	MTU     int          `json:"mtu,omitempty"`
	Domain  string       `json:"domain,omitempty"`
}

// Addresses are all that the installed system will have.
func (w DeployWork) Addresses() (all []netip.Addr) {
	for _, n := range w.Networks {
		if n.IP.IsValid() {
			all = append(all, n.IP)
		}
	}
	for _, l := range w.Links {
		for _, a := range l.Addresses {
			if !slices.Contains(all, a.Addr()) {
				all = append(all, a.Addr())
			}
		}
	}
	return all
}

// ReleaseWork is the input of a release at a site.
type ReleaseWork struct {
	Erase  bool        `json:"erase"`
	Method EraseMethod `json:"method,omitempty"` // of erasing; empty: the best that each disk can have
	// Address is as that of CommissionWork.
	Address netip.Addr `json:"address,omitzero"`
	Disks   []Disk     `json:"disks,omitempty"` // that the plan says are erased: all of them must be; none: there was no inventory
}

// RescueWork is the input of a rescue at a site.
type RescueWork struct {
	SSHKeys []string `json:"sshKeys"`
}

// A FactKind is a kind of news from a site.
type FactKind string

const (
	FactDiscovered FactKind = "discovered" // DiscoveredFact
	FactInventory  FactKind = "inventory"  // Inventory
	FactTests      FactKind = "tests"      // []TestResult
	FactPower      FactKind = "power"      // PowerState
	FactBMC        FactKind = "bmc"        // BMCFact
	FactStep       FactKind = "step"       // StepRecord of site work
	FactRest       FactKind = "rest"       // Rest
	FactWorkEnded  FactKind = "work-ended" // WorkResult
	FactLease      FactKind = "lease"      // Lease
	FactNames      FactKind = "names"      // NamesFact
	FactBoot       FactKind = "boot"       // []BootEvent; of agents before 0.2 one BootEvent
)

// A Fact is something that happened at a site. Seq rises by one with each fact
// of its agent; the centre takes each once, in order, while it is the site's
// agent.
type Fact struct {
	Agent   AgentID         `json:"agent,omitempty"` // who says so: the bus fills it in, whatever the message says
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`
	Kind    FactKind        `json:"kind"`
	Machine MachineID       `json:"machine,omitempty"`
	Attempt AttemptID       `json:"attempt,omitempty"`
	Work    string          `json:"work,omitempty"` // id of the Work it belongs to
	Body    json.RawMessage `json:"body"`
}

// A DiscoveredFact is what an unknown machine's ramdisk reported.
type DiscoveredFact struct {
	BootMAC   string     `json:"bootMac"`
	IP        netip.Addr `json:"ip,omitzero"`
	Inventory Inventory  `json:"inventory"`
}

// A NamesFact is what an update changed (RFC 2136): the site owns it.
type NamesFact struct {
	Removed []Record `json:"removed,omitempty"`
	Added   []Record `json:"added,omitempty"`
}

// A WorkResult is how site work ended.
type WorkResult struct {
	State   WorkflowState `json:"state"` // succeeded, failed or cancelled
	Failure *Failure      `json:"failure,omitempty"`
	// Taken are addresses of the work that somebody else uses: why it failed.
	Taken []AddressConflict `json:"taken,omitempty"`
	Shell *Shell            `json:"shell,omitempty"` // of a rescue
}

// Live is what a running piece of site work looks like now. It is sent while
// somebody may be watching and never stored: losing it costs nothing.
type Live struct {
	Work     string    `json:"work"`
	Step     string    `json:"step"`
	Wait     *Wait     `json:"wait,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	// Answer is what the centre asked for: then it is not of work.
	Answer *Answer `json:"answer,omitempty"`
	// Console is what a machine's console says, while somebody has it open: then it
	// is not of work.
	Console *ConsoleOutput `json:"console,omitempty"`
}

// A Question is what the centre asks an agent now. It changes nothing that is kept.
type Question struct {
	ID   string          `json:"id"`
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// ExplainDHCP is the kind of a question whose body is a DHCPQuestion, and whose
// answer is a DHCPExplanation.
const ExplainDHCP = "explain-dhcp"

// ProbeAddresses is the kind of a question whose body is a list of addresses, and
// whose answer is an AddressProbe of each, in their order.
const ProbeAddresses = "probe-addresses"

// MostProbes is how many addresses one question may ask for.
const MostProbes = 64

// An Answer is that to the Question with the id.
type Answer struct {
	ID    string          `json:"id"`
	Body  json.RawMessage `json:"body,omitempty"`
	Kind  Kind            `json:"kind,omitempty"` // of the error
	Error string          `json:"error,omitempty"`
}

// A Heartbeat says that an agent lives and how far it is.
type Heartbeat struct {
	Agent   AgentID `json:"agent"`
	Version string  `json:"version"`
	// Protocol is what it speaks; 0: it is of before that was said.
	Protocol int       `json:"protocol,omitempty"`
	Address  string    `json:"address"`
	Applied  int64     `json:"applied"` // last Change.Seq applied
	Facts    int64     `json:"facts"`   // last Fact.Seq made
	At       time.Time `json:"at"`
	// Downloading are the machines whose turn it is to download an image, Waiting
	// those that wait for theirs.
	Downloading int `json:"downloading,omitempty"`
	Waiting     int `json:"waiting,omitempty"`
	// Troubles are what is wrong with the agent or its host, at most MostTroubles.
	Troubles []Trouble `json:"troubles,omitempty"`
}

// A Beat is a heartbeat and the site that it came from, which the bus vouches for.
type Beat struct {
	Site SiteID
	Heartbeat
}

// From is who says that it is alive.
func (b Beat) From() [2]string { return [2]string{string(b.Site), string(b.Agent)} }
