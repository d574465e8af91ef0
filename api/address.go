package api

import "sprout"

// AddressRef names an address by id, or by itself.
type AddressRef struct {
	Address string `path:"address" doc:"Id of an address, the address itself, or site/address where two sites have it"`
}

// WantedAddresses says which addresses of a subnet are wanted.
type WantedAddresses struct {
	Subnet  string `json:"subnet" doc:"Prefix or id of a subnet, or name of a network with one subnet; site/ before it where two sites have it" example:"10.20.0.0/24"`
	IP      string `json:"ip,omitempty" doc:"This one, and those after it; absent: whichever are free, low ones first" example:"10.20.0.50"`
	Count   int    `json:"count,omitempty" minimum:"0" maximum:"1024" doc:"How many, one after the other; absent: 1" example:"4"`
	Prefix  int    `json:"prefix,omitempty" minimum:"0" maximum:"128" doc:"All addresses of the next free prefix of this length within the subnet, at most 1024, in place of count" example:"29"`
	Name    string `json:"name,omitempty" maxLength:"253" doc:"What they are for, as the name of a host" example:"printer.lon1.example"`
	Purpose string `json:"purpose,omitempty" maxLength:"256" doc:"Why, in words for people"`
}

// AllocateAddress is the input of AddressAllocate.
type AllocateAddress struct {
	Body struct {
		WantedAddresses
		NoProbe bool `json:"noProbe,omitempty" doc:"Do not have the site's agent look before whether somebody else uses them. One that ip names is never looked at: it may be of a host that is there already" example:"true"`
	}
}

// HoldAddress is the input of AddressHold.
type HoldAddress struct {
	Body struct {
		WantedAddresses
		Seconds int `json:"seconds" minimum:"1" maximum:"31536000" doc:"After so long they are free again by themselves" example:"3600"`
	}
}

// GivenAddresses are addresses that were given out together.
type GivenAddresses struct {
	Items    []sprout.Address `json:"items" doc:"They, in order"`
	Unprobed string           `json:"unprobed,omitempty" doc:"Why nobody could look whether somebody else uses them; absent: nobody answered for them, or nobody was to look" example:"the agent of lon1 is offline"`
}

// The operations on addresses, beside their list.
var (
	AddressAllocate = Op[AllocateAddress, GivenAddresses]{
		Name: "address allocate", Method: "POST", Path: "/v1/addresses", Role: sprout.Operator, Status: 201, Many: true, Help: "Take addresses of a subnet for what is no machine of Sprout's.",
	}
	AddressHold = Op[HoldAddress, GivenAddresses]{
		Name: "address hold", Method: "POST", Path: "/v1/addresses/hold", Role: sprout.Operator, Status: 201, Help: "Keep addresses of a subnet free for a while.",
	}
	AddressShow = Op[AddressRef, sprout.Address]{
		Name: "address show", Method: "GET", Path: "/v1/addresses/{address}", Role: sprout.Viewer, Help: "Show an address: who has it, what for and until when.",
	}
	AddressProbe = Op[AddressRef, sprout.AddressProbe]{
		Name: "address probe", Method: "POST", Path: "/v1/addresses/{address}/probe", Role: sprout.Operator, Help: "Have the site's agent look now who uses an address, by ARP or neighbour discovery.",
	}
	AddressRelease = Op[AddressRef, None]{
		Name: "address release", Method: "DELETE", Path: "/v1/addresses/{address}", Role: sprout.Operator, Help: "Free an address that no machine has.",
	}
)

func addressOperations() []Operation {
	return []Operation{of(AddressAllocate), of(AddressHold), of(AddressShow), of(AddressProbe), of(AddressRelease)}
}
