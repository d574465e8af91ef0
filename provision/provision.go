// Package provision says what Sprout does to machines: one table of steps for
// each workflow, once for the control plane (centre) and once for the site that
// it delegates to. It knows the capabilities by their interfaces only; it does
// not know PostgreSQL, bbolt, HTTP or NATS.
package provision

import (
	"context"
	"net/netip"
	"time"

	"sprout"
	"sprout/dns"
	"sprout/ipam"
	"sprout/power"
)

// The kinds of workflow.
const (
	Commission = "commission"
	Deploy     = "deploy"
	Release    = "release"
	Rescue     = "rescue"
	Unrescue   = "unrescue"
)

// Kinds lists them.
var Kinds = []string{Commission, Deploy, Release, Rescue, Unrescue}

// The signals that move a run.
const (
	SignalWorkEnded = "work-ended"    // to the centre's run: WorkEnded
	SignalHello     = "ramdisk-hello" // to the site's run: HelloSeen
	SignalOrderDone = "order-done"    // to the site's run: sprout.Report
	SignalPhoneHome = "phone-home"    // to the site's run: HomeSeen
	SignalTurn      = "turn"          // to the site's run: TurnSeen
)

// WorkEnded is the payload of SignalWorkEnded.
type WorkEnded struct {
	Work   string            `json:"work"`
	Result sprout.WorkResult `json:"result"`
	// Force is why the work is waited for no longer, though it has not ended: of a
	// release only.
	Force string `json:"force,omitempty"`
}

// HelloSeen is the payload of SignalHello.
type HelloSeen struct {
	Attempt sprout.AttemptID `json:"attempt"`
	Hello   sprout.Hello     `json:"hello"`
}

// HomeSeen is the payload of SignalPhoneHome.
type HomeSeen struct {
	Attempt sprout.AttemptID `json:"attempt"`
}

// TurnSeen is the payload of SignalTurn: where an attempt stands among those that
// download has changed.
type TurnSeen struct {
	Attempt sprout.AttemptID `json:"attempt"`
}

// CommissionInput is the input of the centre's commission.
type CommissionInput struct {
	Machine    sprout.MachineID `json:"machine"`
	Tests      []sprout.TestRun `json:"tests,omitempty"` // beside the usual ones
	SkipTests  bool             `json:"skipTests"`
	SkipReason string           `json:"skipReason,omitempty"`
	Subnet     sprout.SubnetID  `json:"subnet,omitempty"` // of the address of a machine that boots by virtual media
	// FastTrack is how many seconds the machine then waits in the ramdisk; 0: it is
	// switched off.
	FastTrack int `json:"fastTrack,omitempty"`
}

// DeployInput is the input of the centre's deploy.
type DeployInput struct {
	Machine  sprout.MachineID      `json:"machine"`
	Image    sprout.Image          `json:"image"`           // as it was when the deploy was asked for: moving an alias changes nothing
	Alias    string                `json:"alias,omitempty"` // that it was asked for by
	Disk     sprout.DiskRule       `json:"disk"`
	Disks    []sprout.Disk         `json:"disks,omitempty"`   // that the plan names: no other is written
	Subnet   sprout.SubnetID       `json:"subnet,omitempty"`  // where the address of a machine without a network configuration comes from
	Network  *sprout.NetworkConfig `json:"network,omitempty"` // as netconfig.Check keeps it; nil: the boot interface gets an address of Subnet
	SSHKeys  []string              `json:"sshKeys"`
	UserData string                `json:"userData,omitempty"` // only on its way in: see Sealed
	Sealed   bool                  `json:"sealed,omitempty"`   // there is user data, kept sealed beside the run
	Metadata sprout.MetadataBy     `json:"metadata,omitempty"` // empty: MetadataDrive
	Layout   *sprout.Layout        `json:"layout,omitempty"`   // of a root file system; nil: the image is of a disk
}

// Sealed parts the input of a workflow into what may be kept and shown as it is,
// and what must be kept sealed; nil if nothing must.
func Sealed(input any) (plain any, secret []byte) {
	in, ok := input.(DeployInput)
	if !ok || in.UserData == "" {
		return input, nil
	}
	secret = []byte(in.UserData)
	in.UserData, in.Sealed = "", true
	return in, secret
}

// ReleaseInput is the input of the centre's release.
type ReleaseInput struct {
	Machine sprout.MachineID `json:"machine"`
	Erase   bool             `json:"erase"`
	// Method is how to erase; empty: the best that each disk can have.
	Method sprout.EraseMethod `json:"method,omitempty"`
	Disks  []sprout.Disk      `json:"disks,omitempty"`  // that the plan says are erased: all of them must be
	Force  string             `json:"force,omitempty"`  // why the site is not waited for; empty: it is
	Subnet sprout.SubnetID    `json:"subnet,omitempty"` // of the address of a machine that boots by virtual media
}

// RescueInput is the input of the centre's rescue.
type RescueInput struct {
	Machine sprout.MachineID `json:"machine"`
	SSHKeys []string         `json:"sshKeys"`
}

// UnrescueInput is the input of the centre's unrescue.
type UnrescueInput struct {
	Machine sprout.MachineID `json:"machine"`
}

// A Centre is what the steps need of the control plane. T is its transaction:
// a method that takes one is an effect of the step that asks for it. Actor is
// who asked for the workflow.
type Centre[T any] interface {
	// Machine returns a machine with its interfaces and inventory; its
	// addresses, problems and the like may be left out.
	Machine(ctx context.Context, id sprout.MachineID) (sprout.Machine, error)
	// Site returns a site.
	Site(ctx context.Context, id sprout.SiteID) (sprout.Site, error)
	// Agent returns the agent of a site; NotFound if none has enrolled.
	Agent(ctx context.Context, site sprout.SiteID) (sprout.Agent, error)
	// Subnet returns a subnet.
	Subnet(ctx context.Context, site sprout.SiteID, id sprout.SubnetID) (sprout.Subnet, error)
	// Basis returns what limits of a machine's site work are made from, but
	// for the size of what is moved.
	Basis(ctx context.Context, m sprout.Machine, kind string) (Basis, error)
	// IPAM returns the selected address management.
	IPAM() ipam.Provider
	// DNS returns the selected name publisher.
	DNS() dns.Provider

	// Move moves a machine by the lifecycle, with history, audit and the
	// site's copy. image is the one that is now on its disk; zero: none.
	Move(ctx context.Context, tx T, id sprout.MachineID, event sprout.Event, by Cause, image sprout.Image) error
	// Delegate stamps the work with the machine's generation, which rose when
	// its workflow began, and queues it for the site. A site that gets the same
	// id twice does it once.
	Delegate(ctx context.Context, tx T, site sprout.SiteID, w sprout.Work) error
	// CancelWork queues the cancelling of work for the site.
	CancelWork(ctx context.Context, tx T, site sprout.SiteID, work string) error
	// Let keeps how to get into a machine in rescue.
	Let(ctx context.Context, tx T, id sprout.MachineID, how sprout.Shell) error
	// SkippedTests records that a machine was commissioned with tests, or why it
	// was without.
	SkippedTests(ctx context.Context, tx T, id sprout.MachineID, why string) error
	// Raise opens a problem about a machine.
	Raise(ctx context.Context, tx T, id sprout.MachineID, by Cause, f sprout.Failure) error
	// Clear closes every problem about a machine but those that outlast its
	// workflows, and of these the ones named.
	Clear(ctx context.Context, tx T, id sprout.MachineID, also ...sprout.Code) error
	// Ended tells whoever watches how the workflow ended, and audits it.
	Ended(ctx context.Context, tx T, by Cause, machine sprout.MachineID, state sprout.WorkflowState, f *sprout.Failure) error
}

// A Cause is the workflow on whose behalf something happens.
type Cause struct {
	Workflow sprout.WorkflowID
	Kind     string
	Step     string
}

// A Site is what the steps need of a site's agent. T is its transaction.
type Site[T any] interface {
	// Machine returns what the site knows of a machine.
	Machine(ctx context.Context, id sprout.MachineID) (sprout.SiteMachine, error)
	// Busy returns the id of another live run on the machine, empty if none.
	Busy(ctx context.Context, id sprout.MachineID, run string) (string, error)
	// Power returns the machine's power provider. Do not close it.
	Power(ctx context.Context, id sprout.MachineID) (power.Provider, error)
	// AgentURL is the base URL of this agent as a machine at the address reaches
	// it, whatever that is where it is the zero Addr.
	AgentURL(from netip.Addr) string
	// MediaURL is the base URL of this agent as BMCs reach it.
	MediaURL() string
	// CheckMedia tells why what the machine's BMC is to insert for its intent cannot
	// be made; nil: it can.
	CheckMedia(ctx context.Context, id sprout.MachineID) error
	// Probe asks the agent's link who has each address, the interfaces of the
	// machine aside. An address that it cannot ask for is no error: the probe of
	// it says why. It takes about a second.
	Probe(ctx context.Context, id sprout.MachineID, ips []netip.Addr) ([]sprout.AddressProbe, error)
	// FetchImage brings an image to the site's cache, verified by digest; at
	// once if it is there. progress may be nil.
	FetchImage(ctx context.Context, img sprout.Image, progress func(done, total int64)) error
	// FetchTest brings a test's executable to the site's cache, verified by
	// digest; at once if it is there.
	FetchTest(ctx context.Context, t sprout.Test) error
	// DropCorruptImage reads the site's copy of an image and removes it if its
	// bytes are not what the digest says; it tells whether it did.
	DropCorruptImage(ctx context.Context, digest string) (dropped bool, err error)
	// LastSeen tells when the ramdisk of an attempt last said anything.
	LastSeen(attempt sprout.AttemptID) (time.Time, bool)
	// Turn tells where the machine of an attempt stands among those that download;
	// false: it has not asked since the agent started.
	Turn(attempt sprout.AttemptID) (sprout.Turn, bool)
	// Diagnose names why a boot attempt stopped, for the step that waits for
	// it, from what the site has seen of it; false if that does not tell. It
	// needs no centre.
	Diagnose(ctx context.Context, id sprout.MachineID, attempt sprout.AttemptID, step string) (sprout.Failure, bool)

	// SetIntent makes the machine boot the ramdisk next and makes its tokens
	// good; it replaces an older intent, whose tokens end.
	SetIntent(ctx context.Context, tx T, in sprout.Intent) error
	// Rest has the ramdisk of an attempt wait, with its token alone: the machine boots
	// its disk otherwise.
	Rest(ctx context.Context, tx T, id sprout.MachineID, rest sprout.Rest) error
	// Resting returns the attempt whose ramdisk waits on the machine; false: none.
	Resting(ctx context.Context, id sprout.MachineID) (sprout.Rest, bool, error)
	// BootDisk makes it boot its disk from now on; what runs on it goes on, and
	// may be given orders.
	BootDisk(ctx context.Context, tx T, id sprout.MachineID) error
	// ClearIntent makes it boot its disk and ends the ramdisk's token, but not
	// the phone-home's; none is no error.
	ClearIntent(ctx context.Context, tx T, id sprout.MachineID) error
	// EndAttempt ends every token of the machine's attempts.
	EndAttempt(ctx context.Context, tx T, id sprout.MachineID) error
	// Give puts an order before the ramdisk of an attempt.
	Give(ctx context.Context, tx T, attempt sprout.AttemptID, o sprout.Order) error
	// Report adds a fact to the outbox; Seq and At are filled in.
	Report(ctx context.Context, tx T, f sprout.Fact) error
}
