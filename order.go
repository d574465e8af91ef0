package sprout

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// The ramdisk speaks HTTP to its site's agent, with the token of its boot
// attempt as bearer:
//
//	POST /ramdisk/hello    Hello → 204           "I run"
//	GET  /ramdisk/order?after=ID → 200 Order     the next thing to do; held open up to 25 s, then 204
//	POST /ramdisk/report   Report → 204          progress and results
//	GET  /ramdisk/tests/DIGEST → the executable of a test that it was ordered to run
//	GET  /ramdisk/tools    → the squashfs of the programs that tests call, with ranges
//	GET  /ramdisk/layout   → the squashfs of the programs that layouts need, with ranges
//	GET  /images/DIGEST    → the image's stored bytes, with ranges; with "Prefer: respond-async" 202 Turn
//	                         while others download, held up to 10 s: ask again. Without it the bytes
//	                         come one by one until it is the machine's turn
//
// The installed system says that it runs by
//
//	POST /phone-home/ATTEMPT/TOKEN               any body → 200

// A Hello is the first word of a ramdisk.
type Hello struct {
	Version      string       `json:"version"`
	BootMAC      string       `json:"bootMac"`
	Architecture Architecture `json:"architecture"`
	BootMode     BootMode     `json:"bootMode"`
	Serial       string       `json:"serial,omitempty"`
	UUID         string       `json:"uuid,omitempty"`
	MACs         []string     `json:"macs"`
	Boot         string       `json:"boot,omitempty"` // differs with each start of its kernel; of ramdisks before 0.4 empty
}

// An OrderKind is one thing that a ramdisk can do.
type OrderKind string

const (
	OrderInspect  OrderKind = "inspect"  // report the inventory
	OrderTest     OrderKind = "test"     // run hardware tests
	OrderWrite    OrderKind = "write"    // write an image and its config drive
	OrderInstall  OrderKind = "install"  // make a layout, and unpack a root file system into it
	OrderErase    OrderKind = "erase"    // erase disks and prove it
	OrderShell    OrderKind = "shell"    // let in by SSH whoever holds one of the keys
	OrderWait     OrderKind = "wait"     // for a deploy, and switch the machine off if none comes
	OrderReboot   OrderKind = "reboot"   // from disk
	OrderPowerOff OrderKind = "poweroff" //
)

// An Order is what the agent wants of the ramdisk next. An order that is seen
// twice (same id) is reported again, not done again.
type Order struct {
	ID    string     `json:"id"`
	Kind  OrderKind  `json:"kind"`
	Test  *TestOrder `json:"test,omitempty"` // none: the ramdisk's own tests only
	Write *Write     `json:"write,omitempty"`
	Erase *Erase     `json:"erase,omitempty"`
	Keys  []string   `json:"keys,omitempty"` // of a shell, as in authorized_keys
	// Seconds is how long to wait.
	Seconds int `json:"seconds,omitempty"`
	// Kexec says of a reboot that the kernel on the disk is to be started in place of
	// the firmware, where that can be done.
	Kexec bool `json:"kexec,omitempty"`
}

// A TestOrder names the tests to run beside the ramdisk's own. Their executables
// are at TestPath, the tools at ToolsPath.
type TestOrder struct {
	Runs  []TestRun `json:"runs"`
	Tools *Tools    `json:"tools,omitempty"` // none: the site has none
	// Done is what was done before the machine restarted: it is not done again.
	Done *TestsDone `json:"done,omitempty"`
}

// Where a ramdisk finds what its tests need: TestPath and the digest.
const (
	TestPath  = "/ramdisk/tests/"
	ToolsPath = "/ramdisk/tools"
)

// LayoutToolsPath is where a ramdisk finds what it makes a layout with.
const LayoutToolsPath = "/ramdisk/layout"

// TimeHeader is the header with which an agent says what time it is when it answers a
// test of the link: seconds since 1970, with three digits after the point.
const TimeHeader = "Sprout-Time"

// TimeNow is what it holds.
func TimeNow() string { return strconv.FormatFloat(float64(time.Now().UnixMilli())/1000, 'f', 3, 64) }

// A Write says what to put on which disk.
type Write struct {
	URL         string      `json:"url" doc:"Path on the agent"`
	Image       Image       `json:"image"`
	Disk        DiskRule    `json:"disk"`
	Disks       []Disk      `json:"disks,omitempty" doc:"Those that the plan named: no other is written. None: there was no inventory to plan by"`
	ConfigDrive ConfigDrive `json:"configDrive"`
	UserData    []byte      `json:"sealedUserData,omitempty" doc:"Of the config drive, sealed to the agent, which opens it for the ramdisk"`
	Hostname    string      `json:"hostname"`
	// Layout is what the disks become for a root file system; nil: the image is of a disk.
	Layout *Layout `json:"layout,omitempty"`
	Tools  *Tools  `json:"tools,omitempty"` // to make the layout with; nil: the site has none
}

// A ConfigDrive is the content of a NoCloud volume labelled cidata; with Ignition it
// is that of an OpenStack config drive, labelled config-2.
type ConfigDrive struct {
	// Ignition is a configuration of Ignition; then MetaData is JSON, and nothing
	// else is on the drive.
	Ignition      string `json:"ignition,omitempty"`
	MetaData      string `json:"metaData"`
	UserData      string `json:"userData"`
	VendorData    string `json:"vendorData"`
	NetworkConfig string `json:"networkConfig"`
}

// An Erase names the disks to erase by rule; empty: all that are not removable.
type Erase struct {
	Disks  []DiskRule  `json:"disks"`
	Method EraseMethod `json:"method,omitempty"` // empty: the best that each disk can have
}

// A Report is what a ramdisk says of an order.
type Report struct {
	Order     string       `json:"order"`
	Outcome   string       `json:"outcome" enum:"progress,done,failed"`
	Progress  *Progress    `json:"progress,omitempty"`
	Inventory *Inventory   `json:"inventory,omitempty"`
	Tests     []TestResult `json:"tests,omitempty"`
	Marks     []TestMark   `json:"marks,omitempty"` // with progress, as are the tests that have ended since the last
	Written   *Written     `json:"written,omitempty"`
	Erased    []Erased     `json:"erased,omitempty"`
	Shell     *Shell       `json:"shell,omitempty"`
	Failure   *Failure     `json:"failure,omitempty"`
	Start     string       `json:"start,omitempty"` // of a reboot by kexec: what is started, or why the firmware is
	// Console is what the kernel warned of since the last report, the oldest first.
	Console []ConsoleLine `json:"console,omitempty"`
}

// A ConsoleLine is a line that a machine's kernel has written to its consoles.
type ConsoleLine struct {
	Text string  `json:"text"`
	Ago  float64 `json:"ago"` // seconds before it was reported
}

// Written is the proof of a write.
type Written struct {
	Disk      Disk    `json:"disk"`
	Disks     []Disk  `json:"disks,omitempty"` // of a layout: all of them, of which Disk is the first
	RawDigest string  `json:"rawDigest" doc:"Computed over all that was written"`
	RawBytes  int64   `json:"rawBytes"`
	Verified  bool    `json:"verified" doc:"The disk was read back and is the same"`
	Seconds   float64 `json:"seconds"`
}

// Erased is the proof that one disk is empty.
type Erased struct {
	Disk     Disk        `json:"disk"`
	Method   EraseMethod `json:"method" enum:"nvme-sanitize,nvme-format,ata-erase,secure-discard,discard,zeroes,overwrite"`
	Verified int64       `json:"verified" doc:"Bytes read back and found empty"`
	Seconds  float64     `json:"seconds"`
}

// A Shell is how to get into a machine in rescue.
type Shell struct {
	User    string `json:"user" doc:"Whom to log in as" example:"root"`
	Address string `json:"address" doc:"Of the port that it booted from" example:"10.20.0.17"`
	HostKey string `json:"hostKey" doc:"Fingerprint of its SSH host key, which is a new one each time" example:"SHA256:uNiVztksCsDhcc0u9e8BgrJXVGLLAeKZQyr+kn2CAbc"`
}

// String is the command that leads there, and what to compare.
func (s Shell) String() string {
	return fmt.Sprintf("ssh %s@%s (host key %s)", s.User, s.Address, s.HostKey)
}

// An Intent is what a machine shall boot next. Without one it boots its disk.
type Intent struct {
	Machine   MachineID `json:"machine"`
	Attempt   AttemptID `json:"attempt"`
	Purpose   string    `json:"purpose" enum:"discover,commission,deploy,release,rescue"`
	Token     string    `json:"token" doc:"Bearer of the ramdisk of this attempt"`
	HomeToken string    `json:"homeToken" doc:"Of the installed system's phone-home"`
	// MetadataToken is good for the installed system's metadata; empty: it is all on its config drive.
	MetadataToken string `json:"metadataToken,omitempty"`
	// MediaToken is good for the image that the BMC inserts; empty: the machine boots by network.
	MediaToken string    `json:"mediaToken,omitempty"`
	ExpiresAt  time.Time `json:"expiresAt"`
}

// A Reservation is an address that a known machine's interface gets by DHCP,
// with all others of that interface: one record at the site holds them.
type Reservation struct {
	MAC      string        `json:"mac"`
	IP       netip.Addr    `json:"ip"`
	Subnet   SubnetID      `json:"subnet,omitempty"` // empty: of centres before 0.2, by IP
	Machine  MachineID     `json:"machine"`
	Hostname string        `json:"hostname,omitempty"`
	More     []Reservation `json:"more,omitempty"`
}

// In returns which of r and More is of one of the subnets, and of which; nil: none
// is. Two VRFs may have the same address.
func (r Reservation) In(link []Subnet) (Reservation, *Subnet) {
	for i := -1; i < len(r.More); i++ {
		one := &r
		if i >= 0 {
			one = &r.More[i]
		}
		for j := range link {
			if link[j].CIDR.Contains(one.IP) && (one.Subnet == "" || one.Subnet == link[j].ID) {
				return *one, &link[j]
			}
		}
	}
	return r, nil
}

// All returns r and More, each without others.
func (r Reservation) All() []Reservation {
	all := append([]Reservation{r}, r.More...)
	all[0].More = nil
	return all
}
