package system

import (
	"errors"
	"testing"

	"github.com/u-root/u-root/pkg/ipmi"

	"sprout"
)

// A kcs is a BMC whose channels have a medium each, and whose LANs have parameters.
type kcs struct {
	media map[byte]byte
	lan   map[[2]byte][]byte // by channel and parameter
}

func (k kcs) SendRecv(netfn ipmi.NetFn, command ipmi.Command, data []byte) ([]byte, error) {
	medium, there := k.media[data[0]]
	if netfn != 6 || command != 0x42 || !there {
		return nil, ipmi.CompletionError(0xcc)
	}
	return []byte{0, data[0], medium, 1, 0x80, 0xf2, 0x1b, 0, 0, 0}, nil
}

func (k kcs) GetLanConfig(channel, parameter byte) ([]byte, error) {
	value, there := k.lan[[2]byte{channel, parameter}]
	if !there {
		return nil, errors.New("ioctl failed")
	}
	return append([]byte{0, 0x11}, value...), nil
}

// The address is that of the first channel that is a LAN and has one.
func TestTheBMCsOwnAddress(t *testing.T) {
	k := kcs{media: map[byte]byte{1: 0x04, 2: 0x04, 6: 0x01, 8: 0x84}, lan: map[[2]byte][]byte{
		{1, 3}: {0, 0, 0, 0}, {1, 4}: {1}, {8, 3}: {10, 0, 5, 11}, {8, 4}: {2}, {8, 5}: {0x52, 0x54, 0, 0x31, 4, 1},
	}}
	got := askBMC(k)
	if got == nil || got.Address.String() != "10.0.5.11" || got.Source != "dhcp" || got.MAC != "52:54:00:31:04:01" || got.By != "ipmi" {
		t.Errorf("it is at %+v", got)
	}
	k.lan = map[[2]byte][]byte{{8, 3}: {10, 0, 5, 11}}
	if got := askBMC(k); got == nil || *got != (sprout.HostBMC{Address: got.Address, By: "ipmi"}) {
		t.Errorf("a BMC that tells no more is %+v", got)
	}
	k.lan = nil
	if got := askBMC(k); got != nil {
		t.Errorf("a BMC without an address is %+v", got)
	}
	if got := askBMC(kcs{}); got != nil {
		t.Errorf("a BMC that tells nothing, as QEMU's, is %+v", got)
	}
}
