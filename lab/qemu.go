package lab

import (
	"fmt"
	"strconv"

	"sprout"
	"sprout/power"
)

// The files of a machine's directory, which is QEMU's working directory.
const (
	specFile    = "machine.json"
	pidFile     = "qemu.pid"
	qemuLog     = "qemu.log"
	varsFile    = "ovmf-vars.fd"
	consoleLog  = "console.log"
	consoleSock = "console.sock"
	mediaFile   = "media.iso" // what its BMC inserted
)

func diskFile(i int) string { return fmt.Sprintf("disk%d.raw", i) }

// The file descriptors that QEMU is started with.
const (
	qmpFD      = 3
	firstTapFD = 4
)

// arguments is QEMU's command line for one start of a machine. It starts
// stopped, and ends instead of rebooting: the next start may have another boot
// order.
func arguments(s Spec, device power.BootDevice, media bool) []string {
	b := boards[s.Architecture]
	args := []string{
		"-name", s.Name, "-uuid", s.UUID,
		"-smbios", "type=1,manufacturer=Sprout,product=lab,serial=" + s.Serial + ",uuid=" + s.UUID,
		"-accel", "tcg,thread=multi",
		"-smp", strconv.Itoa(s.CPUs), "-m", strconv.Itoa(s.MemoryMB),
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
		"-S", "-action", "reboot=shutdown",
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", qmpFD), "-mon", "chardev=qmp,mode=control",
		"-chardev", "socket,id=console,path=" + consoleSock + ",server=on,wait=off,logfile=" + consoleLog + ",logappend=on",
		"-serial", "chardev:console",
	}
	args = append(args, b.args...)
	if s.Firmware == sprout.UEFI {
		code, _ := b.firmware(s.SecureBoot)
		args = append(args,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+code,
			"-drive", "if=pflash,unit=1,format=raw,file="+varsFile)
	}
	if s.SecureBoot {
		args = append(args, b.secure...)
	}
	for _, knob := range without[s.Netboot] {
		args = append(args, "-fw_cfg", "name=opt/org.tianocore/"+knob+",string=n")
	}
	diskFirst, nicFirst := 1, 1+len(s.Disks)
	if device == power.BootNetwork {
		diskFirst, nicFirst = 1+len(s.NICs), 1
	}
	if media {
		last := 1 + len(s.Disks) + len(s.NICs)
		if device == power.BootMedia {
			diskFirst, nicFirst, last = diskFirst+1, nicFirst+1, 1
		}
		args = append(args, mediaArguments(last)...)
	}
	for i, d := range s.Disks {
		args = append(args, diskArguments(d, i, diskFirst+i)...)
	}
	for i, n := range s.NICs {
		args = append(args, nicArguments(n, s.Firmware, i, nicFirst+i)...)
	}
	return args
}

// diskArguments trades the safety of flushes for speed: what is lost when the
// host itself crashes is a lab's.
func diskArguments(d Disk, i, bootIndex int) []string {
	id := fmt.Sprintf("disk%d", i)
	drive := fmt.Sprintf("if=none,id=%s,file=%s,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap", id, diskFile(i))
	device := map[string]string{
		"virtio": "virtio-blk-pci,drive=" + id,
		"nvme":   "nvme,drive=" + id,
		"sata":   fmt.Sprintf("ide-hd,bus=ide.%d,drive=%s", i, id),
	}[d.Bus]
	return []string{"-drive", drive, "-device", fmt.Sprintf("%s,serial=%s,bootindex=%d", device, d.Serial, bootIndex)}
}

// mediaArguments are the BMC's virtual drive: a CD at the USB, as real ones are.
func mediaArguments(bootIndex int) []string {
	return []string{
		"-device", "qemu-xhci,id=usb", "-drive", "if=none,id=" + mediaDrive + ",media=cdrom,format=raw,readonly=on,file=" + mediaFile,
		"-device", fmt.Sprintf("usb-storage,bus=usb.0,drive=%s,bootindex=%d", mediaDrive, bootIndex),
	}
}

const mediaDrive = "media"

// nicArguments leaves out the option ROM where the firmware has a driver of its
// own: else QEMU's iPXE hides the firmware's PXE.
func nicArguments(n NIC, firmware sprout.BootMode, i, bootIndex int) []string {
	id := nicID(i)
	device := map[string]string{"virtio": "virtio-net-pci", "e1000": "e1000"}[n.Model]
	device += fmt.Sprintf(",id=%s,netdev=%s-net,mac=%s,bootindex=%d", id, id, n.MAC, bootIndex)
	if firmware == sprout.UEFI && n.Model == "virtio" {
		device += ",romfile="
	}
	return []string{"-netdev", fmt.Sprintf("tap,id=%s-net,fd=%d", id, firstTapFD+i), "-device", device}
}

func nicID(i int) string { return fmt.Sprintf("nic%d", i) }
