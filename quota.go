package sprout

import "time"

// A Quota is how many machines an owner may have at most, allocated and deployed
// ones together.
type Quota struct {
	Owner    string    `json:"owner"`
	Machines int       `json:"machines" doc:"How many it may have" example:"20"`
	Has      int       `json:"has" doc:"How many it has, allocated and deployed" example:"17"`
	By       string    `json:"by" doc:"Who set it" example:"admin"`
	At       time.Time `json:"at" doc:"When it was set (RFC 3339, UTC)"`
}

// Room is how many more the owner may have; 0 also where it has too many.
func (q Quota) Room() int { return max(0, q.Machines-q.Has) }

// Refuse is the error of who asks for more machines than the owner may have.
func (q Quota) Refuse(asked int) *Error {
	e := Errorf(Conflict, "cannot allocate to %s: its quota is %d machines, it has %d, and %d more were asked for", q.Owner, q.Machines, q.Has, asked)
	e.Field = "owner"
	return e.WithRemedy("release some of: sprout machine list --owner %s; or: sprout quota set %s --machines %d", q.Owner, q.Owner, q.Has+asked)
}
