package ramdisk

import (
	"net/netip"

	"github.com/u-root/u-root/pkg/smbios"

	"sprout"
)

// hostInterfaces is the SMBIOS type of a management controller's host interface
// (DSP0134 section 7.43).
const hostInterfaces = smbios.TableType(42)

// Of such a record and of a Redfish over IP protocol record in it (DSP0270 section 8).
const (
	overNetwork   = 0x40
	redfishOverIP = 0x04

	serviceFormat  = 51 // of the service's address, in the record: 1 IPv4, 2 IPv6
	serviceAddress = 52
)

// hostInterface is the address at which firmware says that the machine's Redfish service
// is. Nil: it does not, or the address is of a link within the machine, at which nobody
// else reaches it.
func (h Host) hostInterface() *sprout.HostBMC {
	info := h.smbios()
	if info == nil {
		return nil
	}
	for _, table := range info.GetTablesByType(hostInterfaces) {
		raw, err := table.GetBytesAt(0, table.Len())
		if err != nil {
			continue
		}
		if ip := redfishService(raw); ip.IsValid() {
			return &sprout.HostBMC{Address: ip, By: "smbios"}
		}
	}
	return nil
}

// redfishService reads the service's address from a record, its header of four bytes
// included; invalid where it says none that is of use.
func redfishService(raw []byte) (none netip.Addr) {
	if len(raw) < 7 || raw[4] != overNetwork {
		return none
	}
	at := 6 + int(raw[5]) // after what is of the interface itself
	if len(raw) <= at {
		return none
	}
	records := int(raw[at])
	for at++; records > 0 && len(raw) >= at+2; records-- {
		kind, record := raw[at], raw[at+2:]
		length := int(raw[at+1])
		if len(record) < length {
			return none
		}
		if record = record[:length]; kind == redfishOverIP && length >= serviceAddress+16 {
			bytes := record[serviceAddress : serviceAddress+16]
			if record[serviceFormat] == 1 {
				bytes = bytes[:4]
			}
			if ip, _ := netip.AddrFromSlice(bytes); !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() {
				return ip
			}
		}
		at += 2 + length
	}
	return none
}
