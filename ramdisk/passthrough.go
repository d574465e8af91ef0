package ramdisk

import (
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A controller takes commands of the disk's own protocol: the kernel's ioctls on
// a device file, or in tests a device made up.
type controller interface {
	// nvme does an admin command; data, which may be nil, is what is read or written.
	// It returns dword 0 of the completion.
	nvme(c nvmeCommand, data []byte, timeout time.Duration) (uint32, error)
	// namespace returns the identifier of the NVMe namespace that the device is.
	namespace() (uint32, error)
	// ata does an ATA command; data, which may be nil, is one sector.
	ata(c ataCommand, data []byte, timeout time.Duration) error
}

// device is a controller behind a block device's file.
type device struct{ f *os.File }

// nvmePassthru is struct nvme_passthru_cmd of linux/nvme_ioctl.h.
type nvmePassthru struct {
	opcode, flags          uint8
	_                      uint16
	nsid, cdw2, cdw3       uint32
	metadata, addr         uint64
	metadataLen, dataLen   uint32
	cdw10, cdw11           uint32
	cdw12, cdw13           uint32
	cdw14, cdw15           uint32
	timeoutMs, completion0 uint32
}

const (
	nvmeIoctlID    = 0x4e40     // _IO('N', 0x40)
	nvmeIoctlAdmin = 0xc0484e41 // _IOWR('N', 0x41, struct nvme_passthru_cmd)
	sgIO           = 0x2285     // scsi/sg.h
)

func (d device) nvme(c nvmeCommand, data []byte, timeout time.Duration) (uint32, error) {
	raw := nvmePassthru{opcode: c.opcode, nsid: c.nsid, cdw10: c.cdw10, cdw11: c.cdw11, timeoutMs: uint32(timeout.Milliseconds()), dataLen: uint32(len(data))}
	var pin runtime.Pinner
	defer pin.Unpin()
	if len(data) > 0 {
		pin.Pin(&data[0])
		raw.addr = uint64(uintptr(unsafe.Pointer(&data[0])))
	}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), nvmeIoctlAdmin, uintptr(unsafe.Pointer(&raw)))
	switch {
	case errno != 0:
		return 0, errno
	case status != 0:
		return 0, nvmeStatus(status)
	}
	return raw.completion0, nil
}

func (d device) namespace() (uint32, error) {
	id, _, errno := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), nvmeIoctlID, 0)
	if errno != 0 {
		return 0, errno
	}
	return uint32(id), nil
}

// nvmeStatus is the status field of a completion (NVM Express Base Specification
// 2.0, section 3.3.3.2.1), without the phase tag.
type nvmeStatus uint16

func (s nvmeStatus) Error() string {
	return fmt.Sprintf("the controller refused: status code type %d, status code %#02x", s>>8&7, uint8(s))
}

// sgHeader is struct sg_io_hdr of scsi/sg.h.
type sgHeader struct {
	interfaceID    int32
	direction      int32
	cmdLen         uint8
	mxSBLen        uint8
	iovecCount     uint16
	dxferLen       uint32
	dxferp         uintptr
	cmdp           uintptr
	sbp            uintptr
	timeout        uint32
	flags          uint32
	packID         int32
	usrPtr         uintptr
	status         uint8
	maskedStatus   uint8
	msgStatus      uint8
	sbLenWr        uint8
	hostStatus     uint16
	driverStatus   uint16
	resid          int32
	duration, info uint32
}

// Directions of a transfer, of scsi/sg.h.
const (
	sgNone    = -1
	sgToDev   = -2
	sgFromDev = -3
)

func (d device) ata(c ataCommand, data []byte, timeout time.Duration) error {
	cdb, sense := c.cdb(), make([]byte, 32)
	h := sgHeader{interfaceID: 'S', direction: sgNone, cmdLen: uint8(len(cdb)), mxSBLen: uint8(len(sense)), dxferLen: uint32(len(data)), timeout: uint32(timeout.Milliseconds())}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&cdb[0])
	pin.Pin(&sense[0])
	h.cmdp, h.sbp = uintptr(unsafe.Pointer(&cdb[0])), uintptr(unsafe.Pointer(&sense[0]))
	if len(data) > 0 {
		pin.Pin(&data[0])
		h.dxferp, h.direction = uintptr(unsafe.Pointer(&data[0])), sgToDev
		if c.in {
			h.direction = sgFromDev
		}
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), sgIO, uintptr(unsafe.Pointer(&h)))
	const driverSense = 8 // sense data is there, which is no failure of the driver
	switch {
	case errno != 0:
		return errno
	case h.status != 0 || h.hostStatus != 0 || h.driverStatus&^driverSense != 0:
		return fmt.Errorf("the disk refused command %#02x: status %#02x, host %#02x, driver %#02x, sense % x", c.command, h.status, h.hostStatus, h.driverStatus, sense[:h.sbLenWr])
	}
	return nil
}
