package sprout

// A State is the stable condition of a machine. What it is doing is its
// Activity, what the BMC says is its Power, what is wrong are its Problems.
type State string

const (
	Discovered State = "discovered" // seen on the wire, not accepted
	Registered State = "registered" // accepted or imported, not yet commissioned
	Ready      State = "ready"      // inspected, tested, free to be allocated
	Allocated  State = "allocated"  // given to an owner, nothing installed
	Deployed   State = "deployed"   // runs an installed system that phoned home
	Rescued    State = "rescued"    // deployed, but runs the ramdisk with a shell for its owner
	Broken     State = "broken"     // set aside by an operator or by failed tests
	Retired    State = "retired"    // kept for the record only
)

// States lists every state in the order people meet them.
var States = []State{Discovered, Registered, Ready, Allocated, Deployed, Rescued, Broken, Retired}

// An Event moves a machine from one state to another.
type Event string

const (
	Accept       Event = "accept"       // an operator takes a discovered machine in
	Commissioned Event = "commissioned" // commissioning passed
	TestsFailed  Event = "tests-failed" // commissioning found bad hardware
	Allocate     Event = "allocate"     // given to an owner
	Installed    Event = "installed"    // the installed system phoned home
	Released     Event = "released"     // back to free
	LeftBehind   Event = "left-behind"  // taken back by force: what its site was to do is not done
	Rescue       Event = "rescue"       // it boots the ramdisk, for somebody to mend it
	Unrescue     Event = "unrescue"     // it boots its disk again
	Emptied      Event = "emptied"      // the disks of a machine that nobody has were erased
	MarkBroken   Event = "mark-broken"  // an operator sets it aside
	MarkFixed    Event = "mark-fixed"   // an operator takes it back: to be commissioned anew
	Retire       Event = "retire"       // out of service
)

// A Move is one row of the lifecycle.
type Move struct {
	From State
	On   Event
	To   State
}

// Lifecycle lists every legal move. A move without a row cannot happen: the
// store's guard, the docs and the tests read these rows.
var Lifecycle = []Move{
	{Discovered, Accept, Registered},
	{Registered, Commissioned, Ready},
	{Ready, Commissioned, Ready},
	{Broken, Commissioned, Ready},
	{Registered, TestsFailed, Broken},
	{Ready, TestsFailed, Broken},
	{Broken, TestsFailed, Broken},
	{Ready, Allocate, Allocated},
	{Allocated, Installed, Deployed},
	{Deployed, Installed, Deployed},
	{Allocated, Released, Ready},
	{Deployed, Released, Ready},
	{Allocated, LeftBehind, Registered},
	{Deployed, LeftBehind, Registered},
	{Deployed, Rescue, Rescued},
	{Rescued, Rescue, Rescued},
	{Rescued, Unrescue, Deployed},
	{Rescued, Released, Ready},
	{Rescued, LeftBehind, Registered},
	{Rescued, MarkBroken, Broken},
	{Registered, Emptied, Registered},
	{Ready, Emptied, Ready},
	{Broken, Emptied, Broken},
	{Registered, MarkBroken, Broken},
	{Ready, MarkBroken, Broken},
	{Allocated, MarkBroken, Broken},
	{Deployed, MarkBroken, Broken},
	{Broken, MarkFixed, Registered},
	{Discovered, Retire, Retired},
	{Registered, Retire, Retired},
	{Ready, Retire, Retired},
	{Broken, Retire, Retired},
}

// Next returns the state that event leads to from state from. Where there is
// no such row it returns a Conflict error that names the states from which the
// event is legal.
func Next(from State, event Event) (State, error) {
	var legal []State
	for _, m := range Lifecycle {
		if m.On != event {
			continue
		}
		if m.From == from {
			return m.To, nil
		}
		legal = append(legal, m.From)
	}
	return "", Errorf(Conflict, "cannot %s a machine that is %s: it must be one of %v", event, from, legal)
}
