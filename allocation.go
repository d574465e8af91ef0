package sprout

import (
	"encoding/json"
	"strconv"
	"time"
)

// An AllocationState is how far an allocation is.
type AllocationState string

const (
	AllocationQueued    AllocationState = "queued"    // waits for machines
	AllocationGiven     AllocationState = "given"     // its owner has machines of it
	AllocationOver      AllocationState = "over"      // its machines have left their owner
	AllocationExpired   AllocationState = "expired"   // its time is over: only deployed machines are left
	AllocationCancelled AllocationState = "cancelled" // somebody took it back
)

// AllocationExpiring is the state that an event tells shortly before a reservation
// ends.
const AllocationExpiring = "expiring"

// MostAllocated is how many machines one allocation may be of.
const MostAllocated = 1000

// An Allocation is machines that were asked for together: all are given at once, or
// none. One that is queued waits for them.
type Allocation struct {
	ID        AllocationID       `json:"id"`
	State     AllocationState    `json:"state" enum:"queued,given,over,expired,cancelled" doc:"queued: it waits for machines; given: its owner has them; over: they have all left their owner; expired: its time is over, only deployed machines stay; cancelled: somebody took it back" example:"given"`
	Owner     string             `json:"owner"`
	Count     int                `json:"count" doc:"How many machines were asked for" example:"3"`
	Spread    string             `json:"spread,omitempty" enum:"zone" doc:"zone: evenly over failure zones; absent: however" example:"zone"`
	Seconds   int64              `json:"for,omitempty" doc:"For how many seconds they are reserved; absent: for as long as their owner wants" example:"14400"`
	Place     int                `json:"place,omitempty" doc:"Its place in the queue, the next is 1; absent: it is not queued" example:"2"`
	Machines  []AllocatedMachine `json:"machines" doc:"Those that were given, also those that have left since"`
	AskedBy   string             `json:"askedBy" doc:"Who asked for it" example:"admin"`
	CreatedAt time.Time          `json:"createdAt"`
	GivenAt   *time.Time         `json:"givenAt,omitempty" doc:"When the machines were given (RFC 3339, UTC); absent: they were not" example:"2026-11-22T10:00:00Z"`
	ExpiresAt *time.Time         `json:"expiresAt,omitempty" doc:"When those machines go back that are not deployed by then (RFC 3339, UTC); absent: never"`
	EndedAt   *time.Time         `json:"endedAt,omitempty" doc:"When it expired or was cancelled (RFC 3339, UTC); absent: it was not"`
	Rev       int64              `json:"revision" doc:"Rises with every change: what If-Match compares"`

	Sites       Sites           `json:"-"` // that its machines may be of
	Constraints json.RawMessage `json:"-"` // as they were asked for
}

// Revision is the part of the entity tag that If-Match compares.
func (a Allocation) Revision() string { return strconv.FormatInt(a.Rev, 10) }

// An AllocatedMachine is a machine that was given with an allocation.
type AllocatedMachine struct {
	ID         MachineID  `json:"id"`
	Name       string     `json:"name"`
	Site       SiteID     `json:"site"`
	SiteName   string     `json:"siteName"`
	Zone       string     `json:"zone"`
	State      State      `json:"state"`
	LeftAt     *time.Time `json:"leftAt,omitempty" doc:"When it left its owner (RFC 3339, UTC); absent: its owner has it" example:"2026-11-22T14:00:00Z"`
	Generation int64      `json:"-"` // as it was given
}
