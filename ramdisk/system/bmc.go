package system

import (
	"net"
	"net/netip"

	"github.com/u-root/u-root/pkg/ipmi"

	"sprout"
)

// Of Get Channel Info (IPMI 2.0 section 22.24) and Get LAN Configuration Parameters
// (section 23.2, table 23-4).
const (
	netfnApp       = ipmi.NetFn(0x06)
	getChannelInfo = ipmi.Command(0x42)
	mostChannels   = 0x0b // channels 1 to 11 may be anything (table 6-1)
	mediumLAN      = 0x04 // 802.3 (table 6-3)

	lanAddress, lanSource, lanMAC = 3, 4, 5
)

// lanSources are where the BMC has its address from.
var lanSources = map[byte]string{1: "static", 2: "dhcp", 3: "firmware", 4: "other"}

// A bmcDevice is what is asked of the BMC in this machine; answers begin with the
// completion code.
type bmcDevice interface {
	SendRecv(netfn ipmi.NetFn, command ipmi.Command, data []byte) ([]byte, error)
	GetLanConfig(channel, parameter byte) ([]byte, error)
}

// BMC asks the machine's own BMC, by the kernel, which address it has on the LAN. Nil:
// the kernel finds none, or it has no address of IPv4.
func (m *Modules) BMC() *sprout.HostBMC {
	m.Load("ipmi_si", "ipmi_devintf") // which no device asks for
	device, err := ipmi.Open(0)
	if err != nil {
		m.log.Debug("the kernel finds no BMC", "error", err)
		return nil
	}
	defer func() { _ = device.Close() }()
	return askBMC(device)
}

// askBMC asks every channel that is a LAN, and takes the first that has an address.
func askBMC(device bmcDevice) *sprout.HostBMC {
	for channel := byte(1); channel <= mostChannels; channel++ {
		info, err := device.SendRecv(netfnApp, getChannelInfo, []byte{channel})
		if err != nil || len(info) < 3 || info[2]&0x7f != mediumLAN {
			continue
		}
		ip, ok := netip.AddrFromSlice(lanParameter(device, channel, lanAddress, 4))
		if !ok || ip.IsUnspecified() {
			continue
		}
		found := &sprout.HostBMC{Address: ip, By: "ipmi"}
		if source := lanParameter(device, channel, lanSource, 1); source != nil {
			found.Source = lanSources[source[0]&0x0f]
		}
		if mac := lanParameter(device, channel, lanMAC, 6); mac != nil {
			found.MAC = net.HardwareAddr(mac).String()
		}
		return found
	}
	return nil
}

// lanParameter reads a parameter of so many bytes, which stand after the completion code
// and the revision; nil: it is not told.
func lanParameter(device bmcDevice, channel, parameter byte, length int) []byte {
	answer, err := device.GetLanConfig(channel, parameter)
	if err != nil || len(answer) < 2+length {
		return nil
	}
	return answer[2 : 2+length]
}
