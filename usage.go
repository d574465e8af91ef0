package sprout

import "net/netip"

// A Usage says what the addresses of a subnet are used for. Sizes are numbers of
// addresses, above 2^53 to the nearest.
type Usage struct {
	Subnet    SubnetID     `json:"subnet"`
	CIDR      netip.Prefix `json:"cidr"`
	Size      float64      `json:"size" doc:"Addresses that hosts may have"`
	Reserved  float64      `json:"reserved" doc:"Of these, in reserved ranges" example:"10"`
	Dynamic   float64      `json:"dynamic" doc:"In dynamic ranges, leased or not" example:"100"`
	Leased    int64        `json:"leased" doc:"Leased now, without an allocation" example:"12"`
	Allocated int64        `json:"allocated" doc:"Allocated by IPAM" example:"40"`
	Free      float64      `json:"free" doc:"In no range, and free to be allocated" example:"103"`
	Percent   float64      `json:"percent" doc:"Leased and allocated, of all that hosts may have" example:"20.5"`
	Ranges    []RangeUsage `json:"ranges" doc:"The same of each range"`
	Drawn     netip.Prefix `json:"drawn" doc:"The part that the cells are blocks of: all of it, or of a large IPv6 prefix the part in use" example:"10.20.0.0/24"`
	Block     int          `json:"block" doc:"Prefix length of one cell" example:"31"`
	Cells     []Cell       `json:"cells" doc:"Blocks of the same size, in order, at most 128"`
}

// A RangeUsage is how much of a range is leased or allocated.
type RangeUsage struct {
	Range
	Size    float64 `json:"size" doc:"Addresses of it"`
	Used    int64   `json:"used" doc:"Of these, leased or allocated" example:"12"`
	Percent float64 `json:"percent" doc:"Used, of all" example:"12.0"`
}

// A Cell is what a block of addresses is used for.
type Cell struct {
	Size      float64 `json:"size" doc:"Addresses of it" example:"2"`
	Reserved  float64 `json:"reserved" doc:"In reserved ranges" example:"0"`
	Dynamic   float64 `json:"dynamic" doc:"In dynamic ranges" example:"0"`
	Leased    int64   `json:"leased" doc:"Leased now, without an allocation" example:"0"`
	Allocated int64   `json:"allocated" doc:"Allocated by IPAM" example:"1"`
}
