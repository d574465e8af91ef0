package lab

import "sprout"

// A board is what QEMU makes the machines of an architecture of.
type board struct {
	qemu       string   // Debian's packages put it there, and the firmware
	args       []string // machine, processor, and what else each needs
	code, vars string   // of UEFI
	// The same of a firmware that enforces Secure Boot, with Microsoft's keys in its
	// variables.
	secureCode, secureVars string
	secure                 []string // what that needs besides
	get                    string   // what brings the files
	buses                  []string // that disks may be on
	models                 []string // of NICs
}

var boards = map[sprout.Architecture]board{
	sprout.AMD64: {
		qemu: "/usr/bin/qemu-system-x86_64",
		args: []string{"-machine", "q35,graphics=off", "-cpu", "max,la57=off"},
		code: "/usr/share/OVMF/OVMF_CODE_4M.fd", vars: "/usr/share/OVMF/OVMF_VARS_4M.fd",
		secureCode: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", secureVars: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
		// its variables can be written in system management mode only
		secure: []string{"-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"},
		get:    "apt-get install qemu-system-x86 ovmf", buses: []string{"virtio", "nvme", "sata"}, models: []string{"virtio", "e1000"},
	},
	sprout.ARM64: {
		qemu: "/usr/bin/qemu-system-aarch64",
		args: []string{"-machine", "virt,gic-version=3", "-cpu", "cortex-a72", "-device", "virtio-rng-pci"},
		code: "/usr/share/AAVMF/AAVMF_CODE.fd", vars: "/usr/share/AAVMF/AAVMF_VARS.fd",
		secureCode: "/usr/share/AAVMF/AAVMF_CODE.ms.fd", secureVars: "/usr/share/AAVMF/AAVMF_VARS.ms.fd",
		get: "apt-get install qemu-system-arm qemu-efi-aarch64", buses: []string{"virtio", "nvme"}, models: []string{"virtio"},
	},
}

// firmware is UEFI's code and its fresh variables.
func (b board) firmware(secureBoot bool) (code, vars string) {
	if secureBoot {
		return b.secureCode, b.secureVars
	}
	return b.code, b.vars
}
