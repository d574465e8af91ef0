package sprout

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// An ID names one thing for ever: a three-letter prefix that says of what kind,
// an underscore, and 26 characters that sort by time of creation (48 bits of
// milliseconds, 80 random bits; the layout of a UUIDv7 of RFC 9562 section 5.7
// without its version bits).
type (
	SiteID     string // sit_
	AgentID    string // agt_
	MachineID  string // mch_
	NetworkID  string // net_
	SubnetID   string // sub_
	RangeID    string // rng_
	AddressID  string // adr_
	ImageID    string // img_
	WorkflowID string // wfl_
	ProblemID  string // prb_
	TokenID    string // tok_
	RecordID   string // rec_ a DNS record made by hand
	OptionID   string // opt_ a DHCP option that an operator set
	AttemptID  string // att_ a boot attempt: one power-on to its end

	AllocationID string // alc_ machines that were asked for together
)

// The prefixes of NewID, one a noun.
const (
	PrefixSite     = "sit"
	PrefixAgent    = "agt"
	PrefixMachine  = "mch"
	PrefixNetwork  = "net"
	PrefixSubnet   = "sub"
	PrefixRange    = "rng"
	PrefixAddress  = "adr"
	PrefixImage    = "img"
	PrefixWorkflow = "wfl"
	PrefixProblem  = "prb"
	PrefixToken    = "tok"
	PrefixRecord   = "rec"
	PrefixOption   = "opt"
	PrefixAttempt  = "att"

	PrefixAllocation = "alc"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes a fresh id of the kind that prefix names.
func NewID[T ~string](prefix string) T {
	var raw [16]byte
	ms := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint64(raw[:8], ms<<16)
	_, _ = rand.Read(raw[6:]) // never fails since Go 1.24
	return T(prefix + "_" + idEncoding.EncodeToString(raw[:]))
}

// NewSecret makes an unguessable token of 26 characters (130 bits).
func NewSecret() string { return rand.Text() }
